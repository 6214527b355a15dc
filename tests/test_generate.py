"""Generating: options, streams, ends, logprobs and hooks, on both backends."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert
from language_models import speller
from litert.options import Backend

IDS = [7, 11, 13, 17, 19]
GREEDY: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True}


@pytest.fixture
def lm(backend: Backend) -> Iterator[litert.LanguageModel]:
    with litert.LanguageModel(speller(), num_threads=1, backend=backend) as model:
        yield model


def test_generate_from_text_and_from_its_ids_is_the_same(lm: litert.LanguageModel) -> None:
    assert lm.bos_token is not None
    ids = [lm.bos_token, *lm.tokenizer.encode("12 + 30")]
    of_text = lm.generate("12 + 30", max_tokens=8, temperature=0)
    of_ids = lm.generate(ids, max_tokens=8, temperature=0)
    assert of_text.tokens == of_ids.tokens
    assert of_text.metrics.prompt_tokens == len(ids)


def test_stream_gives_the_text_and_tokens_of_generate(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=20, **GREEDY)
    chunks = list(lm.stream(IDS, max_tokens=20, **GREEDY))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert sum((chunk.tokens for chunk in chunks), ()) == whole.tokens
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason == whole.finish_reason == "length"


def test_stream_keeps_the_whole_generation(lm: litert.LanguageModel) -> None:
    stream = lm.stream(IDS, max_tokens=6, **GREEDY)
    with pytest.raises(litert.GenerationError, match="not come to its end"):
        _ = stream.generation
    texts = [chunk.text for chunk in stream]
    assert stream.generation.text == "".join(texts)
    assert stream.generation.metrics.generated_tokens == 6
    assert list(stream) == []  # and stays at its end


def test_rest_goes_on_from_where_a_stream_was_left(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=12, **GREEDY)
    stream = lm.stream(IDS, max_tokens=12, **GREEDY)
    next(stream)
    assert stream.rest().tokens == whole.tokens


def test_metrics_count_tokens_and_time(lm: litert.LanguageModel) -> None:
    metrics = lm.generate(IDS, max_tokens=10, **GREEDY).metrics
    assert (metrics.prompt_tokens, metrics.generated_tokens) == (5, 10)
    assert 0 < metrics.time_to_first_token_s < 60
    # The last token of the prompt is read by the step that gives the first one.
    assert metrics.prefill_tokens_per_s > 4 / metrics.time_to_first_token_s
    assert metrics.decode_tokens_per_s > 0


# Ends


def test_stop_string_ends_the_text_and_is_not_in_it(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=24, **GREEDY).text
    stop = whole[4:7]
    generation = lm.generate(IDS, max_tokens=24, stop=stop, **GREEDY)
    assert generation.text == whole[: whole.index(stop)]
    assert generation.finish_reason == "stop"


def test_stop_string_over_token_borders_is_never_shown(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=24, **GREEDY).text
    for begin in range(1, 12):
        stop = whole[begin : begin + 5]
        texts = [chunk.text for chunk in lm.stream(IDS, max_tokens=24, stop=[stop], **GREEDY)]
        assert "".join(texts) == whole[: whole.index(stop)]


def test_stop_token_ends_it_and_is_not_in_it(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=24, **GREEDY).tokens
    place = next(i for i in range(3, 24) if whole[i] not in whole[:i])
    generation = lm.generate(IDS, max_tokens=24, stop_tokens=[whole[place]], **GREEDY)
    assert generation.tokens == whole[:place]
    assert generation.finish_reason == "stop"


def test_stop_sequence_of_ids_ends_it_and_is_neither_shown_nor_kept(
    lm: litert.LanguageModel,
) -> None:
    whole = lm.generate(IDS, max_tokens=24, **GREEDY).tokens
    pairs = list(itertools.pairwise(whole))
    place = next(i for i in range(3, 22) if pairs[i] not in pairs[:i])
    with lm.session() as session:
        session.append(IDS)
        chunks = list(session.stream(max_tokens=24, stop_tokens=[pairs[place]], **GREEDY))
        assert sum((chunk.tokens for chunk in chunks), ()) == whole[:place]
        assert chunks[-1].finish_reason == "stop"
        assert session.tokens == (*IDS, *whole[:place])


def test_min_tokens_puts_stops_off(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=24, **GREEDY).tokens
    generation = lm.generate(
        IDS, min_tokens=6, max_tokens=24, stop_tokens=[whole[0], whole[1]], **GREEDY
    )
    assert len(generation.tokens) >= 6
    assert not {whole[0], whole[1]} & set(generation.tokens[:6])


def test_max_tokens_ends_it(lm: litert.LanguageModel) -> None:
    generation = lm.generate(IDS, max_tokens=1, **GREEDY)
    assert (len(generation.tokens), generation.finish_reason) == (1, "length")
    assert generation.metrics.decode_tokens_per_s == 0


def test_timeout_ends_it_with_what_there_is(lm: litert.LanguageModel) -> None:
    generation = lm.generate(IDS, timeout_s=0.0, **GREEDY)
    assert (generation.tokens, generation.finish_reason) == ((), "timeout")
    assert lm.generate(IDS, max_tokens=2, timeout_s=60, **GREEDY).finish_reason == "length"


def test_cancel_from_another_thread_ends_it(lm: litert.LanguageModel) -> None:
    started = threading.Event()

    def hook(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> None:
        if len(tokens) == 3:
            started.set()
            time.sleep(0.2)  # until the other thread has cancelled

    stream = lm.stream(IDS, logits_hook=hook, **GREEDY)
    canceller = threading.Thread(target=lambda: (started.wait(), stream.cancel()))
    canceller.start()
    generation = stream.rest()
    canceller.join()
    assert generation.finish_reason == "cancelled"
    assert 3 < len(generation.tokens) < 8
    assert lm.generate(IDS, max_tokens=2, **GREEDY).finish_reason == "length"


def test_cancel_before_the_first_token_reads_nothing(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append(IDS * 8)
        stream = session.stream(**GREEDY)
        stream.cancel()
        assert [chunk.finish_reason for chunk in stream] == ["cancelled"]
        # Nothing is lost: the context is what it was.
        expected = lm.generate(IDS * 8, max_tokens=4, **GREEDY).tokens
        assert session.generate(max_tokens=4, **GREEDY).tokens == expected


def test_closing_a_stream_ends_it(lm: litert.LanguageModel) -> None:
    whole = lm.generate(IDS, max_tokens=20, **GREEDY).tokens
    with lm.stream(IDS, max_tokens=20, **GREEDY) as stream:
        first = next(stream)
    assert list(stream) == []
    assert whole[: len(first.tokens)] == first.tokens


# Sampling


SAMPLING: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"temperature": 1.3, "top_k": 7},
    {"temperature": 1.0, "top_p": 0.8},
    {"temperature": 1.5, "min_p": 0.1},
    {"temperature": 1.2, "typical_p": 0.7},
    {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.02},
    {"temperature": 0.0, "repetition_penalty": 1.4},
    {"temperature": 0.0, "presence_penalty": 3.0, "frequency_penalty": 1.5},
    {"temperature": 0.0, "no_repeat_ngram": 2},
    {"temperature": 1.1, "logit_bias": {20: 5.0, 21: -math.inf}, "suppressed_tokens": [22, 23]},
]


@pytest.mark.parametrize("options", SAMPLING)
def test_both_backends_sample_the_same_tokens(options: dict[str, Any]) -> None:
    tokens = {}
    for backend in ("native", "reference"):
        with litert.LanguageModel(speller(), num_threads=1, backend=backend) as lm:
            tokens[backend] = [
                lm.generate(IDS, max_tokens=24, seed=seed, ignore_eos=True, **options).tokens
                for seed in (0, 1, 1 << 63)
            ]
    assert tokens["native"] == tokens["reference"]


def test_same_seed_gives_the_same_tokens_and_none_gives_others(lm: litert.LanguageModel) -> None:
    def sample(seed: int | None) -> tuple[int, ...]:
        options = {"temperature": 100.0, "ignore_eos": True, "max_tokens": 24}
        return lm.generate(IDS, seed=seed, **options).tokens

    assert sample(5) == sample(5)
    assert len({sample(None) for _ in range(4)}) == 4


def test_suppressed_and_banned_tokens_never_come(lm: litert.LanguageModel) -> None:
    whole = set(lm.generate(IDS, max_tokens=16, **GREEDY).tokens)
    generation = lm.generate(
        IDS,
        max_tokens=16,
        suppressed_tokens=sorted(whole)[:2],
        logit_bias=dict.fromkeys(sorted(whole)[2:], -math.inf),
        **GREEDY,
    )
    assert not whole & set(generation.tokens)


# Logprobs and hooks


def test_logprobs_are_the_models_own(lm: litert.LanguageModel) -> None:
    seen: list[npt.NDArray[np.float32]] = []
    generation = lm.generate(
        IDS,
        max_tokens=5,
        logprobs=3,
        temperature=1.5,
        seed=3,
        ignore_eos=True,
        logits_hook=lambda logits, _: seen.append(logits.copy()),
    )
    assert generation.logprobs is not None
    for entry, token, logits in zip(generation.logprobs, generation.tokens, seen, strict=True):
        wide = logits.astype(np.float64)
        expected = wide - np.log(np.exp(wide - wide.max()).sum()) - wide.max()
        order = np.argsort(-wide, kind="stable")[:3]
        assert entry.token == token
        assert entry.logprob == pytest.approx(expected[token], abs=1e-4)
        assert [alternative for alternative, _ in entry.top] == order.tolist()
        assert [value for _, value in entry.top] == pytest.approx(expected[order], abs=1e-4)


def test_logprobs_are_none_unless_asked_for(lm: litert.LanguageModel) -> None:
    assert lm.generate(IDS, max_tokens=2, **GREEDY).logprobs is None
    asked = lm.generate(IDS, max_tokens=2, logprobs=0, **GREEDY).logprobs
    assert asked is not None
    assert [entry.top for entry in asked] == [(), ()]


def test_logprobs_leave_the_tokens_as_they_are(lm: litert.LanguageModel) -> None:
    options = {"max_tokens": 12, "temperature": 1.2, "seed": 4, "repetition_penalty": 1.2}
    assert lm.generate(IDS, logprobs=2, **options).tokens == lm.generate(IDS, **options).tokens


def test_hook_sees_the_tokens_and_changes_the_choice(lm: litert.LanguageModel) -> None:
    calls: list[tuple[int, ...]] = []

    def hook(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> None:
        assert logits.shape == (lm.vocab_size,)
        calls.append(tuple(tokens))
        logits[:] = -np.inf
        logits[30 + len(tokens)] = 0

    generation = lm.generate(IDS, max_tokens=4, logits_hook=hook, **GREEDY)
    assert generation.tokens == (30, 31, 32, 33)
    assert calls == [(), (30,), (30, 31), (30, 31, 32)]


def test_hook_that_raises_leaves_the_session_usable(lm: litert.LanguageModel) -> None:
    def hook(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> None:
        if len(tokens) == 2:
            raise RuntimeError("no more")

    expected = lm.generate(IDS, max_tokens=6, **GREEDY).tokens
    with lm.session() as session:
        session.append(IDS)
        with pytest.raises(RuntimeError, match="no more"):
            session.generate(max_tokens=6, logits_hook=hook, **GREEDY)
        assert session.tokens == (*IDS, *expected[:2])
        assert session.generate(max_tokens=4, **GREEDY).tokens == expected[2:]


def test_hook_that_bans_everything_is_told(lm: litert.LanguageModel) -> None:
    with pytest.raises(litert.ExecutionError, match="-inf"):
        lm.generate(IDS, logits_hook=lambda logits, _: logits.fill(-np.inf), **GREEDY)
    assert lm.generate(IDS, max_tokens=2, **GREEDY).tokens


# Wrong options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens: expected an int, 1 or more, got 0"),
        ({"max_tokens": 2.0}, "max_tokens: expected an int"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens: expected at most max_tokens=4, got 5"),
        ({"temperature": -0.1}, "temperature: expected a number, 0 or more, got -0.1"),
        ({"temperature": math.nan}, "temperature: expected a number"),
        ({"temperature": math.inf}, "temperature: expected a number"),
        ({"top_k": -1}, "top_k: expected an int, 0 to 2147483647, got -1"),
        ({"top_p": 0}, "top_p: expected a number, above 0, at most 1, got 0"),
        ({"top_p": 1.01}, "top_p: expected a number, above 0, at most 1"),
        ({"min_p": 1.5}, "min_p: expected a number, 0 or more, at most 1"),
        ({"typical_p": 0}, "typical_p: expected a number, above 0"),
        ({"seed": -1}, "seed: expected an int"),
        ({"seed": 1 << 64}, "seed: expected an int"),
        ({"repetition_penalty": 0}, "repetition_penalty: expected a number, above 0"),
        ({"presence_penalty": math.nan}, "presence_penalty: expected a number, any finite"),
        ({"no_repeat_ngram": True}, "no_repeat_ngram: expected an int"),
        ({"logit_bias": {1: math.nan}}, "logit_bias: expected ids and finite numbers"),
        ({"stop": ""}, "stop: expected texts of a character or more, got ''"),
        ({"stop": ["a", 5]}, "stop: expected texts"),
        ({"stop_tokens": [[]]}, "stop_tokens: expected ids or sequences of ids"),
        ({"logprobs": -1}, "logprobs: expected an int, 0 to 1000"),
        ({"logits_hook": "print"}, "logits_hook: expected a callable"),
        ({"timeout_s": -1}, "timeout_s: expected a number, 0 or more"),
    ],
)
def test_option_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.GenerationOptions(**options)


def test_ids_outside_of_the_vocabulary_are_refused(lm: litert.LanguageModel) -> None:
    size = lm.vocab_size
    for options in (
        {"stop_tokens": [size]},
        {"logit_bias": {size: 1.0}},
        {"suppressed_tokens": [-1]},
    ):
        with pytest.raises(litert.TokenizerError, match="outside of the model's vocabulary"):
            lm.generate(IDS, **options)


def test_misspelt_option_lists_those_there_are(lm: litert.LanguageModel) -> None:
    with pytest.raises(TypeError, match="max_token: there is no such option; the options are"):
        lm.generate(IDS, max_token=3)  # type: ignore[call-arg]


def test_failed_call_leaves_the_model_usable(lm: litert.LanguageModel) -> None:
    expected = lm.generate(IDS, max_tokens=4, **GREEDY).tokens
    for wrong in ({"temperature": -1}, {"stop": ""}, {"stop_tokens": [10**6]}):
        with pytest.raises(litert.LiteRTError):
            lm.generate(IDS, **wrong)
    assert lm.generate(IDS, max_tokens=4, **GREEDY).tokens == expected
