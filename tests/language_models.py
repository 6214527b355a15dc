"""The language models that tests use: the package's own, and those beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from litert.samples import speller_model_path

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "models" / "llm"

# Every layout and precision, as one container or as a bare model.
SMALL_LLAMAS = (
    *("transposed_f32", "transposed_wi8", "transposed_wi4", "transposed_bool_f32"),
    *("transposed_two_f32", "reauthored_f32", "reauthored_wi8", "reauthored_mask_f32"),
)
SMALL_LLAMA_FILES = (
    *(f"small_llama_{name}.tflite" for name in SMALL_LLAMAS),
    *(f"small_llama_{name}.litertlm" for name in SMALL_LLAMAS if "two" not in name),
    "small_llama_split_f32.litertlm",
    "small_llama_transposed_f32_sp.litertlm",
)


class ReferencePrompt(NamedTuple):
    """A prompt, and the tokens that PyTorch gives greedily after it."""

    prompt: list[int]
    greedy: list[int]


def small_llama(name: str) -> Path:
    """Return the path of a model beside the repository, or skip."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs the model ../shared/models/llm/{name}")
    return path


def reference_prompts() -> list[ReferencePrompt]:
    """Return what PyTorch gave for small_llama, with and without a start token; or skip."""
    reference: dict[str, Any] = json.loads(small_llama("small_llama.reference.json").read_text())
    return [
        ReferencePrompt(entry[kind]["prompt_ids"], entry[kind]["greedy"])
        for entry in reference["prompts"]
        for kind in ("with_bos", "without_bos")
        if kind in entry
    ]


def speller() -> Path:
    """Return the path of the language model that the package ships."""
    return speller_model_path()
