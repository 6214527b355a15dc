"""The reader of .tflite files, compared with the schema's own generated reader."""

from __future__ import annotations

import mmap
import struct
import time
import tracemalloc
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert._flatbuffer import Reader, Table
from litert.builtin_operators import BUILTIN_OPERATORS
from litert.errors import FileFormatError
from litert.model_file import TENSOR_TYPES, ModelFile, num_values, read_model, read_quantization
from litert.quantization_check import find_fatal_quantization

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parent.parent.parent / "shared" / "models"
# Damaged on purpose, in ways that the reader refuses.
REFUSED = {
    "invalid_bad_operator_input",
    "invalid_bad_signature_index",
    "invalid_empty",
    "invalid_garbage",
    "invalid_no_identifier",
    "invalid_text",
    "invalid_truncated",
}
MODELS = sorted(
    path
    for path in (*DATA.glob("*.tflite"), *SHARED.glob("*/*.tflite"))
    if path.stem not in REFUSED
)
SMALL = tuple(
    (DATA / f"{name}.tflite").read_bytes()
    for name in ("add", "int8_per_channel_conv", "metadata", "while_loop", "no_signature")
)


def text(value: bytes | None) -> str:
    return "" if value is None else value.decode()


def oracle(data: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))


def oracle_label(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom:{text(code.customCode)}"
    return BUILTIN_OPERATORS[number]


def test_shared_models_are_there() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/models is missing; the models of tests/data alone are compared")
    assert len(list(SHARED.glob("upstream/*.tflite"))) > 100


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_read_model_agrees_with_generated_reader(path: Path) -> None:
    data = path.read_bytes()
    model, expected = read_model(data), oracle(data)
    assert model.version == expected.version
    assert model.description == text(expected.description)
    assert len(model.subgraphs) == len(expected.subgraphs or ())
    for subgraph, want in zip(model.subgraphs, expected.subgraphs or (), strict=True):
        labels = Counter(operator.code.label for operator in subgraph.operators)
        assert labels == Counter(
            oracle_label(expected.operatorCodes[operator.opcodeIndex])
            for operator in want.operators or ()
        )
        assert [(op.inputs, op.outputs) for op in subgraph.operators] == [
            (tuple(ints(op.inputs)), tuple(ints(op.outputs))) for op in want.operators or ()
        ]
        assert list(subgraph.inputs) == ints(want.inputs)
        assert list(subgraph.outputs) == ints(want.outputs)
        assert subgraph.name == text(want.name)
        for tensor, entry in zip(subgraph.tensors, want.tensors or (), strict=True):
            assert tensor.name == text(entry.name)
            assert tensor.element_type == TENSOR_TYPES[entry.type]
            assert list(tensor.shape) == ints(entry.shape)
            assert list(tensor.shape_signature or ()) == ints(entry.shapeSignature)
            assert (tensor.buffer, tensor.is_variable) == (entry.buffer, entry.isVariable)
            assert tensor.has_rank == entry.hasRank
            assert tensor.is_sparse == (entry.sparsity is not None)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_read_model_finds_signatures_buffers_and_metadata(path: Path) -> None:
    data = path.read_bytes()
    model, expected = read_model(data), oracle(data)
    assert [
        (signature.key, signature.subgraph, list(signature.inputs), list(signature.outputs))
        for signature in model.signatures
    ] == [
        (
            text(signature.signatureKey),
            signature.subgraphIndex,
            [(text(item.name), item.tensorIndex) for item in signature.inputs or ()],
            [(text(item.name), item.tensorIndex) for item in signature.outputs or ()],
        )
        for signature in expected.signatureDefs or ()
    ]
    for span, buffer in zip(model.buffers, expected.buffers or (), strict=True):
        if buffer.offset <= 1:
            content = b"" if buffer.data is None else bytes(buffer.data)
            assert data[span.offset : span.offset + span.size] == content
    assert [entry.name for entry in model.metadata] == [
        text(entry.name) for entry in expected.metadata or ()
    ]


def ints(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def test_tensor_types_are_those_of_the_schema() -> None:
    numbers = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    assert [numbers[number].lower() for number in range(len(TENSOR_TYPES))] == list(TENSOR_TYPES)


def test_builtin_operators_are_those_of_the_schema() -> None:
    operators = vars(schema.BuiltinOperator)
    assert [operators[name] for name in BUILTIN_OPERATORS] == list(range(len(BUILTIN_OPERATORS)))


def test_read_quantization_per_tensor_gives_numbers() -> None:
    data = (DATA / "int8_add.tflite").read_bytes()
    tensor = read_model(data).subgraphs[0].tensors[0]
    want = oracle(data).subgraphs[0].tensors[0].quantization
    quantization = read_quantization(data, tensor)
    assert quantization is not None
    assert (quantization.scale, quantization.zero_point) == (want.scale[0], want.zeroPoint[0])
    assert quantization.axis is None


def test_read_quantization_per_channel_gives_axis() -> None:
    data = (DATA / "per_channel_io.tflite").read_bytes()
    for tensor, entry in zip(
        read_model(data).subgraphs[0].tensors, oracle(data).subgraphs[0].tensors, strict=True
    ):
        want = entry.quantization
        if want is None or want.scale is None or len(want.scale) < 2:
            continue
        quantization = read_quantization(data, tensor)
        assert quantization is not None
        assert quantization.scale == tuple(want.scale)
        assert quantization.zero_point == tuple(want.zeroPoint)
        assert quantization.axis == want.quantizedDimension
        return
    pytest.fail("no tensor with a scale per channel")


def test_read_quantization_blockwise_names_scales_tensor() -> None:
    path = SHARED / "upstream" / "blockwise_quantized.tflite"
    if not path.exists():
        pytest.skip("../shared/models is missing")
    tensor = read_model(path.read_bytes()).subgraphs[0].tensors[2]
    assert tensor.quantization is not None
    assert tensor.quantization.kind == "blockwise"
    assert (tensor.quantization.scales_tensor, tensor.quantization.block_size) == (0, 32)
    assert read_quantization(path.read_bytes(), tensor) is None


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_read_model_takes_any_buffer(wrap: Any) -> None:
    assert read_model(wrap(SMALL[0])) == read_model(SMALL[0])


def test_read_model_lets_a_mapping_close_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(SMALL[0][:400])
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        pytest.raises(FileFormatError, match="cut short") as caught,
    ):
        read_model(mapping)
    assert caught.value.__traceback__ is not None


def test_read_model_does_not_copy_weights(tmp_path: Path) -> None:
    size = 100_000_000
    path = tmp_path / "big.tflite"
    with path.open("wb") as file:
        file.write(big_model_head(size))
        file.truncate(size + 4096)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        tracemalloc.start()
        model = read_model(mapping)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [span.size for span in model.buffers] == [size]
    assert peak < 100_000


def big_model_head(size: int) -> bytes:
    """Build a model of one buffer whose bytes follow the returned ones."""
    parts = [
        struct.pack("<I4s", 32, b"TFL3"),
        struct.pack("<7H2x", 14, 8, 0, 0, 0, 0, 4),  # vtable of the model at 8: buffers only
        bytes(8),
        struct.pack("<iI", 32 - 8, 4),  # the model at 32, its buffers at 40
        struct.pack("<II", 1, 12),  # one buffer, at 56
        struct.pack("<3H2x", 6, 8, 4),  # vtable of the buffer at 48
        struct.pack("<iI", 56 - 48, 4),
        struct.pack("<I", size),
    ]
    return b"".join(parts)


def test_outside_buffers_are_checked_against_the_file() -> None:
    model = oracle(SMALL[0])
    model.buffers[-1].offset, model.buffers[-1].size = 1 << 40, 8
    with pytest.raises(FileFormatError, match="outside of its"):
        read_model(pack(model))
    model.buffers[-1].offset = 64
    assert read_model(pack(model)).buffers[-1] == (64, 8)


def pack(model: Any) -> bytes:
    flatbuffers = pytest.importorskip("flatbuffers")
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_names_that_are_not_utf8_are_escaped() -> None:
    data = (DATA / "metadata.tflite").read_bytes()
    damaged = data.replace(b"litert test model", b"litert \xfftest model"[:17])
    assert damaged != data
    assert read_model(damaged).description.startswith("litert \\xfftest")


@pytest.mark.parametrize("stem", sorted(REFUSED))
def test_damaged_models_are_refused(stem: str) -> None:
    with pytest.raises(FileFormatError, match=r"TFL3|damaged"):
        read_model((DATA / f"{stem}.tflite").read_bytes())


def read_or_refuse(data: bytes) -> None:
    """Read a damaged model: it is refused, or what comes back is sound and can be used."""
    started = time.perf_counter()
    try:
        model = read_model(data)
    except FileFormatError:
        model = None
    if isinstance(model, ModelFile):
        find_fatal_quantization(data, model)
        for subgraph in model.subgraphs:
            for tensor in subgraph.tensors:
                read_quantization(data, tensor)
        assert all(span.offset + span.size <= len(data) for span in model.buffers)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("data", SMALL[:2], ids=["add", "conv"])
def test_every_truncation_is_read_or_refused(data: bytes) -> None:
    for size in range(0, len(data), 3):
        read_or_refuse(data[:size])


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(SMALL), st.data())
def test_flipped_bytes_are_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    places = st.integers(0, len(data) - 1)
    for place, value in draw.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
    ):
        damaged[place] = value
    read_or_refuse(bytes(damaged))


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(SMALL), st.data())
def test_changed_offsets_are_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(data) // 4 - 1)) * 4
        value = draw.draw(st.sampled_from((0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC)))
        struct.pack_into("<I", damaged, place, value)
    read_or_refuse(bytes(damaged))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_garbage_behind_the_identifier_is_read_or_refused(tail: bytes) -> None:
    read_or_refuse(b"\x10\x00\x00\x00TFL3" + tail)


