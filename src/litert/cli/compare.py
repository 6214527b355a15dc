"""``--compare`` of the benchmark commands: with the Interpreter, or files with each other."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from litert.cli.profile_options import asks_for_profile
from litert.cpu import cpu_model
from litert.errors import OptionError
from litert.printing import count, printable, show

REFERENCE = "reference"
DEFAULT_RUNS = 50
DEFAULT_WARMUP = 5


def add_compare_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--compare`` to a parser."""
    parser.add_argument(
        "--compare", metavar="FILE", nargs="+",
        help="variants of the model to compare it with, or 'reference': ai-edge-litert's "
        "Interpreter (a file of that name: ./reference); the first file is the model where none "
        "is given",
    )  # fmt: skip


def settle_compare(
    model: str | None, compare: Sequence[str] | None
) -> tuple[str | None, list[str]]:
    """Say what a command line compares.

    Args:
        model: The model that is given by itself, None for none.
        compare: What ``--compare`` holds, None where it is left out.

    Returns:
        The model, None where one is missing; and the files to compare, the model first, or
        nothing where there are none.

    Raises:
        OptionError: The Interpreter and files together.
    """
    given = list(compare or ())
    if REFERENCE not in given:
        files = [*([] if model is None else [model]), *given] if given else []
        return (files[0] if files else model), files
    if model is None and given[0] == REFERENCE and len(given) == 2:
        return given[1], []  # the model stands behind the option
    if given != [REFERENCE]:
        raise OptionError(
            "--compare: 'reference' is ai-edge-litert's Interpreter, which is compared with one "
            "model and not with other files; a file of that name is ./reference"
        )
    return model, []


def run_comparison(args: argparse.Namespace, files: Sequence[str], version: str) -> int:
    """Compare files and print the table.

    Args:
        args: The options of the benchmark.
        files: What to compare.
        version: Of the library.

    Returns:
        The exit status, 0.

    Raises:
        LiteRTError: They cannot be compared.
    """
    from litert.cli.comparison_text import comparison_table
    from litert.comparison import NUM_INPUTS, compare_variants

    if asks_for_profile(args):
        raise OptionError("--profile: has no meaning with --compare FILE; give one model alone")
    num_runs = DEFAULT_RUNS if args.runs is None else args.runs
    variants = compare_variants(
        files,
        signature=args.signature,
        num_threads=args.threads,
        num_runs=num_runs,
        num_warmup=DEFAULT_WARMUP if args.warmup is None else args.warmup,
        seed=args.seed,
        backend=args.backend,
    )
    if args.json:
        told = {
            "num_threads": args.threads,
            "num_runs": num_runs,
            "library_version": version,
            "cpu": cpu_model(),
            "variants": [asdict(variant) for variant in variants],
        }
        print(json.dumps(_without_infinity(told)))
        return 0
    work = f"{count(args.threads, 'thread')}, {count(num_runs, 'run')} each, taking turns"
    show(
        [
            printable(f"{cpu_model()}, LiteRT {version}"),
            f"{work}; {NUM_INPUTS} random inputs compared",
            "",
            *comparison_table(variants),
        ]
    )
    return 0


def _without_infinity(value: Any) -> Any:
    """Replace what JSON has no number for by null."""
    if isinstance(value, dict):
        return {name: _without_infinity(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
