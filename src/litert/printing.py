"""Printing for people: plain text, coloured by ``rich`` where that is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

_GAP = "  "
_CONTROL_CHARACTERS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


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


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the rows as lines with aligned columns, those in ``right`` to the right.

    The last column may have any length.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def count(number: int, what: str) -> str:
    """Say how many there are: ``"1 value"``, ``"2,000 values"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """Say a size in bytes, as ``"1.5 MB"``."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def printable(text: str) -> str:
    """Escape what could steer the terminal: a file's author chose the text."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def harmless(text: str) -> str:
    """Escape the control characters of a longer text, but for line breaks and tabs."""
    return text.translate(_CONTROL_CHARACTERS)
