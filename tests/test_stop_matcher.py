"""Stop strings and stop sequences, in the core and in Python, against a search of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert import _native
from litert.errors import LiteRTError
from litert.language import stops

MATCHERS = [stops.StopMatcher, _native.StopMatcher]
TOKENS = [stops.StopTokens, _native.StopTokens]
TEXT = st.text("ab\né😀", max_size=20)
STOPS = st.lists(st.text("ab\né😀", min_size=1, max_size=5), max_size=4)
IDS = st.lists(st.integers(0, 2), max_size=20)


def before_stop(whole: Any, sequences: Sequence[Any]) -> Any | None:
    """Return what comes before the stop that ends first, the longest of those; None for none."""
    for end in range(1, len(whole) + 1):
        found = [stop for stop in sequences if whole[:end][-len(stop) :] == stop]
        if found:
            return whole[: end - max(map(len, found))]
    return None


@pytest.mark.parametrize("matcher_type", MATCHERS)
@settings(deadline=None)
@given(st.lists(TEXT, max_size=6), STOPS)
def test_text_cut_anywhere_gives_what_a_search_of_it_gives(
    matcher_type: Any, pieces: list[str], stop_strings: list[str]
) -> None:
    matcher = matcher_type(stop_strings)
    answers = [matcher.push(piece) for piece in pieces]
    visible = "".join(text for _, text in answers) + matcher.flush()
    whole = "".join(pieces)
    expected = before_stop(whole, stop_strings)
    assert any(is_stopped for is_stopped, _ in answers) == (expected is not None)
    assert visible == (whole if expected is None else expected)


@settings(deadline=None)
@given(st.lists(TEXT, max_size=6), STOPS)
def test_core_and_python_hand_out_the_same_pieces(
    pieces: list[str], stop_strings: list[str]
) -> None:
    ours, native = stops.StopMatcher(stop_strings), _native.StopMatcher(stop_strings)
    for piece in pieces:
        assert ours.push(piece) == native.push(piece)
    assert ours.flush() == native.flush()


@pytest.mark.parametrize("tokens_type", TOKENS)
@settings(deadline=None)
@given(IDS, st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), max_size=4))
def test_ids_give_what_a_search_of_them_gives(
    tokens_type: Any, ids: list[int], sequences: list[list[int]]
) -> None:
    matcher = tokens_type(sequences)
    answers = [matcher.push(token) for token in ids]
    released = [token for _, some in answers for token in some] + matcher.flush()
    expected = before_stop(ids, sequences)
    assert any(is_stopped for is_stopped, _ in answers) == (expected is not None)
    assert released == (ids if expected is None else expected)


@pytest.mark.parametrize("matcher_type", MATCHERS)
def test_text_that_may_begin_a_stop_string_is_held_back(matcher_type: Any) -> None:
    matcher = matcher_type(["\n\nUser:"])
    assert matcher.push("one\n") == (False, "one")
    assert matcher.push("\nUs") == (False, "")
    assert matcher.push("ual\n") == (False, "\n\nUsual")
    assert matcher.flush() == "\n"


@pytest.mark.parametrize("matcher_type", MATCHERS)
def test_stop_string_that_ends_first_counts(matcher_type: Any) -> None:
    assert matcher_type(["abcd", "bc"]).push("xabcd") == (True, "xa")


@pytest.mark.parametrize("matcher_type", MATCHERS)
def test_longest_of_stop_strings_that_end_together_counts(matcher_type: Any) -> None:
    assert matcher_type(["bc", "abc"]).push("xabc") == (True, "x")


@pytest.mark.parametrize("matcher_type", MATCHERS)
def test_text_after_a_stop_string_is_dropped(matcher_type: Any) -> None:
    matcher = matcher_type(["b"])
    assert matcher.push("abc") == (True, "a")
    assert matcher.push("d") == (True, "")
    assert matcher.flush() == ""


@pytest.mark.parametrize("matcher_type", MATCHERS)
def test_empty_stop_string_is_refused(matcher_type: Any) -> None:
    with pytest.raises(LiteRTError, match="is empty; expected one"):
        matcher_type(["a", ""])


@pytest.mark.parametrize("tokens_type", TOKENS)
def test_ids_are_released_once_no_sequence_can_begin_with_them(tokens_type: Any) -> None:
    matcher = tokens_type([[1, 1, 2]])
    assert [matcher.push(token) for token in (1, 1, 1, 3)] == [
        (False, []),
        (False, []),
        (False, [1]),
        (False, [1, 1, 3]),
    ]


@pytest.mark.parametrize("tokens_type", TOKENS)
def test_ids_of_a_complete_sequence_are_dropped(tokens_type: Any) -> None:
    matcher = tokens_type([[5], [1, 2]])
    assert matcher.push(1) == (False, [])
    assert matcher.push(2) == (True, [])
    assert matcher.push(9) == (True, [])
    assert matcher.flush() == []


@pytest.mark.parametrize("tokens_type", TOKENS)
def test_empty_stop_sequence_is_refused(tokens_type: Any) -> None:
    with pytest.raises(LiteRTError, match="is empty; expected one"):
        tokens_type([[1], []])
