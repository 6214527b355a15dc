"""The context in use: caches start short and grow, and nothing but speed and memory changes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import litert
from language_models import reference_prompts, small_llama, speller
from litert.options import Backend

GROWING = ("small_llama_transposed_f32.tflite", "small_llama_reauthored_f32.tflite")


@pytest.mark.parametrize("name", GROWING)
def test_tokens_are_the_same_at_every_length_of_the_caches(name: str, tmp_path: Path) -> None:
    # The native caches grow from 128 slots to 256 on the way; the reference has all from the start.
    path = small_llama(name)
    prompt = reference_prompts()[0].prompt
    generations = {}
    for backend in ("native", "reference"):
        with litert.LanguageModel(
            path, num_threads=1, weight_cache=tmp_path, backend=backend
        ) as lm:
            generations[backend] = lm.generate(prompt, temperature=0.0, ignore_eos=True)
    assert len(prompt) + len(generations["native"].tokens) == 256
    assert generations["native"].tokens == generations["reference"].tokens


@pytest.mark.parametrize("name", GROWING)
def test_short_and_long_contexts_take_turns(name: str, tmp_path: Path) -> None:
    with litert.LanguageModel(small_llama(name), num_threads=1, weight_cache=tmp_path) as lm:
        short, long = reference_prompts()[0], reference_prompts()[-1]
        for case in (short, long, short, long):
            generation = lm.generate(case.prompt, max_tokens=32, temperature=0.0, ignore_eos=True)
            assert list(generation.tokens) == case.greedy


@pytest.mark.parametrize("name", GROWING)
def test_sessions_of_different_lengths_live_at_once(name: str, tmp_path: Path) -> None:
    with litert.LanguageModel(small_llama(name), num_threads=1, weight_cache=tmp_path) as lm:
        cases = [reference_prompts()[0], reference_prompts()[-1]]
        sessions = [lm.session() for _ in cases]
        for session, case in zip(sessions, cases, strict=True):
            session.append(case.prompt)
        found: list[list[int]] = [[], []]
        for _ in range(4):  # eight tokens each, in turn
            for session, tokens in zip(sessions, found, strict=True):
                tokens += session.generate(max_tokens=8, temperature=0.0, ignore_eos=True).tokens
        assert found == [case.greedy for case in cases]


def test_each_length_is_compared_once_and_the_verdict_kept(tmp_path: Path) -> None:
    path = small_llama("small_llama_transposed_f32.tflite")
    for _ in range(2):
        with litert.LanguageModel(path, num_threads=1, weight_cache=tmp_path) as lm:
            lm.generate([1, 266, 305], max_tokens=4)
    verdicts = {file.name: file.read_text() for file in tmp_path.glob("length-*")}
    assert [(name.rpartition("-")[2], text) for name, text in verdicts.items()] == [("128", "same")]


def test_a_length_with_other_results_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_llama("small_llama_transposed_f32.tflite")
    case = reference_prompts()[0]
    with litert.LanguageModel(path, num_threads=1, weight_cache=tmp_path) as lm:
        lm.generate(case.prompt, max_tokens=4)
    for file in tmp_path.glob("length-*"):
        file.write_text("different")
    with (
        caplog.at_level(logging.DEBUG, "litert"),
        litert.LanguageModel(path, num_threads=1, weight_cache=tmp_path) as lm,
    ):
        generation = lm.generate(case.prompt, max_tokens=32, temperature=0.0, ignore_eos=True)
    assert list(generation.tokens) == case.greedy
    assert "256 tokens in place of 128: the results were not the same" in caplog.text


def test_context_length_caps_the_context(backend: Backend) -> None:
    with litert.LanguageModel(speller(), context_length=40, num_threads=1, backend=backend) as lm:
        assert lm.context_length == 40
        generation = lm.generate([5] * 30, ignore_eos=True)
    assert (len(generation.tokens), generation.finish_reason) == (10, "length")


def test_context_length_beyond_what_the_metadata_promises_is_refused(backend: Backend) -> None:
    with pytest.raises(litert.OptionError, match="made for 256 tokens at most, got 257"):
        litert.LanguageModel(speller(), context_length=257, backend=backend)


def test_context_length_beyond_a_table_in_the_graph_is_refused() -> None:
    path = small_llama("small_llama_reauthored_f32.tflite")
    with pytest.raises(litert.OptionError, match="holds 256 tokens at most"):
        litert.LanguageModel(path, context_length=512, backend="native")


@pytest.mark.parametrize("wrong", [0, 1, -5, 2.5, True, "128"])
def test_context_length_that_is_no_length_is_refused(wrong: object) -> None:
    with pytest.raises(litert.OptionError, match="context_length: expected an int, 2 or more"):
        litert.LanguageModel(speller(), context_length=wrong)  # type: ignore[arg-type]


def test_a_prompt_that_does_not_fit_says_how_many_tokens_do(backend: Backend) -> None:
    with (
        litert.LanguageModel(speller(), num_threads=1, backend=backend) as lm,
        pytest.raises(litert.ContextLengthError, match=r"300 tokens, .* 256: at most 255 fit"),
    ):
        lm.generate([5] * 300)
