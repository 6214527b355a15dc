"""Recording the runs of a model for as long as a block lasts."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from litert._extension import native as _native
from litert.backends.native import NativeModel, NativeRunner, compile_request
from litert.errors import ExecutionError
from litert.profiling.events import RecordedRuns, Recording
from litert.profiling.profile import Profile
from litert.profiling.rows import MemoryUse

if TYPE_CHECKING:
    from litert.backends.protocol import Shapes
    from litert.model import Model
    from litert.options import CpuOptions

# Guards whose turn it is to replace a model's compiled model.
_swap_lock = threading.Lock()


class ProfiledModel(NativeModel):
    """A model compiled once more so that it records its runs, in place of the one it is made of.

    Args:
        original: The one to compile once more; its bytes are shared.
        options: How to; the original's where they are left out.
    """

    __slots__ = ("_end_lock", "_profiler", "_recording", "_runners", "original")

    def __init__(self, original: NativeModel, options: CpuOptions | None = None) -> None:
        options, plugins = options or original._options, original._plugins
        request = compile_request(options, plugins=plugins)
        compiled = _native.compile_with_profiling(original._compiled, request)
        super().__init__(compiled, options, original._release_gil, plugins)
        self.original = original
        self._end_lock = threading.Lock()
        self._recording: Recording | None = None
        self._runners: weakref.WeakSet[NativeRunner] = weakref.WeakSet()
        self._profiler = _native.Profiler(compiled)
        self._profiler.start()

    def bind(self, signature: str, shapes: Shapes) -> NativeRunner:
        """See ``BackendModel``; the runner ends with the recording."""
        runner = super().bind(signature, shapes)
        self._runners.add(runner)
        return runner

    def end(self) -> Recording:
        """Stop recording, end the runners, and return what was recorded. Idempotent.

        Not ``close``: another thread may be about to run, and shall be able to. The memory is
        freed with the last of those.
        """
        with self._end_lock:
            if self._recording is None:
                self._recording = Recording(*self._profiler.stop())
                self._end_runners()
                self._forget_runs()
            return self._recording

    def close(self) -> None:
        """See ``BackendModel``: the user closes the model inside the block."""
        self.end()
        super().close()
        self.original.close()

    def _end_runners(self) -> None:
        for runner in list(self._runners):
            try:
                runner.close()
            except ExecutionError:
                self._compiled.close()  # one is running: waits for it, and then ends it


def record_runs(
    original: NativeModel,
    run: Callable[[NativeModel], None],
    options: CpuOptions | None = None,
) -> Profile:
    """Record what ``run`` does with a twin of a model, which nobody else sees."""
    twin = ProfiledModel(original, options)
    try:
        run(twin)
    finally:
        recording = twin.end()
    profile = Profile()
    profile._complete(RecordedRuns(recording, 0), recording.is_full, twin._options, None)
    return profile


@contextmanager
def profiled(model: Model, num_warmup_runs: int) -> Iterator[Profile]:
    """Record the runs of a model for as long as the block lasts; see ``Model.profile``."""
    profile = Profile()
    before, peak_before = _memory_use()
    twin = _enter(model)
    try:
        yield profile
    finally:
        with _swap_lock:
            model._use(twin.original)
        after, peak = _memory_use()  # reading the events takes some itself
        recording = twin.end()
        memory = None
        if before is not None and after is not None and peak is not None:
            memory = MemoryUse(before, after, peak, peak > (peak_before or 0))
        runs = RecordedRuns(recording, num_warmup_runs)
        profile._complete(runs, recording.is_full, twin._options, memory)


def _enter(model: Model) -> ProfiledModel:
    """Let a model's runs go through a twin that records them."""
    with _swap_lock:
        model._check_open()
        original = model._backend_model
        if isinstance(original, ProfiledModel):
            raise ExecutionError(
                "profile: the model is being profiled already; leave that block first"
            )
        assert isinstance(original, NativeModel)  # Model.profile has asked
        twin = ProfiledModel(original)
        model._use(twin)
    return twin


def _memory_use() -> tuple[int | None, int | None]:
    """Return the bytes in memory of the process, now and at most so far; None where unknown."""
    values: dict[str, int] = {}
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, text = line.partition(":")
                if name in ("VmRSS", "VmHWM"):
                    values[name] = 1024 * int(text.split()[0])
    except OSError:
        pass  # not Linux
    return values.get("VmRSS"), values.get("VmHWM")
