"""Where the time of runs goes: what ``Model.profile`` gives."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from litert.errors import ExecutionError
from litert.profiling.rows import (
    KernelsProfile,
    KindProfile,
    MemoryUse,
    OperatorProfile,
)

if TYPE_CHECKING:
    from litert.options import CpuOptions
    from litert.profiling.events import RecordedRuns

    PathLike = str | os.PathLike[str]


class Profile:
    """Where the time of runs went. Made by ``Model.profile``; has its numbers when the block ends.

    Before that everything here raises ExecutionError. Afterwards it never changes, and may be used
    from any thread. A profile of no runs has no operators, and its reports say so.

    Example:
        >>> ones = np.ones((1, 4), np.float32)
        >>> with litert.Model("add.tflite") as model, model.profile() as profile:
        ...     for _ in range(3):
        ...         total = model.run({"x": ones, "y": ones})["sum"]
        >>> profile.num_runs, profile.operators[0].name, profile.operators[0].num_calls
        (3, 'Add (ND)', 1.0)
    """

    __slots__ = ("_is_full", "_memory", "_num_threads", "_operators", "_run_us", "_runs")

    def __init__(self) -> None:
        self._runs: RecordedRuns | None = None  # until the block ends

    @property
    def num_runs(self) -> int:
        """How many runs the numbers are of: those that came to their end, less the warm-up."""
        return len(self._complete_runs().runs)

    @property
    def num_threads(self) -> int:
        """Threads of one run."""
        self._complete_runs()
        return self._num_threads

    @property
    def runs_us(self) -> tuple[int, ...]:
        """Microseconds of each run inside the library, without handing over arrays."""
        self._complete_runs()
        return self._run_us

    @property
    def run_us(self) -> float:
        """The mean of ``runs_us``; 0 without runs."""
        return statistics.fmean(self.runs_us or (0,))

    @property
    def operators(self) -> tuple[OperatorProfile, ...]:
        """Each operator that was run; those that take the most time first."""
        self._complete_runs()
        return self._operators

    @property
    def by_kind(self) -> tuple[KindProfile, ...]:
        """The operators summed up by name and kernels; what takes the most time first."""
        groups: dict[tuple[str, str], list[OperatorProfile]] = {}
        for operator in self.operators:
            groups.setdefault((operator.name, operator.kernels), []).append(operator)
        kinds = [
            KindProfile(*key, len(group), sum(one.num_calls for one in group), *self._sum(group))
            for key, group in groups.items()
        ]
        return tuple(sorted(kinds, key=lambda kind: -kind.run_us))

    @property
    def placement(self) -> tuple[KernelsProfile, ...]:
        """What XNNPACK computes, what builtin kernels do, and the rest: three rows."""
        rows = []
        for kernels in ("XNNPACK", "builtin"):
            group = [one for one in self.operators if one.kernels == kernels]
            rows.append(KernelsProfile(kernels, len(group), *self._sum(group)))
        other_us = max(0.0, self.run_us - sum(row.run_us for row in rows))
        return (*rows, KernelsProfile("other", 0, other_us, _share(other_us, self.run_us)))

    @property
    def memory(self) -> MemoryUse | None:
        """The process's memory; None where the system does not tell (it is not Linux)."""
        self._complete_runs()
        return self._memory

    @property
    def is_full(self) -> bool:
        """Whether there were more events than the library keeps: later runs are missing."""
        self._complete_runs()
        return self._is_full

    def table(self, max_rows: int = 20) -> str:
        """Return a report for people, of at most 80 columns: kinds of operators, then each.

        The kinds are left out where each operator is of another one. ``us`` is the time of a run
        that all calls take. ``place`` is ``n7`` for node 7 on builtin kernels, ``p1.7`` for
        operator 7 of part 1 on XNNPACK, with ``s2:`` before it in subgraph 2, where that is not 0.

        Args:
            max_rows: How many kinds and operators it lists; the others are summed up in a last
                line.
        """
        from litert.profiling.table import as_table

        return as_table(self, max_rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``to_json`` writes."""
        runs_us = self.runs_us or (0,)
        return {
            "num_runs": self.num_runs,
            "is_full": self.is_full,
            "num_threads": self.num_threads,
            "run_us": {
                "mean": self.run_us,
                "median": statistics.median(runs_us),
                "min": min(runs_us),
                "max": max(runs_us),
            },
            "placement": [asdict(row) for row in self.placement],
            "memory": None if self.memory is None else asdict(self.memory),
            "by_kind": [asdict(kind) for kind in self.by_kind],
            "operators": [asdict(operator) for operator in self.operators],
        }

    def to_json(self, path: PathLike | None = None) -> str:
        """Return all numbers as JSON: the attributes of this class and its rows, by their names.

        ``run_us`` has ``mean``, ``median``, ``min`` and ``max`` in place of each run's time.

        Args:
            path: A file to write it to as well.

        Raises:
            OSError: The file cannot be written.
        """
        return _written(json.dumps(self.to_dict(), indent=2), path)

    def to_chrome_trace(self, path: PathLike | None = None) -> str:
        """Return the events as JSON that ui.perfetto.dev and chrome://tracing show.

        The library does not tell when XNNPACK's operators start, only how long they take: they
        are drawn one after the other from where their part can start.

        Args:
            path: A file to write it to as well.

        Raises:
            OSError: The file cannot be written.
        """
        from litert.profiling.trace import as_trace

        return _written(json.dumps(as_trace(self._complete_runs())), path)

    def plot(self, path: PathLike, *, max_bars: int = 20) -> None:
        """Draw the slowest operators as bars.

        Args:
            path: An image file; its ending tells the format: .png, .svg, .pdf.
            max_bars: How many operators it shows.

        Raises:
            MissingExtraError: Matplotlib is not installed.
            OptionError: Matplotlib knows no such format.
            OSError: The file cannot be written.
        """
        from litert.profiling.plot import plot_operators

        plot_operators(self, path, max_bars)

    def __repr__(self) -> str:
        if self._runs is None:
            return "<litert.Profile not complete>"
        return f"<litert.Profile runs={self.num_runs} operators={len(self.operators)}>"

    def _complete(
        self, runs: RecordedRuns, is_full: bool, options: CpuOptions, memory: MemoryUse | None
    ) -> None:
        """Take the numbers over; the block has ended."""
        self._run_us = runs.run_us()
        self._is_full = is_full
        self._num_threads = options.threads
        self._memory = memory
        num_runs, total_us = len(runs.runs), sum(self._run_us)
        operators = [
            OperatorProfile(
                call.key.name, call.key.kernels, position, call.key.subgraph, call.key.partition,
                call.key.node, call.count / num_runs, call.total_us / call.count, call.min_us,
                call.max_us, call.total_us / num_runs, _share(call.total_us, total_us),
            )
            for position, call in enumerate(runs.calls())
        ]  # fmt: skip
        self._operators = tuple(sorted(operators, key=lambda operator: -operator.run_us))
        self._runs = runs

    def _complete_runs(self) -> RecordedRuns:
        if self._runs is None:
            raise ExecutionError(
                "the profile has no numbers yet: leave the block `with model.profile()` first"
            )
        return self._runs

    def _sum(self, operators: list[OperatorProfile]) -> tuple[float, float]:
        run_us = sum(operator.run_us for operator in operators)
        return run_us, _share(run_us, self.run_us)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _written(text: str, path: PathLike | None) -> str:
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return text
