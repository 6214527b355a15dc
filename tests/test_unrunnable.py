"""Why a sound model cannot run here: the NPU or the custom operators that it needs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import litert
from litert.errors import FileFormatError
from litert.unrunnable import CompiledFor, compiled_for, explain_unrunnable

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")

DATA = Path(__file__).parent / "data"
UPSTREAM = Path(__file__).parent.parent.parent / "shared" / "models" / "upstream"

NPU_MODELS = {
    "precompiled_mediatek_model": ("MediaTek", "mt6989"),
    "simple_model_npu_mediatek_mt6989_precompiled": ("MediaTek", "mt6989"),
    "simple_model_npu_google_tensor_precompiled": ("Google Tensor", "rio_a0"),
    "shared_input_cpu_npu_google_tensor_precompiled": ("Google Tensor", "rio_a0"),
    "simple_add_op_google_tensor_p25_precompiled": ("Google Tensor", "P25"),
    "simple_model_qualcomm_sm8650_precompiled": ("Qualcomm", "SM8650"),
    "simple_add_op.sm8750": ("Qualcomm", "SM8750"),
    "simple_add_op_qc_v75_precompiled": ("Qualcomm", "V75"),
    "with_metadata": ("ExampleSocManufacturer", "ExampleSocModel"),
}


def upstream(stem: str) -> bytes:
    path = UPSTREAM / f"{stem}.tflite"
    if not path.exists():
        pytest.skip("../shared/models is missing")
    return path.read_bytes()


def custom_model(*codes: str, metadata: dict[str, bytes] | None = None) -> bytes:
    """Build the ADD model anew with its operators replaced by custom ones."""
    flatbuffers = pytest.importorskip("flatbuffers")
    data = (DATA / "int8_add.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    operator = model.subgraphs[0].operators[0]
    model.operatorCodes, model.subgraphs[0].operators = [], []
    for index, name in enumerate(codes):
        code = schema.OperatorCodeT()
        code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name
        model.operatorCodes.append(code)
        copy = schema.OperatorT()
        copy.inputs, copy.outputs, copy.opcodeIndex = operator.inputs, operator.outputs, index
        model.subgraphs[0].operators.append(copy)
    model.metadata = []
    for name, content in (metadata or {}).items():
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = list(content)
        model.buffers.append(buffer)
        entry.name, entry.buffer = name, len(model.buffers) - 1
        model.metadata.append(entry)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def stamp(manufacturer: str, chip: str) -> bytes:
    return manufacturer.encode().ljust(125, b"\0") + chip.encode().ljust(125, b"\0")


@pytest.mark.parametrize("stem", sorted(NPU_MODELS))
def test_npu_model_names_vendor_and_chip(stem: str) -> None:
    vendor, chip = NPU_MODELS[stem]
    message = explain_unrunnable(upstream(stem))
    assert message is not None
    assert f" {vendor} NPU (chip {chip})" in message
    assert message.endswith("load the plain .tflite that it was compiled from")


def test_stamp_names_vendor_and_chip() -> None:
    data = custom_model("DISPATCH_OP", metadata={"LiteRtStamp": stamp("Samsung", "E9955")})
    assert explain_unrunnable(data) == (
        "the model is compiled ahead of time for a Samsung NPU (chip E9955) and cannot run on the "
        "CPU; it runs on a device with that NPU and Samsung's dispatch library, as Android has it, "
        "or load the plain .tflite that it was compiled from"
    )


def test_model_for_an_intel_npu_is_told_how_to_run() -> None:
    data = custom_model("DISPATCH_OP", metadata={"LiteRtStamp": stamp("IntelOpenVINO", "PTL")})
    assert explain_unrunnable(data) == (
        "the model is compiled ahead of time for an Intel NPU (chip PTL) and cannot run on the "
        'CPU; load it with accelerator="npu" where that NPU and OpenVINO are, or load the plain '
        ".tflite that it was compiled from"
    )


@pytest.mark.parametrize(
    ("manufacturer", "vendor"),
    [("IntelOpenVINO", "Intel"), ("Google", "Google Tensor"), ("GoogleTensor", "Google Tensor")],
)
def test_stamp_is_read_by_the_vendors_usual_name(manufacturer: str, vendor: str) -> None:
    data = custom_model("DISPATCH_OP", metadata={"LiteRtStamp": stamp(manufacturer, "X1")})
    assert compiled_for(data) == CompiledFor(vendor, "X1")


@pytest.mark.parametrize("vendor", ["Qualcomm", "MediaTek", "Google Tensor", "Samsung"])
@pytest.mark.parametrize(
    ("accelerator", "error", "message"),
    [
        ("cpu", litert.UnsupportedModelError, "ahead of time for {} and cannot run on the CPU; "),
        (("gpu", "cpu"), litert.UnsupportedModelError, "ahead of time for {} and cannot run on"),
        (("npu", "cpu"), litert.UnsupportedModelError, "ahead of time for {} and cannot run on"),
        ("gpu", litert.AcceleratorError, "'gpu': the model is compiled for {}$"),
        ("npu", litert.AcceleratorError, "'npu': the model is compiled for {}, not for one of In"),
        ("auto", litert.AcceleratorError, "'npu': the model is compiled for {}, not for one of I"),
    ],
)
def test_model_compiled_for_another_vendor_is_explained_at_load(
    software_gpu: Path, vendor: str, accelerator: Any, error: type[Exception], message: str
) -> None:
    data = custom_model("DISPATCH_OP", metadata={"LiteRtStamp": stamp(vendor, "X1")})
    expected = message.format(rf"a {vendor} NPU \(chip X1\)")
    with pytest.raises(error, match=expected):
        litert.Model(data, accelerator=accelerator)


def test_plain_model_is_compiled_for_nothing() -> None:
    assert compiled_for((DATA / "add.tflite").read_bytes()) is None


def test_stamp_without_a_compiled_operator_is_no_compiled_model() -> None:
    data = custom_model("Sinh", metadata={"LiteRtStamp": stamp("Samsung", "E9955")})
    assert compiled_for(data) is None


def test_unknown_vendor_is_empty() -> None:
    npu = compiled_for(custom_model("DISPATCH_OP"))
    assert npu == CompiledFor("", "")
    assert str(npu) == "an NPU of unknown vendor"


def test_empty_stamp_falls_back_to_the_byte_code() -> None:
    data = custom_model("DISPATCH_OP", metadata={"LiteRtStamp": bytes(250)})
    assert "an NPU of unknown vendor" in (explain_unrunnable(data) or "")
    message = explain_unrunnable(data + b"graph=1;soc_type=SM8650;num_nsps=1")
    assert "a Qualcomm NPU (chip SM8650)" in (message or "")


@pytest.mark.parametrize(
    ("code", "npu"),
    [
        ("MTKEXT_CONV_2D", "MediaTek NPU"),
        ("edgetpu-custom-op", "Google Coral Edge TPU"),
        ("ethos-u", "Arm Ethos-U NPU"),
    ],
)
def test_vendor_operator_names_its_npu(code: str, npu: str) -> None:
    message = explain_unrunnable(custom_model("Known", code))
    assert message is not None
    assert repr(code) in message
    assert npu in message


def test_mediatek_extension_of_upstream_is_named() -> None:
    assert "MediaTek NPU" in (explain_unrunnable(upstream("MTKEXT_CONV_2D")) or "")


def test_custom_operators_are_listed_once_each() -> None:
    message = explain_unrunnable(custom_model("Sinh", "Cosh", "Sinh"))
    assert message == (
        "the model has custom operators that the library may not have: 'Sinh', 'Cosh'; "
        "give their kernels as custom_ops=[litert.CustomOp(...)], or convert it without them"
    )


def test_flex_operators_name_the_converter_option() -> None:
    assert "SELECT_TF_OPS" in (explain_unrunnable(custom_model("FlexDouble")) or "")


def test_plain_model_has_no_explanation() -> None:
    assert explain_unrunnable((DATA / "add.tflite").read_bytes()) is None


def test_damaged_model_is_refused() -> None:
    with pytest.raises(FileFormatError, match="cut short"):
        explain_unrunnable((DATA / "add.tflite").read_bytes()[:400])


@pytest.mark.parametrize("filler", [b"a", b"_mt6989_", b"ab_a0", b"soc_type="])
def test_search_of_byte_code_is_quick(filler: bytes) -> None:
    data = custom_model("DISPATCH_OP") + filler * (4_000_000 // len(filler))
    started = time.perf_counter()
    assert "unknown vendor" in (explain_unrunnable(data) or "")
    assert time.perf_counter() - started < 20
