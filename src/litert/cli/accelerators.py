"""``litert-native accelerators``: what models can run on here, and why not on the rest."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litert.accelerate.machine import Accelerator, accelerators
from litert.printing import printable, show

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_COLUMNS = 80


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "accelerators",
        help="say what models can run on here, and why not on the rest",
        description="Say what models can run on here: the CPU, a GPU and an NPU. "
        "The exit status is 0, whichever there are.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the accelerators."""
    found = accelerators()
    if args.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
    else:
        show(_describe(found))
    return 0


def _describe(found: Sequence[Accelerator]) -> Iterator[str]:
    states = {True: "available", False: "not available"}
    width = max(map(len, states.values()))
    for one in found:
        head = f"{one.name}  {states[one.available]:<{width}}  "
        for text in filter(None, (*one.devices, one.reason, one.details)):
            yield from _wrapped(head, printable(text))
            head = " " * len(head)


def _wrapped(head: str, text: str) -> list[str]:
    """Wrap at spaces alone, so that paths and commands can be copied."""
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
