"""The lines that describe a model's signatures and weights to a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from litert.inspection import ModelSummary
from litert.printing import aligned, count, printable, size
from litert.tensor_info import Quantization, Signature, TensorInfo

INDENT = "  "

# So many tensors that differ in nothing but a number are shown in one line.
_MIN_FOLDED = 8


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines as they stand under a title."""
    return (f"{INDENT}{line}" for line in lines)


def signature_lines(signature: Signature) -> Iterator[str]:
    """Yield an empty line, the key, and a line an input and output."""
    yield ""
    yield f"Signature {printable(signature.key)}"
    rows = [
        *_tensor_rows("in", list(signature.inputs.values())),
        *_tensor_rows("out", list(signature.outputs.values())),
    ]
    yield from indented(aligned(rows))


def weight_lines(summary: ModelSummary) -> Iterator[str]:
    """Yield an empty line, the number of constants, and a line an element type."""
    yield ""
    yield f"Weights  {count(summary.num_parameters, 'value')}"
    rows = [
        (
            weight.element_type,
            count(weight.num_buffers, "buffer"),
            count(weight.num_values, "value"),
            size(weight.size_bytes),
        )
        for weight in summary.weights
    ]
    yield from indented(aligned(rows, right=(1, 2)))


def _tensor_rows(direction: str, infos: Sequence[TensorInfo]) -> list[Sequence[str]]:
    """Return a row a tensor, or one for the many that differ in nothing but a number."""
    groups: dict[tuple[str, str], list[TensorInfo]] = {}
    for info in infos:
        groups.setdefault((re.sub(r"\d+$", "#", info.name), str(info)), []).append(info)
    rows: list[Sequence[str]] = []
    for (_, described), group in groups.items():
        if len(group) < _MIN_FOLDED:
            for info in group:
                name, quantization = printable(info.name), _quantization(info.quantization)
                rows.append((direction, name, described, quantization))
            continue
        group.sort(key=lambda info: (len(info.name), info.name))
        names = f"{printable(group[0].name)} … {printable(group[-1].name)} ({len(group)})"
        kinds = {_quantization(info.quantization) for info in group}
        rows.append(
            (direction, names, described, kinds.pop() if len(kinds) == 1 else "scales differ")
        )
    return rows


def _quantization(quantization: Quantization | None) -> str:
    if quantization is None:
        return ""
    if isinstance(quantization.scale, tuple):
        return f"{len(quantization.scale)} scales along axis {quantization.axis}"
    return f"scale {quantization.scale:.6g}, zero point {quantization.zero_point}"
