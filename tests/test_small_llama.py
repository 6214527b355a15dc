"""Every layout and precision gives PyTorch's greedy tokens, on both backends.

The smallest margin between the best and the second best logit is 0.8, so int8 and int4 do too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import litert
from language_models import SMALL_LLAMA_FILES, ReferencePrompt, reference_prompts, small_llama
from litert.options import Backend


def greedy(lm: litert.LanguageModel, case: ReferencePrompt) -> list[int]:
    options = {"max_tokens": len(case.greedy), "temperature": 0.0, "ignore_eos": True}
    return list(lm.generate(case.prompt, **options).tokens)


@pytest.mark.parametrize("name", SMALL_LLAMA_FILES)
def test_greedy_tokens_are_those_of_pytorch(name: str, backend: Backend) -> None:
    with litert.LanguageModel(small_llama(name), num_threads=1, backend=backend) as lm:
        for case in reference_prompts():
            assert greedy(lm, case) == case.greedy


@pytest.mark.parametrize("num_threads", [1, 2])
def test_greedy_tokens_with_any_number_of_threads(num_threads: int) -> None:
    path = small_llama("small_llama_transposed_wi8.litertlm")
    with litert.LanguageModel(path, num_threads=num_threads) as lm:
        for case in reference_prompts():
            assert greedy(lm, case) == case.greedy


@pytest.mark.parametrize("weight_cache", ["folder", None])
def test_greedy_tokens_from_a_cold_and_from_a_warm_weight_cache(
    weight_cache: str | None, tmp_path: Path
) -> None:
    path = small_llama("small_llama_reauthored_wi8.litertlm")
    folder = None if weight_cache is None else tmp_path / weight_cache
    case = reference_prompts()[0]
    for _ in range(2):
        with litert.LanguageModel(path, num_threads=1, weight_cache=folder) as lm:
            assert greedy(lm, case) == case.greedy


def test_a_context_longer_than_exported_gives_the_same_tokens() -> None:
    # Past the 256 slots of the file, which is resized; what the shorter one gave must not change.
    path = small_llama("small_llama_transposed_f32.tflite")
    case = reference_prompts()[0]
    with litert.LanguageModel(path, num_threads=1) as short:
        expected = short.generate(case.prompt, temperature=0.0, ignore_eos=True)
    with litert.LanguageModel(path, num_threads=1, context_length=512) as long:
        found = long.generate(case.prompt, temperature=0.0, ignore_eos=True)
    assert expected.finish_reason == found.finish_reason == "length"
    assert len(case.prompt) + len(expected.tokens) == 256
    assert len(case.prompt) + len(found.tokens) == 512
    assert found.tokens[: len(expected.tokens)] == expected.tokens
