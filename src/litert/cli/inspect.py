"""``litert-native inspect``: what a model takes, gives and consists of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from litert.cli.summary_text import INDENT, indented, signature_lines, weight_lines
from litert.file_format import check_language_source
from litert.inspection import ModelSummary, inspect_model
from litert.printing import aligned, printable, size

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a model's signatures, operators and weights",
        description="Show what a .tflite or .litertlm file takes, gives and consists of, "
        "without loading it.",
    )
    parser.add_argument("model", metavar="MODEL", help="path of a .tflite or .litertlm file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary of ``args.model``, as JSON with ``args.json``.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is no sound .tflite or .litertlm file.
        UnsupportedModelError: It is a .litertlm file of another major version.
    """
    if check_language_source(args.model) == "litertlm":
        from litert.cli.inspect_language import format_language_summary
        from litert.language.inspection import inspect_language_file

        language = inspect_language_file(args.model)
        content, lines = language.to_json(), format_language_summary(language)
    else:
        summary = inspect_model(args.model)
        content, lines = summary.to_json(), format_summary(summary)
    print(json.dumps(content, indent=2) if args.json else "\n".join(lines))
    return 0


def format_summary(summary: ModelSummary) -> Iterator[str]:
    """Yield the lines of the summary as a person reads it."""
    yield f"{printable(summary.path or 'model')}  {size(summary.size_bytes)}"
    if summary.description:
        yield f"{INDENT}{printable(summary.description)}"
    if summary.compiled_for is not None:
        yield f"{INDENT}compiled for {printable(str(summary.compiled_for))}"
    for signature in summary.signatures.values():
        yield from signature_lines(signature)
    yield ""
    yield f"Operators  {sum(summary.operators.values())}"
    yield from _operators(summary.operators)
    if len(summary.subgraphs) > 1:
        yield from _subgraphs(summary)
    yield from weight_lines(summary)
    if summary.metadata:
        yield ""
        yield "Metadata"
        rows = [(printable(name), size(size_bytes)) for name, size_bytes in summary.metadata]
        yield from indented(aligned(rows))


def _subgraphs(summary: ModelSummary) -> Iterator[str]:
    for number, subgraph in enumerate(summary.subgraphs):
        yield ""
        yield f"Subgraph {number} {printable(subgraph.name)}".rstrip()
        yield from _operators(subgraph.operators)


def _operators(operators: Mapping[str, int]) -> Iterator[str]:
    rows = [(str(number), printable(name)) for name, number in operators.items()]
    return indented(aligned(rows, right=(0,)))
