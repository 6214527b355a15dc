"""Small models with a handful of inputs and right answers, to try the package with.

``python -m litert.samples`` runs them and shows what ran where. How they were trained and how
good they are: ``README.md`` beside this file.

Example:
    >>> import litert
    >>> from litert.samples import digits_model_path, load_digits
    >>> images, labels = load_digits()
    >>> with litert.Model(digits_model_path()) as model:
    ...     probabilities = model.run({"image": images[:1]})["probabilities"]
    >>> int(probabilities.argmax()) == int(labels[0])
    True
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["digits_model_path", "load_digits", "load_speller_questions", "speller_model_path"]

_FOLDER = Path(__file__).resolve().parent
_MAX_PIXEL = 16  # the digits are stored as uint8 0..16


def digits_model_path() -> Path:
    """Return the path of the digit classifier.

    Its one signature, ``"classify"``, takes ``image`` float32[1, 8, 8, 1] in 0..1 and gives
    ``probabilities`` float32[1, 10].
    """
    return _FOLDER / "digits.tflite"


def load_digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return labelled handwritten digits that the classifier was not trained on.

    Returns:
        The images, float32[20, 8, 8, 1] in 0..1 (1 is ink), and their labels, int64[20].
        Both are new arrays.
    """
    with np.load(_FOLDER / "digits_samples.npz") as samples:
        images, labels = samples["images"], samples["labels"]
    return (images[..., np.newaxis] / _MAX_PIXEL).astype(np.float32), labels.astype(np.int64)


def speller_model_path() -> Path:
    """Return the path of a tiny language model that spells numbers, counts and adds.

    A ``.litertlm`` file: int8 weights, a context of 256 tokens, chat template and tokenizer. Asked
    ``"spell 4096"`` in a chat it answers ``"four thousand ninety-six"``.
    """
    return _FOLDER / "speller.litertlm"


def load_speller_questions() -> list[tuple[str, str]]:
    """Return prompts that the language model was not trained on, and their right answers."""
    questions = json.loads((_FOLDER / "speller_questions.json").read_text("utf-8"))
    return [(question["prompt"], question["answer"]) for question in questions]
