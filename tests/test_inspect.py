"""The summary of a model, and the command that prints it."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from litert.builtin_operators import BUILTIN_OPERATORS
from litert.cli import inspect as command
from litert.element_types import ELEMENT_TYPES
from litert.errors import FileFormatError, ModelNotFoundError
from litert.inspection import WeightSummary, inspect_model
from litert.model_file import TENSOR_TYPES

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parent.parent.parent / "shared" / "models"
MODELS = sorted(
    path
    for path in (*DATA.glob("*.tflite"), *SHARED.glob("[mu]*/*.tflite"))
    if not path.stem.startswith("invalid_")
)


def oracle(path: Path) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))


def shape_of(tensor: Any) -> tuple[int, ...]:
    signature = [] if tensor.shapeSignature is None else list(tensor.shapeSignature)
    return tuple(signature or ([] if tensor.shape is None else list(tensor.shape)))


def size_of(buffer: Any) -> int:
    """Return the bytes of a buffer, inside of the FlatBuffer or behind it."""
    if buffer.offset > 1:
        return int(buffer.size)
    return 0 if buffer.data is None else len(buffer.data)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["inspect", *arguments])
    assert args.run(args) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_summary_agrees_with_generated_reader(path: Path) -> None:
    summary, expected = inspect_model(path), oracle(path)
    assert summary.size_bytes == path.stat().st_size
    counts: Counter[str] = Counter()
    for subgraph in expected.subgraphs or ():
        for operator in subgraph.operators or ():
            code = expected.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = BUILTIN_OPERATORS[number]
            counts[f"custom:{code.customCode.decode()}" if name == "CUSTOM" else name] += 1
    assert summary.operators == counts
    assert len(summary.subgraphs) == len(expected.subgraphs or ())
    for signature in expected.signatureDefs or ():
        tensors = expected.subgraphs[signature.subgraphIndex].tensors
        ours = summary.signatures[signature.signatureKey.decode()]
        for infos, entries in (
            (ours.inputs, signature.inputs),
            (ours.outputs, signature.outputs),
        ):
            assert {name: (info.shape, info.element_type) for name, info in infos.items()} == {
                entry.name.decode(): (
                    shape_of(tensors[entry.tensorIndex]),
                    TENSOR_TYPES[tensors[entry.tensorIndex].type],
                )
                for entry in entries or ()
            }


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_weights_agree_with_generated_reader(path: Path) -> None:
    summary, expected = inspect_model(path), oracle(path)
    sizes: dict[int, int] = {}
    for subgraph in expected.subgraphs or ():
        for tensor in subgraph.tensors or ():
            size = size_of(expected.buffers[tensor.buffer])
            if size:
                sizes[tensor.buffer] = size
    assert sum(weight.size_bytes for weight in summary.weights) == sum(sizes.values())
    assert sum(weight.num_buffers for weight in summary.weights) == len(sizes)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_model_is_printed_and_json_is_valid(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(capsys, str(path))
    assert text.startswith(f"{path}  ")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(run(capsys, str(path), "--json")) == json.loads(
        json.dumps(inspect_model(path).to_json())
    )


def test_outputs_follow_the_order_of_the_subgraph() -> None:
    path = DATA / "swapped_order.tflite"
    expected = oracle(path)
    entry, subgraph = expected.signatureDefs[0], expected.subgraphs[0]
    names = {item.tensorIndex: item.name.decode() for item in entry.outputs}
    in_order = [names[index] for index in subgraph.outputs]
    assert in_order != [item.name.decode() for item in entry.outputs]
    assert list(inspect_model(path).signatures[entry.signatureKey.decode()].outputs) == in_order


def test_model_without_signatures_is_called_main() -> None:
    summary = inspect_model(DATA / "no_signature.tflite")
    assert list(summary.signatures) == ["main"]


def test_repeated_names_are_made_unique() -> None:
    signature = inspect_model(DATA / "no_signature_same_names.tflite").signatures["main"]
    first, second = signature.inputs
    assert second == f"{first}_1"


def test_empty_names_are_made() -> None:
    path = SHARED / "upstream" / "no_signatures_no_tensor_names.tflite"
    if not path.exists():
        pytest.skip("../shared/models is missing")
    signature = inspect_model(path).signatures["main"]
    assert next(iter(signature.inputs)) == "input_0"
    assert next(iter(signature.outputs)) == "output_0"


def test_shared_weights_are_counted_once() -> None:
    expected = oracle(DATA / "shared_weights.tflite")
    used = {t.buffer for subgraph in expected.subgraphs for t in subgraph.tensors}
    tensors = [t for subgraph in expected.subgraphs for t in subgraph.tensors]
    constant = [t for t in tensors if expected.buffers[t.buffer].data is not None]
    summary = inspect_model(DATA / "shared_weights.tflite")
    num_buffers = sum(weight.num_buffers for weight in summary.weights)
    assert num_buffers < len(constant)
    assert num_buffers <= len(used)


def test_packed_weights_are_counted_as_values() -> None:
    summary = inspect_model(DATA / "int4_weights_dense.tflite")
    packed = next(weight for weight in summary.weights if weight.element_type == "int4")
    tensors = oracle(DATA / "int4_weights_dense.tflite").subgraphs[0].tensors
    weights = next(t for t in tensors if TENSOR_TYPES[t.type] == "int4")
    assert packed.num_values == math.prod(weights.shape)
    assert packed.size_bytes == math.ceil(packed.num_values / 2)
    assert packed == WeightSummary("int4", 1, packed.num_values, packed.size_bytes)


def test_parameters_are_the_sum_of_the_weights() -> None:
    summary = inspect_model(DATA / "mlp.tflite")
    floats = next(weight for weight in summary.weights if weight.element_type == "float32")
    bits = ELEMENT_TYPES["float32"].bits
    assert floats.num_values == floats.size_bytes * 8 // bits
    assert summary.num_parameters == sum(weight.num_values for weight in summary.weights)


def test_metadata_names_and_sizes() -> None:
    summary = inspect_model(DATA / "metadata.tflite")
    expected = oracle(DATA / "metadata.tflite")
    assert summary.metadata == tuple(
        (entry.name.decode(), size_of(expected.buffers[entry.buffer]))
        for entry in expected.metadata
    )


def test_bytes_give_the_same_summary_without_a_path() -> None:
    path = DATA / "add.tflite"
    summary = inspect_model(path.read_bytes())
    assert summary.path is None
    assert summary.signatures == inspect_model(path).signatures


def test_printed_summary_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(DATA / "int8_add.tflite")
    info = inspect_model(path).signatures["serving_default"].inputs["x"]
    text = run(capsys, path)
    assert info.quantization is not None
    lines = text.splitlines()
    assert lines[0] == f"{path}  704 B"
    assert "Signature serving_default" in lines
    assert (
        f"  in   x  int8[1, 8]  scale {info.quantization.scale:.6g}, "
        f"zero point {info.quantization.zero_point}"
    ) in lines
    assert "Operators  1" in lines
    assert "  1  ADD" in lines
    assert "Weights  0 values" in lines
    assert all(line == line.rstrip() for line in lines)


def test_control_flow_lists_its_subgraphs(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, str(DATA / "if_else.tflite"))
    assert "Subgraph 0" in text
    assert "Subgraph 2" in text


def test_terminal_escapes_in_names_are_shown_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (DATA / "metadata.tflite").read_bytes()
    path = tmp_path / "m.tflite"
    path.write_bytes(data.replace(b"litert test model", b"\x1b[31m\rtest model!"))
    text = run(capsys, str(path))
    assert "\x1b" not in text
    assert "\\x1b[31m\\rtest model!" in text


def test_damaged_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes((DATA / "add.tflite").read_bytes()[:400])
    with pytest.raises(FileFormatError, match=r"cut.tflite': damaged FlatBuffer: .*cut short"):
        inspect_model(path)
    with pytest.raises(FileFormatError, match=r"^model bytes: damaged"):
        inspect_model(path.read_bytes())


def test_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        inspect_model(tmp_path / "none.tflite")
