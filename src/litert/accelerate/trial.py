"""Trial runs: whether an accelerator computes what the CPU does, and how long a run takes."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from litert.backends.native import NativeModel
from litert.errors import LiteRTError
from litert.random_values import random_values

_SEED = 20
# What other orders of summation, half precision on purpose, and activations that are quantized on
# one side alone bring: a part of the largest magnitude, or steps of a quantized tensor. Between
# XNNPACK and the builtin kernels there are up to 8 steps after 50 layers. What is wrong is off by
# nearly all of it.
_TOLERANCE = 0.04
_TOLERATED_STEPS = 8
_MAX_RUN_S = 20.0
_MIN_RUNS = 3
_MAX_RUNS = 20
_TIMING_BUDGET_S = 0.5


def difference(model: NativeModel, reference: NativeModel) -> str:
    """Run every signature of both on the same random inputs and say how they differ.

    Args:
        model: The one on the accelerator.
        reference: The same model on the CPU.

    Returns:
        A sentence for the first output that is off; empty where all agree.
    """
    for key in reference.signatures:
        inputs = _inputs(reference, key)
        try:
            with time_limit(reference):
                expected = reference.run(key, inputs)
        except LiteRTError as err:
            # Perhaps a model that does not take random values.
            return f"its results cannot be compared with the CPU's, where a trial run fails: {err}"
        try:
            with time_limit(model):
                # Twice: some fail when their buffers are used again.
                model.run(key, inputs)
                computed = model.run(key, inputs)
        except (LiteRTError, MemoryError) as err:
            return f"its run fails: {err}"
        for name, array in expected.items():
            found = _describe_difference(computed[name], array)
            if found:
                return f"output {name!r} differs from the CPU's: {found}"
    return ""


def run_once(model: NativeModel) -> None:
    """Run the first signature: a device's library may be missing, which loading does not tell."""
    key = next(iter(model.signatures))
    with time_limit(model):
        model.run(key, _inputs(model, key))


def median_run_s(model: NativeModel) -> float:
    """Return how long a run of the first signature takes, in place, after one that is not timed."""
    key = next(iter(model.signatures))
    runner = model.bind(key, model.default_shapes(key))
    try:
        for name, array in _inputs(model, key).items():
            if runner.inputs[name].shape == array.shape:
                runner.inputs[name][...] = array
        runner.run()
        times: list[float] = []
        deadline = time.perf_counter() + _TIMING_BUDGET_S
        while len(times) < _MIN_RUNS or (len(times) < _MAX_RUNS and time.perf_counter() < deadline):
            start = time.perf_counter()
            runner.run()
            times.append(time.perf_counter() - start)
    finally:
        runner.close()
    return statistics.median(times)


def _inputs(model: NativeModel, key: str) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(_SEED)
    shapes = model.default_shapes(key)
    return {
        name: random_values(info, shapes[name], generator)
        for name, info in model.signatures[key].inputs.items()
    }


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


@contextmanager
def time_limit(model: _Cancellable) -> Iterator[None]:
    """Cancel a run that does not end: a loop may depend on values that random ones do not meet."""
    timer = threading.Timer(_MAX_RUN_S, model.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _describe_difference(computed: npt.NDArray[Any], expected: npt.NDArray[Any]) -> str:
    if computed.shape != expected.shape:
        return f"shape {list(computed.shape)}, not {list(expected.shape)}"
    if expected.size == 0:
        return ""
    if expected.dtype.kind in "bOSU" or (expected.dtype.kind in "iu" and expected.itemsize > 2):
        # Classes, indices, counts: nothing of these is nearly right.
        num_other = int(np.count_nonzero(computed != expected))
        return f"{num_other} of {expected.size} values" if num_other else ""
    left, right = _as_real(computed), _as_real(expected)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return "values that are not finite"
    finite = np.isfinite(right)
    if not finite.any():
        return ""
    largest = float(np.abs(right[finite]).max())
    off = float(np.abs(left[finite] - right[finite]).max())
    tolerated = _TOLERANCE * largest
    if expected.dtype.kind in "iu":
        tolerated = max(tolerated, _TOLERATED_STEPS)
    if off <= tolerated:
        return ""
    return f"by up to {off:.4g} where the largest is {largest:.4g} ({tolerated:.4g} is tolerated)"


def _as_real(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    return array.astype(np.float64)
