"""Printing for people: plain text, coloured by ``rich`` where that is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

_GAP = "  "


def show(lines: Iterable[str]) -> None:
    """Print lines; on a terminal with the extra ``cli`` installed, numbers and names in colour.

    ``NO_COLOR`` turns that off. A pipe or a file always gets plain text.
    """
    text = "\n".join(lines)
    # rich takes NO_COLOR for the colours alone and goes on with bold.
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        try:
            from rich.console import Console
        except ModuleNotFoundError:
            pass  # the extra is not installed
        else:
            Console().print(text, markup=False, emoji=False, soft_wrap=True)
            return
    print(text)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns; the last column may have any length."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    """Escape what could steer the terminal: a file's author chose the text."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
