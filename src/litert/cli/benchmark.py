"""``litert-native benchmark``: the same as ``python -m litert.benchmark``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    from litert.benchmark import add_arguments, run

    parser = subparsers.add_parser(
        "benchmark",
        help="measure a model's latency",
        description="Measure how long a .tflite model takes.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)
