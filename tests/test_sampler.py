"""The sampler: what each filter keeps, what is drawn, and that both backends draw the same."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from litert.language import sampling as reference
from litert.language.sampling import _philox

IS_FULL = os.environ.get("LITERT_TEST_FULL") == "1"
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


def float32(*values: float) -> Floats:
    return np.array(values, np.float32)


def logits_of(*probabilities: float) -> Floats:
    return np.log(np.array(probabilities)).astype(np.float32)


def drawn(core: ModuleType, logits: Floats, count: int, **options: Any) -> list[int]:
    sampler = core.Sampler(len(logits), **options)
    return [sampler.sample(logits, index) for index in range(count)]


def made_logits(size: int) -> Floats:
    """Multiples of 1/1024 from -8 to 8, a tenth of them further up: the same on every machine."""
    words = [_philox((index, 0, 0, 0), 1) for index in range(size)]
    return float32(
        *((word[0] % 16384 - 8192) / 1024 + (4 if word[1] % 10 == 0 else 0) for word in words)
    )


def test_philox_gives_its_known_answers() -> None:
    ones = 0xFFFFFFFF
    assert _philox((0, 0, 0, 0), 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert _philox((ones,) * 4, (1 << 64) - 1) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [344] * 6),
        ({"temperature": 1}, [870, 870, 5, 240, 964, 270]),
        ({"temperature": 1.5, "top_k": 40, "top_p": 0.9}, [870, 870, 5, 240, 908, 315]),
        ({"temperature": 2, "top_p": 0.5, "min_p": 0.01}, [685, 870, 5, 240, 981, 315]),
        ({"temperature": 1, "typical_p": 0.4}, [870, 870, 5, 240, 908, 240]),
    ],
)
def test_seed_draws_the_same_tokens_on_every_machine(
    core: ModuleType, options: dict[str, Any], expected: list[int]
) -> None:
    assert drawn(core, made_logits(1000), 6, seed=7, **options) == expected


def test_draw_depends_on_its_index_alone(core: ModuleType) -> None:
    sampler = core.Sampler(1000, temperature=2.0, seed=3)
    logits = made_logits(1000)
    forward = [sampler.sample(logits, index) for index in range(20)]
    assert [sampler.sample(logits, index) for index in reversed(range(20))] == forward[::-1]


def test_draws_differ_between_seeds(core: ModuleType) -> None:
    tokens = [drawn(core, made_logits(1000), 20, temperature=2.0, seed=seed) for seed in (1, 2)]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 512])
def test_greedy_takes_the_best_wherever_it_is(core: ModuleType, size: int) -> None:
    sampler = core.Sampler(size)
    for best in range(size):
        logits = np.zeros(size, np.float32)
        logits[best] = 1
        assert sampler.sample(logits, 0) == best


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([1, 3, 3, 2], 1),
        ([math.nan, 1, math.nan, 2], 3),
        ([-INFINITY, -INFINITY, -3e38], 2),
        ([1, INFINITY, INFINITY, math.nan], 1),
        ([-0.0, 0.0], 0),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-30])
def test_greedy_takes_the_first_of_the_best(
    core: ModuleType, logits: list[float], expected: int, temperature: float
) -> None:
    if logits == [1, 3, 3, 2] or logits == [-0.0, 0.0]:
        temperature = 0.0  # equals have equal chances at any other
    assert drawn(core, float32(*logits), 5, temperature=temperature) == [expected] * 5


def test_infinity_wins_at_any_temperature(core: ModuleType) -> None:
    logits = float32(5, INFINITY, 5, INFINITY)
    assert set(drawn(core, logits, 50, temperature=100.0, top_p=0.9)) == {1}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 2}, {1, 3}),
        ({"top_k": 3}, {1, 3, 0}),  # 0 and 4 are equals
        ({"top_k": 5}, {0, 1, 2, 3, 4}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.0}, {1}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.69}, {1, 3}),
        ({"top_p": 0.71}, {1, 3, 0}),
        ({"top_p": 0.86}, {1, 3, 0, 4}),
        ({"top_p": 0.999}, {0, 1, 2, 3, 4}),
        ({"min_p": 1.0}, {1}),
        ({"min_p": 0.74}, {1, 3}),
        ({"min_p": 0.3}, {1, 3, 0, 4}),
        ({"min_p": 0.01}, {0, 1, 2, 3, 4}),
        # Of two tokens with a total of 0.7, the better one has 0.57.
        ({"top_k": 2, "top_p": 0.56}, {1}),
        ({"top_k": 2, "top_p": 0.58}, {1, 3}),
        ({"top_p": 0.86, "min_p": 0.5}, {1, 3}),
        # Surprises 0.93, 1.21, 1.91, 1.91 and 4.62, best first; 1.34 expected.
        ({"typical_p": 0.2}, {3}),
        ({"typical_p": 0.31}, {3, 1}),
        ({"typical_p": 0.7}, {3, 1, 0}),
        ({"typical_p": 0.85}, {3, 1, 0, 4}),
        ({"top_k": 2, "typical_p": 0.5}, {1}),
    ],
)
def test_filters_keep_exactly(core: ModuleType, options: dict[str, Any], kept: set[int]) -> None:
    logits = logits_of(0.15, 0.4, 0.01, 0.3, 0.15)
    logits[4] = logits[0]
    assert set(drawn(core, logits, 1500, temperature=1.0, **options)) == kept


def test_filters_see_the_logits_over_the_temperature(core: ModuleType) -> None:
    logits = logits_of(0.6, 0.3, 0.1)  # at temperature 1/2: 0.78, 0.2 and 0.02
    assert set(drawn(core, logits, 300, temperature=1.0, top_p=0.7)) == {0, 1}
    assert set(drawn(core, logits, 300, temperature=0.5, top_p=0.7)) == {0}


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.015}, {"typical_p": 0.015}])
def test_filters_break_ties_by_lowest_id(core: ModuleType, options: dict[str, Any]) -> None:
    logits = np.zeros(200, np.float32)
    assert set(drawn(core, logits, 60, temperature=1.0, **options)) == {0, 1, 2}


def test_filters_never_keep_nan_and_minus_infinity(core: ModuleType) -> None:
    logits = float32(math.nan, 1, -INFINITY, 0, math.nan)
    for options in ({}, {"top_k": 4}, {"top_p": 0.9999}, {"min_p": 1e-30}, {"typical_p": 0.9999}):
        assert set(drawn(core, logits, 100, temperature=5.0, **options)) == {1, 3}


# What the definition says, in other words: sort, softmax and cumsum in float64.
def expected_probabilities(
    logits: Floats,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    typical_p: float = 1.0,
) -> npt.NDArray[np.float64]:
    def normalized(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return values / values.sum()

    def cut(order: npt.NDArray[np.intp], share: float) -> npt.NDArray[np.float64]:
        before = np.cumsum(probabilities[order]) - probabilities[order]
        kept = np.zeros_like(probabilities)
        kept[order[before < share]] = 1
        return normalized(probabilities * kept)

    scaled = logits.astype(np.float64) / temperature
    probabilities = normalized(np.exp(scaled - scaled.max()))
    if top_k:
        probabilities[np.argsort(-scaled, kind="stable")[top_k:]] = 0
        probabilities = normalized(probabilities)
    if top_p < 1:
        probabilities = cut(np.argsort(-probabilities, kind="stable"), top_p)
    if min_p > 0:
        probabilities = normalized(
            np.where(probabilities >= min_p * probabilities.max(), probabilities, 0)
        )
    if typical_p < 1:
        surprise = -np.log(np.maximum(probabilities, 1e-300))
        distance = np.abs(surprise - (probabilities * surprise).sum())
        distance[probabilities == 0] = math.inf
        probabilities = cut(np.argsort(distance, kind="stable"), typical_p)
    return probabilities


def chi_square_bound(degrees: int) -> float:
    """Return what one in 30,000 exceeds (Wilson and Hilferty)."""
    part = 2 / (9 * degrees)
    return degrees * (1 - part + 4.0 * math.sqrt(part)) ** 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 7},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"typical_p": 0.7},
        {"top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95},
    ],
)
@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_distribution_is_the_defined_one(
    core: ModuleType, options: dict[str, Any], temperature: float
) -> None:
    logits = np.random.default_rng(5).normal(0, 1.5, 100).astype(np.float32)
    expected = expected_probabilities(logits, temperature, **options)
    num_draws = 40_000 if IS_FULL else 3_000
    tokens = drawn(core, logits, num_draws, temperature=temperature, seed=11, **options)
    counts = np.bincount(tokens, minlength=len(logits))
    assert set(np.flatnonzero(counts)) <= set(np.flatnonzero(expected))
    # Rare tokens are counted together: chi-square wants five expected of each.
    is_frequent = expected * num_draws >= 5
    observed = [*counts[is_frequent], counts[~is_frequent].sum()]
    wanted = [*expected[is_frequent], expected[~is_frequent].sum()]
    pairs = [(o, w * num_draws) for o, w in zip(observed, wanted, strict=True) if w > 0]
    statistic = sum((o - w) ** 2 / w for o, w in pairs)
    assert statistic < chi_square_bound(len(pairs) - 1)


SPECIAL_LOGITS = [math.nan, -INFINITY, -0.0, 3e38, -3e38, 1e-45]
OPTIONS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 1e-45, 1e-3, 0.5, 0.8, 1.0, 1.7, 50.0, 3e38]),
        "top_k": st.sampled_from([0, 1, 2, 5, 40, 64, 511, 10**6]),
        "top_p": st.sampled_from([1.0, 1.0, 0.95, 0.5, 0.999999, 1e-9, 0.0]),
        "min_p": st.sampled_from([0.0, 0.0, 1e-30, 1e-4, 0.05, 0.5, 1.0]),
        "typical_p": st.sampled_from([1.0, 1.0, 0.9, 0.2, 0.0]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


def random_logits(size: int, seed: int, scale: float, is_rounded: bool, share: float) -> Floats:
    """Return normal logits, on whole numbers for ties, a share of them special values."""
    random = np.random.default_rng(seed)
    logits = (random.normal(size=size) * scale).astype(np.float32)
    if is_rounded:
        logits = np.round(logits)
    is_special = random.random(size) < share
    logits[is_special] = random.choice(SPECIAL_LOGITS, is_special.sum()).astype(np.float32)
    return logits


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return repr(call())
    except litert.LiteRTError as err:
        return type(err), str(err)


@given(
    st.sampled_from([1, 2, 3, 63, 64, 65, 130, 512, 3000]),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.1, 1.0, 3.0, 10.0, 1000.0]),
    st.booleans(),
    st.sampled_from([0.0, 0.0, 0.1, 1.0]),
    OPTIONS,
    st.integers(0, 2**64 - 1),
)
@settings(deadline=None, max_examples=20_000 if IS_FULL else 500)
def test_native_draws_as_the_reference(
    native: ModuleType,
    size: int,
    seed: int,
    scale: float,
    is_rounded: bool,
    share: float,
    options: dict[str, Any],
    draw_index: int,
) -> None:
    logits = random_logits(size, seed, scale, is_rounded, share)
    tokens = [
        outcome(lambda core=core: core.Sampler(size, **options).sample(logits, draw_index))
        for core in (native, reference)
    ]
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("size", [49_152, 262_144])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95},
        {"temperature": 0.8, "top_k": 5000},
        {"temperature": 1.0, "top_p": 0.95},
        {"temperature": 1.0, "min_p": 0.001, "typical_p": 0.9},
    ],
)
def test_native_draws_as_the_reference_from_large_vocabularies(
    native: ModuleType, size: int, scale: float, options: dict[str, Any]
) -> None:
    logits = random_logits(size, 1, scale, False, 0.0)
    samplers = [core.Sampler(size, seed=5, **options) for core in (native, reference)]
    for index in range(20 if IS_FULL else 1):
        assert samplers[0].sample(logits, index) == samplers[1].sample(logits, index)


def test_sample_leaves_the_logits_alone(core: ModuleType) -> None:
    logits = float32(math.nan, 1, 2)
    logits.flags.writeable = False
    assert core.Sampler(3, temperature=1.0, top_k=1).sample(logits, 0) == 2


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", -0.5, "a finite number of 0 or more, got -0.5"),
        ("temperature", INFINITY, "a finite number of 0 or more, got inf"),
        ("temperature", math.nan, "a finite number of 0 or more, got nan"),
        ("top_k", -1, "0 or more, got -1"),
        ("top_p", 1.5, "a number from 0 to 1, got 1.5"),
        ("top_p", math.nan, "a number from 0 to 1, got nan"),
        ("min_p", -0.1, "a number from 0 to 1, got -0.1"),
        ("typical_p", 2.0, "a number from 0 to 1, got 2"),
    ],
)
def test_sampler_with_a_wrong_option_says_what_is_right(
    core: ModuleType, name: str, value: float, expected: str
) -> None:
    with pytest.raises(litert.OptionError, match=f"{name}: expected {expected}"):
        core.Sampler(10, **{name: value})


def test_sampler_without_vocabulary_is_refused(core: ModuleType) -> None:
    with pytest.raises(litert.OptionError, match="vocab_size: expected 1 or more, got 0"):
        core.Sampler(0)


def test_sample_with_other_logits_names_both_shapes(core: ModuleType) -> None:
    with pytest.raises(litert.TensorShapeError, match=r"expected float32\[3\], got float32\[2\]"):
        core.Sampler(3).sample(float32(1, 2), 0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [-INFINITY, math.nan])
def test_sample_where_no_token_is_left_says_so(
    core: ModuleType, temperature: float, value: float
) -> None:
    sampler = core.Sampler(3, temperature=temperature)
    with pytest.raises(litert.ExecutionError, match="every logit is NaN or -inf"):
        sampler.sample(float32(value, -INFINITY, math.nan), 0)
    assert sampler.sample(float32(0, 30, -INFINITY), 0) == 1


def test_log_probabilities_are_those_of_a_softmax(core: ModuleType) -> None:
    logits = np.random.default_rng(2).normal(0, 4, 1000).astype(np.float32)
    exact = logits - np.log(np.exp(logits.astype(np.float64)).sum())
    order = np.argsort(-exact)
    logprob, top = core.log_probabilities(logits, 17, 5)
    assert logprob == pytest.approx(exact[17], abs=2e-6)
    assert [token for token, _ in top] == order[:5].tolist()
    assert [value for _, value in top] == pytest.approx(exact[order[:5]].tolist(), abs=2e-6)


def test_log_probabilities_order_ties_by_id(core: ModuleType) -> None:
    logits = np.zeros(200, np.float32)
    logits[[70, 150]] = 1
    _, top = core.log_probabilities(logits, 0, 4)
    assert [token for token, _ in top] == [70, 150, 0, 1]


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([INFINITY, 0, INFINITY, math.nan], [-math.log(2), -INFINITY, -math.log(2), -INFINITY]),
        ([0, -INFINITY, math.nan, 0], [-math.log(2), -INFINITY, -INFINITY, -math.log(2)]),
        ([3e38, -3e38], [0, -INFINITY]),
    ],
)
def test_log_probabilities_of_special_logits(
    core: ModuleType, logits: list[float], expected: list[float]
) -> None:
    found = [core.log_probabilities(float32(*logits), token)[0] for token in range(len(logits))]
    assert found == pytest.approx(expected)


@given(
    st.sampled_from([1, 2, 64, 65, 130, 1000]),
    st.integers(0, 2**32),
    st.sampled_from([0.1, 3.0, 100.0]),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.integers(0, 70),
)
@settings(deadline=None, max_examples=5_000 if IS_FULL else 200)
def test_native_log_probabilities_are_the_reference_ones(
    native: ModuleType,
    size: int,
    seed: int,
    scale: float,
    is_rounded: bool,
    share: float,
    num_top: int,
) -> None:
    logits = random_logits(size, seed, scale, is_rounded, share)
    found = [
        outcome(lambda core=core: core.log_probabilities(logits, seed % size, num_top))
        for core in (native, reference)
    ]
    assert found[0] == found[1]


def test_log_probabilities_with_wrong_arguments_say_what_is_right(core: ModuleType) -> None:
    logits = float32(0, 1)
    with pytest.raises(litert.OptionError, match="chosen: expected an id below 2, got 2"):
        core.log_probabilities(logits, 2)
    with pytest.raises(litert.OptionError, match="num_top: expected at most 2"):
        core.log_probabilities(logits, 0, 3)
    with pytest.raises(litert.ExecutionError, match="every logit is NaN or -inf"):
        core.log_probabilities(float32(-INFINITY), 0)
