"""``litert-native inspect``: what a model takes, gives and consists of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from litert.inspection import ModelSummary, inspect_model
from litert.tensor_info import Quantization, TensorInfo

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_INDENT = "  "


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a model's signatures, operators and weights",
        description="Show what a .tflite model takes, gives and consists of, without loading it.",
    )
    parser.add_argument("model", metavar="MODEL", help="path of a .tflite file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary of ``args.model``, as JSON with ``args.json``.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is no sound .tflite model.
    """
    summary = inspect_model(args.model)
    if args.json:
        print(json.dumps(summary.to_json(), indent=2))
    else:
        print("\n".join(format_summary(summary)))
    return 0


def format_summary(summary: ModelSummary) -> Iterator[str]:
    """Yield the lines of the summary as a person reads it."""
    yield f"{_clean(summary.path or 'model')}  {_size(summary.size_bytes)}"
    if summary.description:
        yield f"{_INDENT}{_clean(summary.description)}"
    for signature in summary.signatures.values():
        yield ""
        yield f"Signature {_clean(signature.key)}"
        tensors = [("in", info) for info in signature.inputs.values()]
        tensors += [("out", info) for info in signature.outputs.values()]
        yield from _table([_tensor_row(direction, info) for direction, info in tensors])
    yield ""
    yield f"Operators  {sum(summary.operators.values())}"
    yield from _operators(summary.operators)
    if len(summary.subgraphs) > 1:
        yield from _subgraphs(summary)
    yield ""
    yield f"Weights  {_count(summary.num_parameters, 'value')}"
    yield from _table(
        [
            (
                weight.element_type,
                _count(weight.num_buffers, "buffer"),
                _count(weight.num_values, "value"),
                _size(weight.size_bytes),
            )
            for weight in summary.weights
        ],
        right=(1, 2),
    )
    if summary.metadata:
        yield ""
        yield "Metadata"
        yield from _table([(_clean(name), _size(size)) for name, size in summary.metadata])


def _subgraphs(summary: ModelSummary) -> Iterator[str]:
    for number, subgraph in enumerate(summary.subgraphs):
        yield ""
        yield f"Subgraph {number} {_clean(subgraph.name)}".rstrip()
        yield from _operators(subgraph.operators)


def _operators(operators: Mapping[str, int]) -> Iterator[str]:
    return _table([(str(count), _clean(name)) for name, count in operators.items()], right=(0,))


def _tensor_row(direction: str, info: TensorInfo) -> Sequence[str]:
    return direction, _clean(info.name), str(info), _quantization(info.quantization)


def _quantization(quantization: Quantization | None) -> str:
    if quantization is None:
        return ""
    if isinstance(quantization.scale, tuple):
        return f"{len(quantization.scale)} scales along axis {quantization.axis}"
    return f"scale {quantization.scale:.6g}, zero point {quantization.zero_point}"


def _table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Yield rows with aligned columns, those in ``right`` to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"{_INDENT}{_INDENT.join(cells)}".rstrip()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size_bytes: int) -> str:
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def _clean(text: str) -> str:
    """Escape what could steer the terminal: the file's author chose the text."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
