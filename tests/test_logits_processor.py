"""Biases, penalties and bans: numbers by hand, and that both backends compute the same."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from litert.language import sampling as reference

INFINITY = math.inf
Floats = npt.NDArray[np.float32]


@pytest.fixture(params=["native", "reference"])
def core(request: pytest.FixtureRequest) -> ModuleType:
    """Each implementation in turn."""
    if request.param == "reference":
        return reference
    return pytest.importorskip("litert._native", reason="needs the extension module")


@pytest.fixture(scope="module")
def native() -> ModuleType:
    return pytest.importorskip("litert._native", reason="needs the extension module")


def processed(
    core: ModuleType,
    logits: list[float] | Floats,
    prompt: list[int],
    generated: list[int],
    **options: Any,
) -> list[float]:
    changed = np.array(logits, np.float32)
    processor = core.LogitsProcessor(len(changed), **options)
    processor.start(prompt, len(generated))
    for token in generated:
        processor.accept(token)
    processor.apply(changed)
    return [float(value) for value in changed]


def test_repetition_penalty_counts_prompt_and_generated_once(core: ModuleType) -> None:
    logits = [4.0, -4.0, 0.0, 6.0, 6.0]
    changed = processed(core, logits, [0, 1, 0], [2, 3, 3], repetition_penalty=2.0)
    assert changed == [2.0, -8.0, 0.0, 3.0, 6.0]


def test_presence_and_frequency_penalties_count_generated_only(core: ModuleType) -> None:
    changed = processed(
        core, [1.0] * 4, [0, 0, 1], [1, 2, 2, 2], presence_penalty=0.5, frequency_penalty=0.25
    )
    assert changed == [1.0, 0.25, -0.25, 1.0]


def test_negative_penalties_raise_what_was_generated(core: ModuleType) -> None:
    assert processed(core, [1.0, 1.0], [], [1], presence_penalty=-2.0) == [1.0, 3.0]


def test_repetition_penalty_comes_before_the_subtracted_ones(core: ModuleType) -> None:
    changed = processed(core, [4.0], [], [0], repetition_penalty=2.0, presence_penalty=1.0)
    assert changed == [1.0]


def test_logit_bias_comes_before_the_penalties(core: ModuleType) -> None:
    options = {"logit_bias": [(0, 3.0), (1, -INFINITY), (0, 1.0)], "repetition_penalty": 2.0}
    assert processed(core, [-2.0, 1.0, 1.0], [0], [], **options) == [1.0, -INFINITY, 1.0]


def test_suppressed_tokens_stay_suppressed_whatever_their_bias(core: ModuleType) -> None:
    options = {"suppressed_tokens": [2, 0], "logit_bias": [(0, 100.0)]}
    assert processed(core, [1.0, 1.0, 1.0], [], [], **options) == [-INFINITY, 1.0, -INFINITY]


@pytest.mark.parametrize(
    ("n", "prompt", "generated", "banned"),
    [
        (1, [0], [2], {0, 2}),
        (2, [0, 1, 0], [], {1}),
        (2, [0, 1], [0], {1}),
        (2, [0, 1, 0, 2], [0], {1, 2}),
        (2, [0, 0], [], {0}),
        (2, [0], [], set()),
        (3, [0, 1, 2, 0], [1], {2}),
        (3, [0, 1, 2], [1], set()),
        (3, [0, 1], [], set()),
        (2, [], [], set()),
    ],
)
def test_no_repeat_ngram_bans_exactly(
    core: ModuleType, n: int, prompt: list[int], generated: list[int], banned: set[int]
) -> None:
    changed = processed(core, [1.0] * 4, prompt, generated, no_repeat_ngram=n)
    assert {token for token, logit in enumerate(changed) if logit == -INFINITY} == banned


@given(st.integers(1, 5), st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40), st.data())
@settings(deadline=None, max_examples=200)
def test_no_repeat_ngram_lets_no_ngram_come_twice(
    n: int, tokens: list[int], num_prompt: int, data: st.DataObject
) -> None:
    core = data.draw(st.sampled_from(_cores()))
    changed = processed(
        core, [1.0] * 4, tokens[:num_prompt], tokens[num_prompt:], no_repeat_ngram=n
    )
    ngrams = {tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)}
    for token, logit in enumerate(changed):
        candidate = (*tokens, token)[-n:]
        assert (logit == -INFINITY) == (len(candidate) == n and candidate in ngrams)


def _cores() -> list[ModuleType]:
    try:
        from litert import _native
    except ImportError:
        return [reference]
    return [_native, reference]


def test_start_forgets_what_came_before(core: ModuleType) -> None:
    processor = core.LogitsProcessor(
        3, repetition_penalty=2.0, frequency_penalty=1.0, no_repeat_ngram=2
    )
    processor.start([0, 1, 0])
    processor.accept(1)
    processor.start([2])
    logits = np.ones(3, np.float32)
    processor.apply(logits)
    assert logits.tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"repetition_penalty": 1.1}, False),
        ({"presence_penalty": 0.1}, False),
        ({"frequency_penalty": -0.1}, False),
        ({"no_repeat_ngram": 2}, False),
        ({"logit_bias": [(0, 1.0)]}, False),
        ({"suppressed_tokens": [1]}, False),
    ],
)
def test_processor_knows_whether_it_does_nothing(
    core: ModuleType, options: dict[str, Any], expected: bool
) -> None:
    processor = core.LogitsProcessor(3, **options)
    assert processor.does_nothing is expected
    processor.start([0, 1, 0])
    processor.accept(0)
    logits = np.array([1, 2, math.nan], np.float32)
    before = logits.tobytes()
    processor.apply(logits)
    assert (logits.tobytes() == before) is expected


TOKENS = st.lists(st.integers(0, 4), max_size=12)


@given(
    st.integers(0, 2**32),
    TOKENS,
    TOKENS,
    st.fixed_dictionaries(
        {
            "repetition_penalty": st.floats(0.125, 3, width=32),
            "presence_penalty": st.floats(-2, 2, width=32),
            "frequency_penalty": st.floats(-2, 2, width=32),
            "no_repeat_ngram": st.integers(0, 4),
            "logit_bias": st.lists(
                st.tuples(st.integers(0, 4), st.floats(-100, 100, width=32)), max_size=3
            ),
            "suppressed_tokens": st.lists(st.integers(0, 4), max_size=2),
        }
    ),
)
@settings(deadline=None, max_examples=300)
def test_native_changes_logits_as_the_reference(
    native: ModuleType,
    seed: int,
    prompt: list[int],
    generated: list[int],
    options: dict[str, Any],
) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, 7).astype(np.float32)
    logits[5:] = [-INFINITY, 3e38]
    changed = [
        processed(core, logits, prompt, generated, **options) for core in (native, reference)
    ]
    assert changed[0] == changed[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repetition_penalty": 0.0}, "repetition_penalty: expected a finite number above 0"),
        ({"repetition_penalty": math.nan}, "repetition_penalty: .*, got nan"),
        ({"presence_penalty": INFINITY}, "presence_penalty: expected a finite number, got inf"),
        ({"frequency_penalty": math.nan}, "frequency_penalty: expected a finite number, got nan"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram: expected 0 or more, got -1"),
        ({"logit_bias": [(0, 1.0), (3, 1.0)]}, "logit_bias: expected ids from 0 to 2, got 3"),
        ({"logit_bias": [(0, math.nan)]}, "logit_bias: expected numbers, got nan"),
        ({"suppressed_tokens": [-1]}, "suppressed_tokens: expected ids from 0 to 2, got -1"),
    ],
)
def test_processor_with_a_wrong_option_says_what_is_right(
    core: ModuleType, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(litert.OptionError, match=message):
        core.LogitsProcessor(3, **options)


def test_processor_refuses_ids_outside_of_the_vocabulary(core: ModuleType) -> None:
    processor = core.LogitsProcessor(3, repetition_penalty=2.0)
    processor.start([1])
    with pytest.raises(litert.OptionError, match="prompt: expected ids from 0 to 2, got 3"):
        processor.start([0, 3])
    with pytest.raises(litert.OptionError, match="token: expected ids from 0 to 2, got -1"):
        processor.accept(-1)
    logits = np.ones(3, np.float32)
    processor.apply(logits)
    assert logits.tolist() == [1.0, 0.5, 1.0]  # as it was before the errors


def test_apply_to_other_logits_names_both_shapes(core: ModuleType) -> None:
    processor = core.LogitsProcessor(3, suppressed_tokens=[2])
    with pytest.raises(litert.TensorShapeError, match=r"expected float32\[3\], got float32\[2\]"):
        processor.apply(np.ones(2, np.float32))
