"""Names made where a model gives none, or the same one twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litert.naming import unique_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["x", "y"], ["x", "y"]),
        (["", ""], ["input_0", "input_1"]),
        (["x", "x"], ["x", "x_1"]),
        (["a", "a", "a"], ["a", "a_1", "a_2"]),
        (["x", "x", "x_1"], ["x", "x_2", "x_1"]),
        (["", "input_0"], ["input_0_1", "input_0"]),
        (["x", "", "x"], ["x", "input_1", "x_1"]),
    ],
)
def test_unique_names_keeps_first_holders(names: list[str], expected: list[str]) -> None:
    assert unique_names(names, "input") == expected


@given(st.lists(st.sampled_from(["", "x", "x_1", "x_2", "input_0", "input_1", "y"])))
def test_unique_names_are_unique_and_keep_what_they_can(names: list[str]) -> None:
    unique = unique_names(names, "input")
    assert len(unique) == len(names)
    assert len(set(unique)) == len(unique)
    assert "" not in unique
    assert set(names) - {""} <= set(unique)
    for index, name in enumerate(names):
        if name and names.index(name) == index:
            assert unique[index] == name
