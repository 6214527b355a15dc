"""The public API as mypy sees it: typing_examples.py says what must be revealed, line by line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).with_name("typing_examples.py")


@pytest.fixture(scope="module")
def revealed() -> dict[int, str]:
    """What mypy reveals, by line; it finds no error in the examples."""
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLES.parent.parent,
    )
    assert done.returncode == 0, done.stdout
    found = re.findall(r':(\d+): note: Revealed type is "(.*)"', done.stdout)
    return {int(line): _modern(text) for line, text in found}


def _modern(text: str) -> str:
    """Return a type as newer versions of mypy write it."""
    text = text.replace("builtins.", "")
    return re.sub(r"Union\[(.*), None\]", r"\1 | None", text)


def expected() -> list[tuple[int, str]]:
    """The lines of the examples that reveal something, and what."""
    lines = enumerate(EXAMPLES.read_text().splitlines(), start=1)
    return [
        (number, line.split("  # ")[1].strip())
        for number, line in lines
        if line.lstrip().startswith("reveal_type(")
    ]


@pytest.mark.parametrize(("line", "text"), expected())
def test_mypy_reveals_what_the_example_says(revealed: dict[int, str], line: int, text: str) -> None:
    pattern = ".*".join(map(re.escape, text.split("...")))
    assert re.fullmatch(pattern, revealed[line]), revealed[line]
