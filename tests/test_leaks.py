"""Runs, loads, closes and errors leave nothing behind: neither memory nor Python objects.

With LITERT_TEST_FULL=1 a million runs and a thousand loads.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert

pytestmark = pytest.mark.stress

IS_FULL = os.environ.get("LITERT_TEST_FULL") == "1"
NUM_RUNS = 1_000_000 if IS_FULL else 20_000
NUM_LOADS = 1_000 if IS_FULL else 100

STATM = Path("/proc/self/statm")
if not STATM.exists():
    pytest.skip("resident memory is read from /proc", allow_module_level=True)

# What the allocators may still take for themselves after the first rounds; a leak of one tensor
# buffer or array a round is several times that.
SLACK_BYTES = 2 << 20
SLACK_BLOCKS = 200
SLACK_BLOCKS_A_ROUND = 0.5


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def assert_no_growth(work: Callable[[], object], num_rounds: int) -> None:
    """Call ``work`` often, and compare memory and objects after a third with those at the end."""
    for _ in range(num_rounds // 2):
        work()
    gc.collect()
    memory, blocks = resident_bytes(), sys.getallocatedblocks()
    for _ in range(num_rounds):
        work()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < SLACK_BLOCKS + SLACK_BLOCKS_A_ROUND * num_rounds
    assert resident_bytes() - memory < SLACK_BYTES


def raising(error: type[Exception], work: Callable[[], object]) -> Callable[[], None]:
    """Return a call of ``work`` that must raise ``error``."""

    def call() -> None:
        try:
            work()
        except error:
            return
        raise AssertionError("no error")

    return call


def test_runs_of_a_runner_leave_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model, model.bind() as runner:
        assert_no_growth(runner.run, NUM_RUNS)


def test_runs_of_a_model_leave_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        inputs = {"x": np.ones((1, 4), np.float32), "y": np.ones((1, 4), np.float32)}
        assert_no_growth(lambda: model.run(inputs), NUM_RUNS)


def test_runs_that_convert_leave_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "copy_int4.tflite", backend=backend) as model:
        (info,) = model.signatures["serving_default"].inputs.values()
        x = np.ones(info.shape, np.int8)
        assert_no_growth(lambda: model.run(x), NUM_RUNS // 10)


def test_changing_shapes_leave_nothing(data: Path, backend: Any) -> None:
    """More shapes than a model keeps memory for, one after another."""
    arrays = [np.ones((size, 4), np.float32) for size in range(1, 21)]
    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:
        assert_no_growth(lambda: [model.run(x) for x in arrays], NUM_RUNS // 200)


def test_binding_and_closing_runners_leaves_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model:

        def bind() -> None:
            with model.bind() as runner:
                runner.run()

        assert_no_growth(bind, NUM_RUNS // 20)


def test_binding_memory_of_the_caller_leaves_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model, model.bind() as runner:
        (name,) = runner.inputs

        def bind() -> None:
            runner.bind_input(name, litert.empty_aligned((1, 8)))
            runner.run()

        assert_no_growth(bind, NUM_RUNS // 20)


@pytest.mark.parametrize("stem", ["mlp", "slow_loop", "counter_variable"])
def test_loading_and_closing_leaves_nothing(data: Path, backend: Any, stem: str) -> None:
    path = data / f"{stem}.tflite"
    backend = "auto" if backend == "native" else backend

    def load() -> None:
        with litert.Model(path, backend=backend) as model, model.bind() as runner:
            runner.run()

    assert_no_growth(load, NUM_LOADS)


def test_loading_without_closing_leaves_nothing(data: Path, backend: Any) -> None:
    content = (data / "mlp.tflite").read_bytes()
    x = np.ones((1, 8), np.float32)
    assert_no_growth(lambda: litert.Model(content, backend=backend).run(x), NUM_LOADS)


@pytest.mark.parametrize(
    "stem", ["invalid_garbage", "invalid_truncated", "invalid_incompatible_shapes", "custom_op"]
)
def test_failed_loads_leave_nothing(data: Path, backend: Any, stem: str) -> None:
    path = data / f"{stem}.tflite"
    load = raising(litert.ModelError, lambda: litert.Model(path, backend=backend))
    assert_no_growth(load, NUM_LOADS)


def test_failed_runs_leave_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "cast_float32_to_uint64.tflite", backend=backend) as model:
        x = np.ones((2, 3), np.float32)
        run = raising(litert.ExecutionError, lambda: model.run(x))
        assert_no_growth(run, NUM_RUNS // 20)


def test_refused_arrays_leave_nothing(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        run = raising(litert.TensorError, lambda: model.run(np.ones(8, np.float32)))
        assert_no_growth(run, NUM_RUNS // 20)
