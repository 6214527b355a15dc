"""Says what NPU a model is compiled for, and why a sound model cannot run here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from litert.model_file import Buffer, ModelFile, read_model

# Written by LiteRT's ahead-of-time compiler: two NUL-padded names, the second at byte 125
# (litert/core/build_stamp.cc). Some writers end it with one byte more.
_STAMP_NAME = "LiteRtStamp"
_STAMP_FIELD_BYTES = 125

_MANUFACTURERS = {
    "Google": "Google Tensor",
    "GoogleTensor": "Google Tensor",
    "IntelOpenVINO": "Intel",
}

# Custom operators that hold or need one vendor's byte code, and that vendor's NPU.
_VENDOR_OPERATORS = (
    (re.compile("MTKEXT_|mtk_neuron|NEURON_", re.IGNORECASE), "MediaTek NPU"),
    (re.compile("edgetpu-custom-op"), "Google Coral Edge TPU"),
    (re.compile("ethos-u"), "Arm Ethos-U NPU"),
    (re.compile("qnn|QNN_"), "Qualcomm NPU"),
    (re.compile("vsi-npu"), "VeriSilicon NPU"),
)

# Files compiled before there was a stamp: what the byte code itself says, by the vendor's own name
# of the chip where a group holds it. The first that matches counts.
_BYTE_CODE_MARKS = (
    (re.compile(rb"soc_type=(SM\d{4})"), "Qualcomm"),
    (re.compile(rb"_(mt\d{4})_[^\x00]{,256}\.dla"), "MediaTek"),
    (re.compile(rb"([a-z]{2,12}_[a-z]\d).{,16}dwg_tpu", re.DOTALL), "Google Tensor"),
    (re.compile(rb"qnn_partition"), "Qualcomm"),
    (re.compile(rb"Neuron SHA1"), "MediaTek"),
    (re.compile(rb"dwg_tpu"), "Google Tensor"),
)
_MAX_BYTE_CODE_SEARCH = 1 << 24

# The custom operators that stand for a compiled part of the graph.
NPU_OPERATORS = ("DISPATCH_OP", "NPU_OP")

_ADVICE = "load the plain .tflite that it was compiled from"


@dataclass(frozen=True, slots=True)
class CompiledFor:
    """The NPU that a model is compiled for ahead of time. Immutable; as text ``"an Intel NPU"``.

    Attributes:
        vendor: ``"Intel"``, ``"Qualcomm"``, ``"MediaTek"``, ``"Google Tensor"``, ``"Samsung"``, or
            what the file says; empty where it does not say.
        chip: By the vendor's own name, empty where the file does not say.
    """

    vendor: str
    chip: str

    def __str__(self) -> str:
        if not self.vendor:
            return "an NPU of unknown vendor"
        article = "an" if self.vendor[0] in "AEIOU" else "a"
        npu = f"{article} {self.vendor} NPU"
        return f"{npu} (chip {self.chip})" if self.chip else npu


def compiled_for(data: Buffer, model: ModelFile | None = None) -> CompiledFor | None:
    """Tell which NPU a model is compiled for.

    Args:
        data: The whole model; of one that is compiled without a stamp, the first megabytes are
            searched.
        model: What ``read_model`` gave for it, where that is at hand.

    Returns:
        The NPU, None for a plain model.

    Raises:
        FileFormatError: The bytes are no sound .tflite model.

    Example:
        >>> str(compiled_for(path.read_bytes()))
        'an Intel NPU (chip PTL)'
    """
    model = model or read_model(data)
    if not any(code in NPU_OPERATORS for code in _custom_codes(model)):
        return None
    return _stamped_npu(data, model) or _npu_in_byte_code(data) or CompiledFor("", "")


def explain_unrunnable(data: Buffer) -> str | None:
    """Say why the library could not prepare a model, as far as the file tells.

    Args:
        data: The whole model; it is searched, so call this once loading has failed.

    Returns:
        A message without the model's name, None where nothing is known.

    Raises:
        FileFormatError: The bytes are no sound .tflite model.
    """
    model = read_model(data)
    npu = compiled_for(data, model)
    if npu is not None:
        return _explain_compiled(npu)
    custom_codes = _custom_codes(model)
    for code in custom_codes:
        for pattern, processor in _VENDOR_OPERATORS:
            if pattern.match(code):
                return (
                    f"the model's custom operator {code!r} is made for the {processor} and cannot "
                    f"run on the CPU; {_ADVICE}"
                )
    return _explain_custom(custom_codes)


def _explain_compiled(npu: CompiledFor) -> str:
    if npu.vendor == "Intel":
        way = 'load it with accelerator="npu" where that NPU and OpenVINO are'
    else:
        whose = f"{npu.vendor}'s" if npu.vendor else "the vendor's"
        way = f"it runs on a device with that NPU and {whose} dispatch library, as Android has it"
    return (
        f"the model is compiled ahead of time for {npu} and cannot run on the CPU; {way}, or "
        f"{_ADVICE}"
    )


def _custom_codes(model: ModelFile) -> list[str]:
    """Return the custom operators in use, each once, in the order of the file."""
    codes: dict[str, None] = {}
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if operator.code.custom_code is not None:
                codes[operator.code.custom_code] = None
    return list(codes)


def _explain_custom(codes: Sequence[str]) -> str | None:
    if not codes:
        return None
    names = ", ".join(repr(code) for code in codes)
    if all(code.startswith("Flex") for code in codes):
        return (
            f"the model needs TensorFlow operators ({names}), which the library does not have; "
            "convert it without SELECT_TF_OPS"
        )
    return (
        f"the model has custom operators that the library may not have: {names}; "
        "give their kernels as custom_ops=[litert.CustomOp(...)], or convert it without them"
    )


def _stamped_npu(data: Buffer, model: ModelFile) -> CompiledFor | None:
    for entry in model.metadata:
        if entry.name == _STAMP_NAME and entry.content.size >= 2 * _STAMP_FIELD_BYTES:
            start = entry.content.offset
            manufacturer, chip = (
                bytes(data[offset : offset + _STAMP_FIELD_BYTES])
                .split(b"\x00")[0]
                .decode("utf-8", "backslashreplace")
                for offset in (start, start + _STAMP_FIELD_BYTES)
            )
            if manufacturer:
                return CompiledFor(_MANUFACTURERS.get(manufacturer, manufacturer), chip)
    return None


def _npu_in_byte_code(data: Buffer) -> CompiledFor | None:
    """Look for marks of a vendor's compiler in the first megabytes."""
    with memoryview(data) as view, view.cast("B") as flat, flat[:_MAX_BYTE_CODE_SEARCH] as head:
        for pattern, vendor in _BYTE_CODE_MARKS:
            found = pattern.search(head)
            if found is not None:
                chip = found[found.lastindex] if found.lastindex else b""
                return CompiledFor(vendor, chip.decode("ascii"))
    return None
