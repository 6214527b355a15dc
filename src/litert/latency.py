"""Take the times of models that are compared, in turns."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from litert._quiet import captured_library_output
from litert.backends._interpreter import INTERPRETER_ERRORS, import_interpreter
from litert.errors import ExecutionError

if TYPE_CHECKING:
    from litert.model import Model
    from litert.runner import Runner

    Arrays = Mapping[str, npt.NDArray[Any]]

# Those who are compared take turns, so that what else the machine does hits them alike.
_NUM_TURNS = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Microseconds a call takes, each call timed by itself. Immutable."""

    mean_us: float
    median_us: float
    p90_us: float
    p99_us: float
    min_us: float
    std_us: float
    runs_per_s: float

    @classmethod
    def of(cls, samples_ns: Sequence[int]) -> Latency:
        """Sum up times in nanoseconds; at least one."""
        ordered = [sample / 1e3 for sample in sorted(samples_ns)]
        mean = statistics.fmean(ordered)
        return cls(
            mean_us=mean,
            median_us=statistics.median(ordered),
            p90_us=_quantile(ordered, 0.90),
            p99_us=_quantile(ordered, 0.99),
            min_us=ordered[0],
            std_us=statistics.pstdev(ordered),
            runs_per_s=1e6 / mean if mean > 0 else 0.0,
        )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that is opened and has run once, and the ways to run it again. Immutable.

    Attributes:
        load_ms: Milliseconds that loading and preparing took, the library being open already.
        first_run_ms: Milliseconds of the first run, which also prepares what later runs keep.
        memory_bytes: The process's resident memory after loading.
        load_memory_bytes: How much of it came with loading.
        calls: Ways to run it, by name: on inputs that are in place already, where there is such a
            way, and last on arrays.
    """

    load_ms: float
    first_run_ms: float
    memory_bytes: int
    load_memory_bytes: int
    calls: Mapping[str, Callable[[], object]]


class Opened:
    """Memory and time while something is opened: ``Opened(lambda: Model(path)).value``."""

    def __init__(self, open_it: Callable[[], Any]) -> None:
        before = _resident_bytes()
        start = time.perf_counter_ns()
        self.value = open_it()
        self.ms = (time.perf_counter_ns() - start) / 1e6
        self.memory_bytes = _resident_bytes()
        self.new_memory_bytes = self.memory_bytes - before

    def as_contender(self, calls: Mapping[str, Callable[[], object]]) -> Contender:
        """Run the last of ``calls`` for the first time."""
        first = Opened(list(calls.values())[-1])
        return Contender(self.ms, first.ms, self.memory_bytes, self.new_memory_bytes, calls)


def own_contender(opened: Opened, signature: str | None, inputs: Arrays) -> Contender:
    """Run one of our models, through a runner and through ``Model.run``.

    Args:
        opened: The model.
        signature: The signature's key; the first one for None.
        inputs: An array for each input.

    Raises:
        LiteRTError: The model cannot run.
    """
    model: Model = opened.value
    runner = bind_filled(model, signature, inputs)

    def run_first_signature() -> object:
        return model.run(inputs)

    def run_signature() -> object:
        return model.run(inputs, signature=signature)

    on_arrays = run_first_signature if signature is None else run_signature
    return opened.as_contender({"runner.run": runner.run, "model.run": on_arrays})


def bind_filled(model: Model, signature: str | None, inputs: Arrays) -> Runner:
    """Make a runner whose inputs hold these arrays.

    Args:
        model: The model.
        signature: The signature's key; the first one for None.
        inputs: An array for each input.

    Raises:
        LiteRTError: The model cannot be bound.
    """
    runner = model.bind(signature, shapes={name: array.shape for name, array in inputs.items()})
    for name, array in inputs.items():
        # Values below a byte lie packed in a runner's memory; those stay zeros.
        if runner.inputs[name].shape == array.shape:
            runner.inputs[name][...] = array
    return runner


def interpreter_contender(path: str, num_threads: int, signature: str, inputs: Arrays) -> Contender:
    """Run the same model in ai-edge-litert's ``Interpreter``, by its fastest public calls.

    Those reach the first subgraph only: of a file with several signatures it is the signature
    runner, which takes arrays.

    Raises:
        LibraryError: There is no Interpreter.
        ExecutionError: It cannot run the model.
    """
    interpreter_type = import_interpreter().Interpreter  # imported before the clock starts
    try:
        with captured_library_output():
            opened = Opened(lambda: _allocated(interpreter_type, path, num_threads))
            interpreter = opened.value
            if len(interpreter.get_signature_list()) > 1:
                signature_runner = interpreter.get_signature_runner(signature)
                return opened.as_contender({"signature runner": lambda: signature_runner(**inputs)})
            on_arrays = _set_invoke_get(interpreter, inputs)
            return opened.as_contender({"invoke": interpreter.invoke, "set/invoke/get": on_arrays})
    except INTERPRETER_ERRORS as err:
        raise ExecutionError(f"the Interpreter cannot run it: {err}") from err


def _allocated(interpreter_type: Any, path: str, num_threads: int) -> Any:
    interpreter = interpreter_type(model_path=path, num_threads=num_threads)
    interpreter.allocate_tensors()
    return interpreter


def _set_invoke_get(interpreter: Any, inputs: Arrays) -> Callable[[], object]:
    if interpreter.get_signature_list():
        # Not kept: the Interpreter refuses to invoke while a signature runner lives.
        signature_runner = interpreter.get_signature_runner()
        index_of = {
            name: details["index"] for name, details in signature_runner.get_input_details().items()
        }
        del signature_runner
    else:
        details = interpreter.get_input_details()
        index_of = {name: tensor["index"] for name, tensor in zip(inputs, details, strict=True)}
    for name, array in inputs.items():
        interpreter.resize_tensor_input(index_of[name], array.shape)
    interpreter.allocate_tensors()
    given = [(index_of[name], array) for name, array in inputs.items()]
    outputs = [details["index"] for details in interpreter.get_output_details()]

    def run() -> object:
        for index, array in given:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run


def take_turns(
    calls: Sequence[Callable[[], object]], num_runs: int, num_warmup: int
) -> list[list[int]]:
    """Time calls in turns.

    Args:
        calls: What is compared.
        num_runs: Timed calls of each.
        num_warmup: Calls of each before those.

    Returns:
        For each of ``calls`` the nanoseconds of each call, less what reading the clock takes.
    """
    for call in calls:
        for _ in range(num_warmup):
            call()
    clock_ns = _clock_cost_ns()
    samples: list[list[int]] = [[] for _ in calls]
    turns = min(_NUM_TURNS, num_runs)
    for turn in range(turns):
        # Shares that differ by one at most and sum up to num_runs.
        count = num_runs * (turn + 1) // turns - num_runs * turn // turns
        for call, own_samples in zip(calls, samples, strict=True):
            own_samples += _time_each(call, count, clock_ns)
    return samples


def _time_each(call: Callable[[], object], count: int, clock_ns: int) -> list[int]:
    clock = time.perf_counter_ns
    samples = []
    for _ in range(count):
        start = clock()
        call()
        samples.append(max(clock() - start - clock_ns, 0))
    return samples


def _clock_cost_ns() -> int:
    """Return what reading the clock adds to a time; it would show in runs of a microsecond."""
    clock = time.perf_counter_ns
    return min(-clock() + clock() for _ in range(1000))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
