"""Words of a text that comes in pieces, broken into lines."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert.cli.word_wrap import WordWrap

TEXTS = st.text(st.sampled_from("ab \n日é\u0301"), max_size=60)


def wrapped(text: str, width: int, indent: str = "") -> str:
    wrap = WordWrap(width, indent)
    return wrap.push(text) + wrap.flush()


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("", 10, ""),
        ("one two", 10, "  one two"),
        ("one two", 9, "  one two"),
        ("one two", 8, "  one\n  two"),
        ("one\n\ntwo", 10, "  one\n\n  two"),
        ("one two \n\n", 10, "  one two"),
        ("abcdefgh", 6, "  abcd\n  efgh"),
        ("- a\n  b", 10, "  - a\n    b"),
        ("\tif x:", 20, "      if x:"),
        ("日本語日本語", 8, "  日本語\n  日本語"),
        ("e\u0301e\u0301 e\u0301", 5, "  e\u0301e\u0301\n  e\u0301"),
    ],
)
def test_wrap_breaks_at_words(text, width, expected):
    assert wrapped(text, width, "  ") == expected


def test_wrap_shows_a_word_when_it_is_complete():
    wrap = WordWrap(80)
    pieces = [wrap.push(piece) for piece in ("Pa", "ris", " is", " a")] + [wrap.flush()]
    assert pieces == ["", "", "Paris", " is", " a"]


@settings(deadline=None)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 60)), width=st.integers(1, 20))
def test_wrap_does_not_depend_on_the_pieces(text, cuts, width):
    wrap = WordWrap(width, " ")
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    shown = [wrap.push(text[a:b]) for a, b in itertools.pairwise(edges)]
    assert "".join(shown) + wrap.flush() == wrapped(text, width, " ")


@settings(deadline=None)
@given(text=TEXTS, width=st.integers(2, 20))
def test_wrap_loses_no_character_and_keeps_the_width(text, width):
    lines = wrapped(text, width)
    assert "".join(lines.split()) == "".join(text.split())
    for line in lines.splitlines():
        assert sum({"日": 2, "\u0301": 0}.get(character, 1) for character in line) <= width
