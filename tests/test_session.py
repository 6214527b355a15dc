"""Sessions: a context that is kept between calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import litert
from language_models import speller
from litert.options import Backend

PROMPT = [7, 11, 13, 17, 19]
GREEDY = {"temperature": 0.0, "ignore_eos": True}


@pytest.fixture
def lm(backend: Backend) -> Iterator[litert.LanguageModel]:
    with litert.LanguageModel(speller(), num_threads=1, backend=backend) as model:
        yield model


def test_session_goes_on_where_it_ended(lm: litert.LanguageModel) -> None:
    whole = lm.generate(PROMPT, max_tokens=12, **GREEDY).tokens
    with lm.session() as session:
        session.append(PROMPT)
        parts = [session.generate(max_tokens=4, **GREEDY).tokens for _ in range(3)]
        assert sum(parts, ()) == whole
        assert session.tokens == (*PROMPT, *whole)


def test_session_reads_a_prompt_in_parts_as_in_one(lm: litert.LanguageModel) -> None:
    whole = lm.generate(PROMPT * 3, max_tokens=8, **GREEDY).tokens
    with lm.session() as session:
        for _ in range(3):
            session.append(PROMPT)
        assert session.generate(max_tokens=8, **GREEDY).tokens == whole


def test_truncate_goes_back_without_reading_again(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append(PROMPT)
        first = session.generate(max_tokens=8, **GREEDY)
        session.truncate(len(PROMPT))
        second = session.generate(max_tokens=8, **GREEDY)
    assert second.tokens == first.tokens
    assert (first.metrics.cached_tokens, second.metrics.cached_tokens) == (0, len(PROMPT) - 1)


def test_truncate_hides_what_was_read(lm: litert.LanguageModel) -> None:
    expected = lm.generate(PROMPT[:3], max_tokens=8, **GREEDY).tokens
    with lm.session() as session:
        session.append(PROMPT * 4)
        session.generate(max_tokens=8, **GREEDY)
        session.truncate(3)
        assert session.generate(max_tokens=8, **GREEDY).tokens == expected


def test_replace_keeps_the_common_start(lm: litert.LanguageModel) -> None:
    ids = [*PROMPT, 23, 29]
    expected = lm.generate(ids, max_tokens=8, **GREEDY).tokens
    with lm.session() as session:
        session.append([*PROMPT, 31])
        session.generate(max_tokens=4, **GREEDY)
        assert session.replace(ids) == len(PROMPT)
        generation = session.generate(max_tokens=8, **GREEDY)
    assert generation.tokens == expected
    assert generation.metrics.cached_tokens == len(PROMPT)


def test_replace_that_does_not_fit_changes_nothing(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append(PROMPT)
        with pytest.raises(litert.ContextLengthError, match="1000 tokens"):
            session.replace([5] * 1000)
        assert session.tokens == tuple(PROMPT)


def test_several_sessions_do_not_see_each_other(lm: litert.LanguageModel) -> None:
    prompts = [[7, 11], [13, 17, 19], [5] * 20]
    expected = [lm.generate(ids, max_tokens=9, **GREEDY).tokens for ids in prompts]
    sessions = [lm.session() for _ in prompts]
    for session, ids in zip(sessions, prompts, strict=True):
        session.append(ids)
    found: list[tuple[int, ...]] = [()] * 3
    for _ in range(3):
        for number, session in enumerate(sessions):
            found[number] += session.generate(max_tokens=3, **GREEDY).tokens
    assert found == expected


def test_eight_sessions_in_eight_threads() -> None:
    with litert.LanguageModel(speller(), num_threads=1) as lm:
        prompts = [[7 + number] * (3 + 5 * number) for number in range(8)]
        expected = [lm.generate(ids, max_tokens=24, **GREEDY).tokens for ids in prompts]
        found: list[tuple[int, ...]] = [()] * len(prompts)

        def work(number: int) -> None:
            with lm.session() as session:
                session.append(prompts[number])
                for chunk in session.stream(max_tokens=24, **GREEDY):
                    found[number] += chunk.tokens

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == expected


def test_generate_with_an_empty_context_is_refused(lm: litert.LanguageModel) -> None:
    with lm.session() as session, pytest.raises(litert.GenerationError, match="context is empty"):
        session.generate()


def test_append_beyond_the_context_changes_nothing(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append(PROMPT)
        with pytest.raises(litert.ContextLengthError, match="at most 255 fit"):
            session.append([5] * 255)
        assert session.tokens == tuple(PROMPT)
        assert session.generate(max_tokens=2, **GREEDY).tokens


def test_generation_ends_where_the_context_is_full(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append([5] * 250)
        assert session.generate(**GREEDY).finish_reason == "length"
        assert len(session.tokens) == 256
        with pytest.raises(litert.ContextLengthError, match="context of 256 tokens is full"):
            session.generate()
        session.truncate(100)
        assert session.generate(max_tokens=3, **GREEDY).finish_reason == "length"


@pytest.mark.parametrize("wrong", [[-1], [10**6], [3, 1 << 40]])
def test_append_of_an_id_outside_of_the_vocabulary_is_refused(
    wrong: list[int], lm: litert.LanguageModel
) -> None:
    with (
        lm.session() as session,
        pytest.raises(litert.TokenizerError, match="outside of the model's"),
    ):
        session.append(wrong)


def test_session_changed_during_a_stream_is_noticed(lm: litert.LanguageModel) -> None:
    with lm.session() as session:
        session.append(PROMPT)
        stream = session.stream(max_tokens=20, **GREEDY)
        next(stream)
        session.append([5])
        with pytest.raises(litert.ExecutionError, match="changed while a generation was under way"):
            list(stream)
        assert session.generate(max_tokens=3, **GREEDY).tokens  # and goes on


def test_closed_session_and_closed_model_say_so(backend: Backend) -> None:
    lm = litert.LanguageModel(speller(), num_threads=1, backend=backend)
    session = lm.session()
    session.close()
    session.close()
    with pytest.raises(litert.ClosedError, match="session is closed"):
        session.append(PROMPT)
    lm.close()
    lm.close()
    with pytest.raises(litert.ClosedError, match="language model is closed"):
        lm.session()
    with pytest.raises(litert.ClosedError, match="language model is closed"):
        lm.generate("12")


def test_closing_the_model_ends_its_sessions(backend: Backend) -> None:
    with litert.LanguageModel(speller(), num_threads=1, backend=backend) as lm:
        session = lm.session()
        session.append(PROMPT)
        stream = session.stream(max_tokens=50, **GREEDY)
        next(stream)
    with pytest.raises(litert.ClosedError):
        list(stream)
