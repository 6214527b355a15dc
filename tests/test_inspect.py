"""The summary of a model, and the command that prints it."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data import litertlm_writer as writer
from litert.builtin_operators import BUILTIN_OPERATORS
from litert.cli import inspect as command
from litert.cli.summary_text import signature_lines
from litert.element_types import ELEMENT_TYPES
from litert.errors import FileFormatError, ModelNotFoundError
from litert.inspection import WeightSummary, inspect_model
from litert.language.inspection import inspect_language_file
from litert.model_file import TENSOR_TYPES
from litert.tensor_info import Quantization, Signature, TensorInfo

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


# .litertlm files


def language_model(tmp_path: Path, parts: Sequence[writer.Part] | None = None) -> str:
    """Write a .litertlm file with a model that can be read, and return its path."""
    content = (DATA / "kv_step.tflite").read_bytes()
    if parts is None:
        parts = [*writer.sound_parts()[:3], writer.model(content=content)]
    path = tmp_path / "m.litertlm"
    path.write_bytes(writer.container(parts, entries={"Authors": "me\x1b[31m", "count": 3}))
    return str(path)


def test_language_model_is_printed_section_by_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = language_model(tmp_path)
    lines = run(capsys, path).splitlines()
    size = (DATA / "kv_step.tflite").stat().st_size
    assert lines[0].startswith(f"{path}  ")
    for line in (
        "  .litertlm format 1.7.0",
        "  Authors  me\\x1b[31m",
        "  count    (not text)",
        "Sections  4",
        "  2  huggingface_tokenizer    40 B",
        f"  3  tflite_model           {size / 1000:.1f} kB  tf_lite_prefill_decode",
        "Metadata  section 0",
        "  model type         gemma3",
        "  context length     1,280 tokens",
        "  stop tokens        1, '<end_of_turn>'",
        "  chat template      37 characters, 2 lines: '{{ messages[0].content }}'",
        "  sampler            top_p, k 40, p 0.95, temperature 0.5, seed 7",
        "Execution  section 1",
        "  caches                1 global_key, sequence axis 1, up to 1,280 tokens",
        "  sliding window        512 tokens",
        "Model  section 3  tf_lite_prefill_decode",
    ):
        assert line in lines
    signatures = [line for line in lines if line.startswith("Signature ")]
    assert signatures == [
        f"Signature {key}" for key in inspect_model(DATA / "kv_step.tflite").signatures
    ]
    assert max(map(len, lines[1:])) <= 100
    assert not any("cannot load" in line for line in lines)


def test_language_model_as_json_holds_sections_metadata_and_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads(run(capsys, language_model(tmp_path), "--json"))
    assert summary["format_version"] == "1.7.0"
    assert summary["problem"] is None
    metadata, executor, tokenizer, model = summary["sections"]
    assert metadata["metadata"]["stop_tokens"][1] == {"ids": [], "text": "<end_of_turn>"}
    assert executor["metadata"]["state_buffers"][1]["sequence_axis"] == 3
    assert tokenizer == {"kind": "huggingface_tokenizer", "begin": 49152, "end": 49192, "items": {}}
    expected = inspect_model(DATA / "kv_step.tflite").to_json() | {"path": None}
    assert model["model"] == json.loads(json.dumps(expected))


def test_language_model_that_cannot_run_is_shown_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (DATA / "add.tflite").read_bytes()
    path = language_model(tmp_path, [writer.model(content=content, backend_constraint="gpu")])
    text = run(capsys, path)
    assert "litert.LanguageModel cannot load it: its tf_lite_prefill_decode runs on gpu" in text
    assert "tf_lite_prefill_decode, backend_constraint gpu" in text
    assert "Operators  2" in text


def test_damaged_model_in_a_language_model_is_refused_by_section(tmp_path: Path) -> None:
    path = language_model(tmp_path, [writer.Part(1, b"x"), writer.model(content=bytes(64))])
    with pytest.raises(
        FileFormatError, match=r"m.litertlm': section 1 .tflite_model.: model bytes"
    ):
        inspect_language_file(path)


def test_damaged_metadata_in_a_language_model_is_refused_by_section(tmp_path: Path) -> None:
    path = language_model(tmp_path, [writer.Part("llm_metadata", b"\xff")])
    with pytest.raises(FileFormatError, match=r"section 0 .llm_metadata.: damaged LlmMetadata"):
        inspect_language_file(path)


def test_tensors_that_differ_in_a_number_are_folded() -> None:
    names = [f"kv_cache_k_{number}" for number in (0, 1, 10, 11, *range(2, 10))]
    inputs = {
        name: TensorInfo(name=name, shape=(1, 4), element_type="float32", quantization=None)
        for name in (*names, "mask", "other_1")
    }
    lines = list(signature_lines(Signature("decode", inputs, {})))
    assert [line.split() for line in lines[2:]] == [
        ["in", "kv_cache_k_0", "…", "kv_cache_k_11", "(12)", "float32[1,", "4]"],
        ["in", "mask", "float32[1,", "4]"],
        ["in", "other_1", "float32[1,", "4]"],
    ]


def test_folded_tensors_with_scales_of_their_own_say_so() -> None:
    inputs = {
        f"x_{number}": TensorInfo(f"x_{number}", (4,), "int8", Quantization(number + 1.0, 0))
        for number in range(8)
    }
    assert list(signature_lines(Signature("s", inputs, {})))[2].endswith("scales differ")


def test_every_real_language_model_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(SHARED.glob("llm/*.litertlm"))
    if not paths:
        pytest.skip("../shared/models is missing")
    for path in paths:
        text = run(capsys, str(path))
        assert "Signature prefill_128" in text
        assert "context length  256 tokens" in text
        assert "cannot load" not in text
