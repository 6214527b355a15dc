"""Runs of models on an NPU for the tests."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

import litert
import litert.accelerate.npu
import litert.accelerate.openvino
import litert.accelerate.target
from litert.random_values import random_values
from random_inputs import stored_shapes

COMPILER_PLUGIN = "libLiteRtCompilerPlugin_IntelOpenvino.so"
PLUGIN_FAILED = (
    r"^accelerator 'npu': it takes none of the model's operators: IntelOpenVINO compiler plugin "
    r"\(ver [\d.]+\) failed in compiling it, and does not say why$"
)
STAMP = r"an Intel NPU \(chip PTL\)"


def inputs_of(model: litert.Model) -> dict[str, Any]:
    key, signature = next(iter(model.signatures.items()))
    shapes, generator = stored_shapes(model, key), np.random.default_rng(3)
    return {
        name: random_values(info, shapes[name], generator)
        for name, info in signature.inputs.items()
    }


def results(path: Path, **options: Any) -> dict[str, Any]:
    with litert.Model(path, **options) as model:
        return model.run(inputs_of(model))


def assert_equals_cpu(path: Path, npu: litert.NpuOptions, num_steps: int = 0) -> None:
    """Compare with the CPU: floats to 1e-4 of the largest, integers to ``num_steps``."""
    expected = results(path)
    computed = results(path, accelerator="npu", npu=npu)
    assert list(computed) == list(expected)
    for name, array in expected.items():
        assert computed[name].dtype == array.dtype
        tolerance = num_steps if array.dtype.kind in "iu" else 1e-4 * np.abs(array).max(initial=0)
        difference = np.abs(computed[name].astype(np.float64) - array.astype(np.float64))
        assert difference.max(initial=0) <= tolerance


def in_new_process(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has loaded no dispatch library yet."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
