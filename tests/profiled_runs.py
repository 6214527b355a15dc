"""Profiles of small models for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import litert

ONES = np.ones((1, 4), np.float32)
SUMMANDS = {"x": ONES, "y": ONES}


def profiled(path: Path, inputs: dict[str, Any], num_runs: int = 2, **options: Any) -> Any:
    with litert.Model(path, **options or {"num_threads": 1}) as model, model.profile() as profile:
        for _ in range(num_runs):
            model.run(inputs)
    return profile


def loop_inputs(num_steps: int) -> dict[str, Any]:
    return {"n": np.array([num_steps], np.int32), "x": np.zeros((32, 128), np.float32)}
