"""Says why a sound model cannot run here: made for an NPU, or with operators that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from litert.model_file import Buffer, ModelFile, read_model

# Written by LiteRT's ahead-of-time compiler: two NUL-padded names, the second at byte 125
# (litert/core/build_stamp.cc). Some writers end it with one byte more.
_STAMP_NAME = "LiteRtStamp"
_STAMP_FIELD_BYTES = 125

_MANUFACTURERS = {"GoogleTensor": "Google Tensor", "IntelOpenVINO": "Intel"}

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

_NPU_OPERATORS = ("DISPATCH_OP", "NPU_OP")
_ADVICE = "load the plain .tflite that it was compiled from"


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
    custom_codes = _custom_codes(model)
    if any(code in _NPU_OPERATORS for code in custom_codes):
        npu = _stamped_npu(data, model) or _npu_in_byte_code(data) or "an NPU of unknown vendor"
        return f"the model is compiled ahead of time for {npu} and cannot run on the CPU; {_ADVICE}"
    for code in custom_codes:
        for pattern, npu in _VENDOR_OPERATORS:
            if pattern.match(code):
                return (
                    f"the model's custom operator {code!r} is made for the {npu} and cannot run "
                    f"on the CPU; {_ADVICE}"
                )
    return _explain_custom(custom_codes)


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
        "convert it without custom operators"
    )


def _stamped_npu(data: Buffer, model: ModelFile) -> str | None:
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
                return _npu(_MANUFACTURERS.get(manufacturer, manufacturer), chip)
    return None


def _npu_in_byte_code(data: Buffer) -> str | None:
    """Look for marks of a vendor's compiler in the first megabytes."""
    with memoryview(data) as view, view.cast("B") as flat, flat[:_MAX_BYTE_CODE_SEARCH] as head:
        for pattern, vendor in _BYTE_CODE_MARKS:
            found = pattern.search(head)
            if found is not None:
                chip = found[found.lastindex] if found.lastindex else b""
                return _npu(vendor, chip.decode("ascii"))
    return None


def _npu(vendor: str, chip: str) -> str:
    article = "an" if vendor[:1] in "AEIOU" else "a"
    return f"{article} {vendor} NPU (chip {chip})" if chip else f"{article} {vendor} NPU"
