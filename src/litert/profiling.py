"""Where the time of a run goes, by operator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from litert.options import CpuOptions

if TYPE_CHECKING:
    from litert._native import CompiledModel

_WHOLE_RUN = "Invoke"


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """The time that all operators of one kind take in one run. Immutable.

    Attributes:
        name: The library's name of the kernel: a kind of operator, or of XNNPACK.
        num_calls: How often a run calls it.
        mean_us: Microseconds of a run that all these calls take. The library measures whole
            microseconds, so what is much shorter shows as 0.
    """

    name: str
    num_calls: int
    mean_us: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Times inside a run. Immutable.

    Attributes:
        num_runs: Of how many runs the means are.
        run_us: Microseconds of a whole run, inside the library. Taking the times makes runs
            longer than they are without.
        operators: By time, longest first. The time of a loop or branch includes its operators,
            which are listed too.
    """

    num_runs: int
    run_us: float
    operators: tuple[OperatorTime, ...]


def profile_operators(
    path: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    *,
    signature: str,
    cpu: CpuOptions,
    num_runs: int,
    num_warmup_runs: int = 1,
) -> Profile:
    """Run a model on the native backend and take the time of each operator.

    Compiles the model anew, since only a model compiled for it tells its times.

    Args:
        path: A .tflite file.
        inputs: An array for each input, as ``Model.run`` takes them.
        signature: The signature's key.
        cpu: How to run.
        num_runs: Runs to take the mean of.
        num_warmup_runs: Runs before those.

    Raises:
        LibraryError: The native core is not usable.
        LiteRTError: The model does not compile or run; see ``Model``.

    Example:
        >>> ones = {"x": np.ones((1, 4), np.float32), "y": np.ones((1, 4), np.float32)}
        >>> profile = profile_operators(
        ...     "add.tflite", ones, signature="add", cpu=CpuOptions(), num_runs=3
        ... )
        >>> [(operator.name, operator.num_calls) for operator in profile.operators]
        [('Add (ND)', 1)]
    """
    from litert._extension import native as _native
    from litert.library import load_library

    load_library()
    request = _native.CompileRequest(cpu.threads, cpu.kernels == "xnnpack", enable_profiling=True)
    compiled = _native.CompiledModel.from_file(os.fsencode(path), request)
    try:
        return _profile(compiled, inputs, signature, num_runs, num_warmup_runs)
    finally:
        compiled.close()


def _profile(
    compiled: CompiledModel,
    inputs: Mapping[str, npt.NDArray[Any]],
    signature: str,
    num_runs: int,
    num_warmup_runs: int,
) -> Profile:
    from litert._native import Profiler
    from litert.backends.native import NativeModel

    model = NativeModel(compiled, None)
    profiler = Profiler(compiled)
    calls: dict[str, int] = {}
    total_us: dict[str, int] = {}
    run_us = 0
    for index in range(num_warmup_runs + num_runs):
        profiler.start()
        model.run(signature, dict(inputs))
        events = profiler.stop()
        if index < num_warmup_runs:
            continue
        # The first is the whole run; a loop's body tells its runs under the same name.
        run_us += next((us for name, *_, us in events if name == _WHOLE_RUN), 0)
        for name, is_operator, _, microseconds in events:
            if is_operator:
                calls[name] = calls.get(name, 0) + 1
                total_us[name] = total_us.get(name, 0) + microseconds
    operators = [
        OperatorTime(name, round(calls[name] / num_runs), total_us[name] / num_runs)
        for name in calls
    ]
    operators.sort(key=lambda operator: -operator.mean_us)
    return Profile(num_runs, run_us / num_runs, tuple(operators))
