"""Loading a model on the GPU with a program cache, and what is then kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import litert
from litert.cache import PROGRAMS_SUFFIX


def load(path: Path, cache_dir: Any = "auto") -> bool:
    """Load a model on the GPU, check its results, and say whether kept programs were used."""
    image = np.random.default_rng(2).random((1, 16, 16, 3), np.float32)
    options = litert.GpuOptions(cache_dir=cache_dir)
    with (
        litert.Model(path, accelerator="gpu", gpu=options) as model,
        litert.Model(path) as reference,
    ):
        computed, expected = model.run(image)["features"], reference.run(image)["features"]
        np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
        return "InferenceContext from serialized data" in model._backend_model.compile_log()  # type: ignore[attr-defined]


def programs(folder: Path) -> Path:
    """Return the file of the only model that is kept."""
    (found,) = folder.glob(f"*{PROGRAMS_SUFFIX}")
    return found


def seal_of(file: Path) -> Path:
    return file.with_name(file.name.replace(PROGRAMS_SUFFIX, ".seal"))
