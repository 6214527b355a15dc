"""A real chat model, SmolLM2-135M-Instruct, where its files are at hand.

The environment variable ``LITERT_TEST_MODELS`` names a folder with ``smollm2_f32.litertlm`` and
``smollm2_wi8.litertlm``, the model as litert-torch exports it in float32 and with int8 weights.
``data/smollm2_reference.json`` holds what PyTorch and transformers make of the same weights: the
ids of the prompt through the model's template, and the greedy reply.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import litert

REFERENCE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "smollm2_reference.json").read_text()
)


def smollm2(name: str) -> Path:
    path = Path(os.environ.get("LITERT_TEST_MODELS", "/nowhere")) / name
    if not path.is_file():
        pytest.skip(f"needs {name} in the folder that LITERT_TEST_MODELS names")
    return path


def test_f32_gives_the_prompts_and_tokens_of_pytorch(tmp_path: Path) -> None:
    path = smollm2("smollm2_f32.litertlm")
    with litert.LanguageModel(path, num_threads=2, weight_cache=tmp_path) as lm:
        for case in REFERENCE:
            ids = lm.encode_chat([{"role": "user", "content": case["question"]}])
            generation = lm.generate(ids, max_tokens=48, temperature=0)
            assert ids == case["prompt_ids"]
            assert list(generation.tokens) == case["greedy"]
            assert generation.text == case["text"]


def test_int8_gives_the_tokens_of_the_reference_backend(tmp_path: Path) -> None:
    path = smollm2("smollm2_wi8.litertlm")
    messages = [{"role": "user", "content": REFERENCE[0]["question"]}]
    replies = {}
    for backend in ("native", "reference"):
        with litert.LanguageModel(
            path, num_threads=2, weight_cache=tmp_path, backend=backend
        ) as lm:
            replies[backend] = lm.chat(messages, max_tokens=24, temperature=0)
    assert replies["native"].tokens == replies["reference"].tokens
    assert "Paris" in replies["native"].text
