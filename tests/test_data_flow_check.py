"""Graphs whose operators do not fit together are found before the library runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import litert
from litert.data_flow_check import find_broken_data_flow
from litert.model_file import read_model

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
flatbuffers: Any = pytest.importorskip("flatbuffers")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parent.parent.parent / "shared" / "models"


def load(stem: str) -> Any:
    data = (DATA / f"{stem}.tflite").read_bytes()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def fault(data: bytes) -> str | None:
    return find_broken_data_flow(read_model(data))


def operator(code: int, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, list(inputs), list(outputs)
    return made


def graph(
    operators: Sequence[tuple[str, Sequence[int], Sequence[int]]], outputs: Sequence[int] = (0,)
) -> bytes:
    """Build a graph without signatures over five tensors.

    0 is the float32[2, 3] input, 1 and 2 are of its kind, 3 is int32[2, 3], 4 a constant int32[2]
    with the values 2 and 3.
    """
    model = load("no_signature")
    subgraph = model.subgraphs[0]
    model.operatorCodes, subgraph.operators, subgraph.tensors = [], [], []
    for name, inputs, results in operators:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        subgraph.operators.append(operator(len(model.operatorCodes), inputs, results))
        model.operatorCodes.append(code)
    constant = schema.BufferT()
    constant.data = [2, 0, 0, 0, 3, 0, 0, 0]
    for number in range(5):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = f"t{number}".encode(), [2] if number == 4 else [2, 3]
        tensor.type = schema.TensorType.INT32 if number > 2 else schema.TensorType.FLOAT32
        tensor.buffer = len(model.buffers) if number == 4 else 0
        subgraph.tensors.append(tensor)
    model.buffers.append(constant)
    subgraph.inputs, subgraph.outputs = [0], list(outputs)
    return pack(model)


def without_input() -> bytes:
    """Leave tensor 1, an operand, out of the inputs."""
    model = load("add")
    model.subgraphs[0].inputs = [0]
    for signature in model.signatureDefs:
        signature.inputs = [entry for entry in signature.inputs if entry.tensorIndex == 0]
    return pack(model)


def in_second_subgraph() -> bytes:
    model = load("while_loop")
    body = model.subgraphs[1]
    body.operators[0].inputs = [body.operators[0].outputs[0], *body.operators[0].inputs[1:]]
    return pack(model)


READS = "reads tensor {}, which nothing has computed before"
CHANGES_TYPE = "operator number 0 of subgraph 0 changes the type of its tensor, which it cannot"

BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "tensor nobody computes": (
        lambda: graph([("ADD", (0, 2), (1,))], [1]),
        f"operator number 0 of subgraph 0 {READS.format(2)}",
    ),
    "its own output": (
        lambda: graph([("ADD", (1, 0), (1,))], [1]),
        f"operator number 0 of subgraph 0 {READS.format(1)}",
    ),
    "output of a later operator": (
        lambda: graph([("ADD", (0, 2), (1,)), ("ADD", (0, 0), (2,))], [1]),
        f"operator number 0 of subgraph 0 {READS.format(2)}",
    ),
    "second operator": (
        lambda: graph([("ADD", (0, 0), (1,)), ("ADD", (2, 1), (2,))], [2]),
        f"operator number 1 of subgraph 0 {READS.format(2)}",
    ),
    "operand that is no input": (
        without_input,
        f"operator number 0 of subgraph 0 {READS.format(1)}",
    ),
    "second subgraph": (in_second_subgraph, "operator number 0 of subgraph 1 reads tensor"),
    "output nobody computes": (
        lambda: graph([("ADD", (0, 0), (1,))], [1, 2]),
        "nothing computes the output tensor 2 of subgraph 0",
    ),
    "output without operators": (
        lambda: graph([], [1]),
        "nothing computes the output tensor 1 of subgraph 0",
    ),
    "RESHAPE": (lambda: graph([("RESHAPE", (0, 4), (3,))], [3]), CHANGES_TYPE),
    "SQUEEZE": (lambda: graph([("SQUEEZE", (0,), (3,))], [3]), CHANGES_TYPE),
    "EXPAND_DIMS": (lambda: graph([("EXPAND_DIMS", (0, 4), (3,))], [3]), CHANGES_TYPE),
}

SOUND: dict[str, Callable[[], bytes]] = {
    "chain": lambda: graph([("ADD", (0, 0), (1,)), ("ADD", (1, 0), (2,))], [2]),
    "input as output": lambda: graph([("ADD", (0, 0), (1,))], [0, 1]),
    "constant as output": lambda: graph([("ADD", (0, 0), (1,))], [1, 4]),
    "RESHAPE": lambda: graph([("RESHAPE", (0, 4), (1,))], [1]),
    "CAST": lambda: graph([("CAST", (0,), (3,))], [3]),
}


@pytest.mark.parametrize(("make", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_graph_is_found(make: Callable[[], bytes], text: str) -> None:
    assert text in (fault(make()) or "")


@pytest.mark.parametrize(("make", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_graph_is_refused_by_either_backend(
    backend: Any, make: Callable[[], bytes], text: str
) -> None:
    with pytest.raises(litert.FileFormatError, match=f"damaged model: .*{text}"):
        litert.Model(make(), backend=backend)


@pytest.mark.parametrize("make", SOUND.values(), ids=SOUND.keys())
def test_sound_graph_passes(make: Callable[[], bytes]) -> None:
    assert fault(make()) is None


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("ADD", (0, -1)),
        ("ADD", (-1, 0)),
        ("MUL", (0, -1)),
        ("RELU", (-1,)),
        ("RESHAPE", (0, -1)),
        ("TRANSPOSE", (0, -1)),
        ("CONCATENATION", (0, -1)),
    ],
)
def test_operand_left_out_where_the_kernel_needs_it_is_found(
    name: str, inputs: tuple[int, ...]
) -> None:
    # The library follows it, and the process ends.
    assert fault(graph([(name, inputs, (1,))], [1])) is not None


@pytest.mark.parametrize("stem", ["mlp", "svdf_state"])
def test_operand_left_out_where_it_is_optional_passes(stem: str) -> None:
    model = load(stem)
    bias = {schema.BuiltinOperator.FULLY_CONNECTED: 2, schema.BuiltinOperator.SVDF: 3}
    for step in model.subgraphs[0].operators:
        code = model.operatorCodes[step.opcodeIndex]
        place = bias.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        if place is not None:
            step.inputs = [*step.inputs[:place], -1]
    assert fault(pack(model)) is None


@pytest.mark.parametrize("is_variable", [True, False])
def test_variable_tensor_may_be_read_before_it_is_written(is_variable: bool) -> None:
    data = graph([("ADD", (0, 1), (2,))], [2])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    model.subgraphs[0].tensors[1].isVariable = is_variable
    assert (fault(pack(model)) is None) is is_variable


@pytest.mark.parametrize(("shape", "is_known"), [([0], True), ([2, 0, 3], True), ([2], False)])
def test_constant_without_values_needs_no_data(shape: list[int], is_known: bool) -> None:
    data = graph([("ADD", (0, 1), (2,))], [2])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    model.subgraphs[0].tensors[1].shape = shape
    assert (fault(pack(model)) is None) is is_known


def test_constant_in_another_file_may_be_read() -> None:
    data = graph([("ADD", (0, 1), (2,))], [2])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    model.subgraphs[0].tensors[1].externalBuffer = 1
    assert fault(pack(model)) is None


def sound_models(folder: Path) -> list[Path]:
    return [
        path for path in sorted(folder.rglob("*.tflite")) if not path.stem.startswith("invalid_")
    ]


def test_models_of_the_repository_pass() -> None:
    paths = sound_models(DATA)
    assert paths
    assert {path.name: fault(path.read_bytes()) for path in paths} == {
        path.name: None for path in paths
    }


# Broken on purpose by those who made them.
BROKEN_UPSTREAM = {
    "add_shared_tensors.tflite": READS.format(0),
    "blockwise_quantized.tflite": READS.format(2),
    "segment_sum_invalid_buffer.tflite": READS.format(2),
}


def test_larger_models_pass() -> None:
    paths = sound_models(SHARED)
    if not paths:
        pytest.skip("../shared/models is missing")
    for path in paths:
        found, expected = fault(path.read_bytes()), BROKEN_UPSTREAM.get(path.name)
        assert expected in (found or "") if expected else found is None, (path, found)
