"""Other context lengths by changing numbers of a model file in place."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert

pytest.importorskip("litert._native", reason="needs the extension module")
pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema and the Interpreter")

from data.model_kinds.attention import LENGTH, Attention, attention, move_outside
from length_plans import generate, plan_of, ports_of, rewritten
from litert._native import LengthPlan

SMALL = "llm/small_llama_{}.tflite"
FULL = 256
TABLE = attention(Attention(mask="table")).to_bytes()
PORTS = ports_of(TABLE)

# --- models of our own ---


@pytest.mark.parametrize(
    ("options", "use", "max_length", "num_tables"),
    [
        (Attention(), "resizable", 2**31 - 1, 0),
        (Attention(is_reshaped=True), "rewritable", 2**31 - 1, 0),
        (Attention(mask="table"), "rewritable", LENGTH, 1),
        (Attention(mask="window"), "rewritable", LENGTH, 2),
    ],
    ids=["mask", "reshaped", "table", "window"],
)
def test_plan_tells_what_carries_the_length(
    options: Attention, use: str, max_length: int, num_tables: int
) -> None:
    plan = plan_of(attention(options).to_bytes())
    assert (plan.use, plan.reason, plan.length) == (use, "", LENGTH)
    assert (plan.max_length, plan.num_tables) == (max_length, num_tables)


@pytest.mark.parametrize(
    "options",
    [
        Attention(),
        Attention(is_reshaped=True),
        Attention(mask="table"),
        Attention(mask="table", num_tokens=(4, 8, 1)),
        Attention(mask="window"),
    ],
    ids=["mask", "reshaped", "table", "several_prefills", "window"],
)
@pytest.mark.parametrize("new_length", [8, 9, LENGTH])
def test_rewritten_model_gives_the_same_results(options: Attention, new_length: int) -> None:
    content = attention(options).to_bytes()
    shorter = rewritten(content, LENGTH, new_length)
    assert len(shorter) == len(content)
    np.testing.assert_array_equal(
        generate(shorter, new_length, prefill="prefill_4"),
        generate(content, LENGTH, prefill="prefill_4"),
        strict=True,
    )


# Sizes that are the length by coincidence, before or after the change.
@pytest.mark.parametrize(
    "options",
    [
        Attention(width=LENGTH),
        Attention(width=LENGTH, is_reshaped=True),
        Attention(num_tokens=(4, LENGTH, 1)),
        Attention(num_tokens=(4, LENGTH, 1), mask="table"),
        Attention(width=16, is_reshaped=True),
    ],
    ids=["width", "width_reshaped", "rows", "rows_table", "width_is_the_new_length"],
)
def test_equal_numbers_that_are_not_the_length_stay(options: Attention) -> None:
    content = attention(options).to_bytes()
    shorter = rewritten(content, LENGTH, 16)
    np.testing.assert_array_equal(
        generate(shorter, 16, prefill="prefill_4"),
        generate(content, LENGTH, prefill="prefill_4"),
        strict=True,
    )


def test_longer_context_is_written_where_no_table_ends() -> None:
    content = attention(Attention(is_reshaped=True)).to_bytes()
    longer = rewritten(content, LENGTH, 100)
    np.testing.assert_array_equal(
        generate(longer, 100, prefill="prefill_4"), generate(content, LENGTH, prefill="prefill_4")
    )


def test_data_outside_of_the_flatbuffer_is_shortened_there() -> None:
    options = Attention(mask="table")
    model = attention(options)
    content = move_outside(model, 1)
    assert model.table.buffers[1].offset > 1000
    shorter = rewritten(content, LENGTH, 16)
    np.testing.assert_array_equal(
        generate(shorter, 16, prefill="prefill_4"),
        generate(attention(options).to_bytes(), LENGTH, prefill="prefill_4"),
    )


# --- apply ---


@pytest.mark.parametrize(
    ("options", "new_length", "expected"),
    [
        (Attention(), 0, "expected 1 to 2147483647"),
        (Attention(mask="table"), LENGTH + 1, f"expected 1 to {LENGTH}"),
        (Attention(mask="none"), 16, f"expected {LENGTH} to {LENGTH}: a sum over"),
    ],
    ids=["none", "table_ends", "fixed"],
)
def test_length_out_of_range_is_refused_and_changes_nothing(
    options: Attention, new_length: int, expected: str
) -> None:
    content = attention(options).to_bytes()
    copy = bytearray(content)
    with pytest.raises(litert.LiteRTError, match=expected):
        plan_of(content).apply(copy, new_length)
    assert copy == content


def test_other_bytes_are_refused_and_stay_as_they_are() -> None:
    content = attention().to_bytes()
    plan = plan_of(content)
    for other in (content + b"\0", b"", rewritten(content, LENGTH, 16)):
        copy = bytearray(other)
        with pytest.raises(litert.LiteRTError, match="copy of the analysed file"):
            plan.apply(copy, 16)
        assert copy == other


# --- damaged files ---


def check_safety(content: bytes) -> None:
    """Whatever the bytes: an error of ours, or a plan that keeps the size of the file."""
    try:
        plan = LengthPlan.analyse(content, PORTS, LENGTH)
    except litert.FileFormatError:
        return
    if plan.use != "fixed":
        copy = bytearray(content)
        plan.apply(copy, 16)
        assert len(copy) == len(content)


def test_truncated_file_is_an_error_or_safe() -> None:
    for size in range(0, len(TABLE), 7):
        check_safety(TABLE[:size])
    with pytest.raises(litert.FileFormatError, match="damaged model"):
        LengthPlan.analyse(b"", PORTS, LENGTH)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(TABLE) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes_are_an_error_or_safe(changes: list[tuple[int, int]]) -> None:
    content = bytearray(TABLE)
    for position, value in changes:
        content[position] = value
    check_safety(bytes(content))


# --- models of an exporter ---


@pytest.fixture
def mapped(shared_model: Callable[[str], Path]) -> Iterator[Callable[[str], mmap.mmap]]:
    """Map one of the small exported models, writable and private."""
    maps = []

    def open_map(name: str) -> mmap.mmap:
        with shared_model(SMALL.format(name)).open("rb") as file:
            maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        return maps[-1]

    yield open_map
    for each in maps:
        each.close()


@pytest.mark.parametrize(
    ("name", "use", "new_length"),
    [
        ("transposed_f32", "resizable", 64),
        ("transposed_f32", "resizable", 512),
        ("transposed_bool_f32", "resizable", 128),
        ("transposed_wi8", "resizable", 192),
        ("transposed_wi4", "resizable", 64),
        ("split_f32", "resizable", 128),
        ("reauthored_mask_f32", "rewritable", 192),
        ("reauthored_mask_f32", "rewritable", 512),
        ("reauthored_f32", "rewritable", 64),
        ("reauthored_f32", "rewritable", 192),
        ("reauthored_wi8", "rewritable", 128),
    ],
)
def test_exported_model_gives_the_same_logits_at_another_length(
    mapped: Callable[[str], mmap.mmap], name: str, use: str, new_length: int
) -> None:
    content = mapped(name)
    is_transposed = not name.startswith("reauthored")
    expected = generate(content, FULL, is_transposed=is_transposed, prefill="prefill_8")
    if use == "resizable":
        resized = generate(content, new_length, prefill="prefill_8")
        np.testing.assert_array_equal(resized, expected, strict=True)
    plan = plan_of(content, FULL, is_transposed=is_transposed)
    assert plan.use == use
    plan.apply(content, new_length)
    np.testing.assert_array_equal(
        generate(content, new_length, is_transposed=is_transposed, prefill="prefill_8"),
        expected,
        strict=True,
    )


@pytest.mark.parametrize(("length", "new_length"), [(256, 128), (64, 32)])
def test_file_with_two_lengths_is_rewritten_one_by_one(
    mapped: Callable[[str], mmap.mmap], length: int, new_length: int
) -> None:
    content = mapped("transposed_two_f32")
    suffix = f"_cache_{length}"
    expected = generate(content, length, prefill="prefill_8", suffix=suffix)
    assert plan_of(content, length).use == "fixed"
    plan_of(content, length, suffix=suffix).apply(content, new_length)
    np.testing.assert_array_equal(
        generate(content, new_length, prefill="prefill_8", suffix=suffix), expected, strict=True
    )
