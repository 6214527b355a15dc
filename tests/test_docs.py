"""Every Python example of the README, of docs/ and of the docstrings runs and gives what it says.

A block of plain Python is run; where a ``text`` block follows at once, it is what that prints.
A block that starts with ``>>>`` is a doctest. The blocks of a page run in order, in one namespace,
in a folder with the small models of tests/data.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import litert
import litert.inspection
import litert.samples

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

DOCUMENTED = {
    **{name: getattr(litert, name) for name in litert.__all__},
    "samples": litert.samples,
    "inspect_model": litert.inspection.inspect_model,
}


class Block(NamedTuple):
    """A fenced block of Python, and the text that it should print."""

    line: int
    code: str
    printed: str | None


def read_blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    fences = list(FENCE.finditer(text))
    for place, fence in enumerate(fences):
        if fence[1] != "python":
            continue
        follower = fences[place + 1] if place + 1 < len(fences) else None
        printed = None
        if follower is not None and follower[1] == "text":
            is_next = not text[fence.end() : follower.start()].strip()
            printed = follower[2] if is_next else None
        yield Block(text[: fence.start()].count("\n") + 2, fence[2], printed)


def run_doctest(name: str, code: str, names: dict[str, Any], line: int = 0) -> str:
    """Return what failed, as doctest tells it."""
    example = doctest.DocTestParser().get_doctest(code, names, name, name, line)
    example.globs = names  # not the copy, so that later blocks see what this one defines
    report = io.StringIO()
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=report.write, clear_globs=False)
    return report.getvalue()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with the models under the names that the examples use."""
    for path in DATA.glob("*.tflite"):
        shutil.copyfile(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_does_what_it_shows(page: Path) -> None:
    pytest.importorskip("ml_dtypes")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in read_blocks(page):
        where = f"{page.name}:{block.line}"
        if block.code.startswith(">>>"):
            failures = run_doctest(where, block.code, names, block.line - 1)
            assert not failures, failures
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.code, where, "exec"), names)
        if block.printed is not None:
            assert printed.getvalue() == block.printed, where


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_example_does_what_it_shows(name: str) -> None:
    documented = DOCUMENTED[name]
    assert documented.__doc__
    names = {"litert": litert, "np": np, name: documented}
    failures = run_doctest(name, documented.__doc__, names)
    assert not failures, failures


def test_readme_example_works_in_a_fresh_namespace() -> None:
    first = next(read_blocks(PAGES[0]))
    assert first.printed is not None
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        exec(compile(first.code, "README.md", "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == first.printed
    assert sum(1 for line in first.code.splitlines() if line) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text()):
        linked = page.parent / target if target else page
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
        anchors = [re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings]
        assert anchor in anchors


def test_runtime_page_names_every_error() -> None:
    text = (ROOT / "docs" / "runtime.md").read_text()
    errors = [name for name in litert.__all__ if name.endswith("Error") and name != "LiteRTError"]
    assert [name for name in errors if f"`{name}`" not in text] == []