def test_tables_that_all_overlap_are_refused_quickly() -> None:
    # A vector of subgraphs that all are one, whose tensors all are one: 10^10 tables in 800 kB.
    count = 100_000
    head = struct.pack("<I4s", 32, b"TFL3") + struct.pack("<7H", 14, 12, 0, 0, 4, 0, 8)
    body = vector_of_one(count, 44)
    body += struct.pack("<iIHHHxx", -8, 12, 6, 8, 4)
    body += vector_of_one(count, 44 + len(body))
    body += struct.pack("<iHH", -4, 4, 4)
    # The model: subgraphs lie right behind it, the one buffer at the end.
    root = struct.pack("<iII", 32 - 8, 8, 4 + len(body))
    data = head.ljust(32, b"\x00") + root + body
    data += vector_of_one(1, len(data)) + struct.pack("<iHH", -4, 4, 4)
    started = time.perf_counter()
    with pytest.raises(FileFormatError, match="overlap"):
        read_model(data)
    assert time.perf_counter() - started < 10


def vector_of_one(count: int, start: int) -> bytes:
    """Build a vector whose offsets all point to the byte behind it."""
    end = start + 4 + 4 * count
    return struct.pack(f"<{count + 1}I", count, *(end - at for at in range(start + 4, end, 4)))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), 1), ((2, 3), 6), ((2, 0), 0), ((-1, 4), 0), ((1 << 31,) * 500_000, 1 << 62)],
    ids=["scalar", "matrix", "empty", "open", "hostile"],
)
def test_num_values_of_any_shape(shape: tuple[int, ...], expected: int) -> None:
    assert num_values(shape) == expected


def test_reader_stops_when_its_budget_is_spent() -> None:
    reader = Reader(memoryview(struct.pack("<IiHHHH", 8, 0, 0, 0, 4, 4)))
    with pytest.raises(FileFormatError, match="overlap"):
        deque(Table(reader, 8) for _ in range(10_000))
