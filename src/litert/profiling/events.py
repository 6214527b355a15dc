"""From the library's events to the time of each operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# What a run begins and ends with, and what encloses its operators.
_RUN_START = "LiteRT::Run[buffer registration]"
_RUN_END = "LiteRT::Run[Buffer sync]"
_INVOKE = "Invoke"

# Columns of the events, see bind_profiler.cc.
NAME, KIND, START, DURATION, NODE, SUBGRAPH = range(6)

# Kinds of events.
PART, BUILTIN, DELEGATE = range(3)
KERNELS = {BUILTIN: "builtin", DELEGATE: "XNNPACK"}

Events: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """What the library recorded. Immutable.

    Attributes:
        names: By the number in the column NAME.
        events: int64[events, 6], in the order of time.
        is_full: Whether the library dropped events, having no memory for more than these.
    """

    names: list[str]
    events: Events
    is_full: bool


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """What tells an operator from all others of the model. Immutable.

    Attributes:
        name: The library's name of the kernel.
        kernels: ``"XNNPACK"`` or ``"builtin"``.
        subgraph: Index of the subgraph.
        partition: Which of the subgraph's parts on XNNPACK, None on builtin kernels.
        node: Index in the subgraph; on XNNPACK in its part.
    """

    name: str
    kernels: str
    subgraph: int
    partition: int | None
    node: int


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one operator in all runs. Immutable.

    Attributes:
        key: Which operator.
        count: How many calls.
        total_us: Of all calls, without the operators that it runs (a loop's body).
        min_us: Of the shortest call.
        max_us: Of the longest call.
    """

    key: OperatorKey
    count: int
    total_us: int
    min_us: int
    max_us: int


@dataclass(frozen=True, slots=True)
class Run:
    """The events of one run, and which operator each belongs to (-1: none). Immutable."""

    events: Events
    operators: npt.NDArray[np.int64]


class RecordedRuns:
    """The complete runs of a recording. Immutable.

    Args:
        recording: What the library recorded.
        num_skipped: Runs at its beginning to leave out.
    """

    __slots__ = ("_known", "_names", "keys", "runs")

    def __init__(self, recording: Recording, num_skipped: int) -> None:
        self._names = recording.names
        self._known: dict[OperatorKey, int] = {}
        patterns: dict[bytes, npt.NDArray[np.int64]] = {}
        self.runs: list[Run] = []
        for events in _complete_runs(recording)[num_skipped:]:
            # Runs mostly look the same: what is what is found out once.
            pattern = events[:, [NAME, KIND, NODE, SUBGRAPH]].tobytes()
            if pattern not in patterns:
                patterns[pattern] = self._operators_of(events)
            self.runs.append(Run(events, patterns[pattern]))
        self.keys = tuple(self._known)  # in the order of the runs

    def run_us(self) -> tuple[int, ...]:
        """Return the microseconds of each run, as its invocation takes them."""
        invoke = self._names.index(_INVOKE) if _INVOKE in self._names else -1
        durations = []
        for run in self.runs:
            # The first; a loop's body is invoked under the same name.
            found = np.flatnonzero(run.events[:, NAME] == invoke)
            durations.append(int(run.events[found[0], DURATION]) if found.size else 0)
        return tuple(durations)

    def calls(self) -> list[Calls]:
        """Return the times of each operator, in the order of the runs."""
        if not self.keys:
            return []
        operators = np.concatenate([run.operators for run in self.runs])
        durations = np.concatenate([_own_durations(run.events) for run in self.runs])
        is_operator = operators >= 0
        operators, durations = operators[is_operator], durations[is_operator]
        counts = np.bincount(operators, minlength=len(self.keys))
        totals = np.zeros(len(self.keys), np.int64)
        longest = np.zeros_like(totals)
        shortest = np.full_like(totals, np.iinfo(np.int64).max)
        np.add.at(totals, operators, durations)
        np.maximum.at(longest, operators, durations)
        np.minimum.at(shortest, operators, durations)
        return [
            Calls(key, *map(int, numbers))
            for key, *numbers in zip(self.keys, counts, totals, shortest, longest, strict=True)
        ]

    def name_of(self, event: Sequence[int]) -> str:
        """Return the library's name of an event."""
        return self._names[event[NAME]]

    def _operators_of(self, events: Events) -> npt.NDArray[np.int64]:
        """Return the number of each event's operator, -1 for what is none.

        A subgraph may have several parts on XNNPACK, with indices that begin again in each; the
        order tells where one ends.
        """
        operators = np.full(len(events), -1, np.int64)
        partition: dict[int, int] = {}  # by subgraph, in this invocation
        last_node: dict[int, int | None] = {}  # None: not inside a part
        for row, (name, kind, _, _, node, subgraph) in enumerate(events.tolist()):
            if kind == PART:
                if self._names[name] == _INVOKE:
                    partition[subgraph], last_node[subgraph] = -1, None
                continue
            if kind == DELEGATE:
                last = last_node.get(subgraph)
                if last is None or node <= last:
                    partition[subgraph] = partition.get(subgraph, -1) + 1
                last_node[subgraph] = node
            else:
                last_node[subgraph] = None
            place = partition[subgraph] if kind == DELEGATE else None
            key = OperatorKey(self._names[name], KERNELS[kind], subgraph, place, node)
            operators[row] = self._known.setdefault(key, len(self._known))
        return operators


def _complete_runs(recording: Recording) -> list[Events]:
    """Cut the events into runs; leave out those that failed, or whose end was dropped."""
    names, events = recording.names, recording.events
    if _RUN_START not in names or _RUN_END not in names:
        return []
    starts = np.flatnonzero(events[:, NAME] == names.index(_RUN_START))
    end = names.index(_RUN_END)
    ends = [*starts[1:], len(events)]
    cut = [events[start:stop] for start, stop in zip(starts, ends, strict=True)]
    runs = [run for run in cut if (run[:, NAME] == end).any()]
    # Where events are missing, some of the last run may be too.
    return runs[:-1] if recording.is_full and runs and runs[-1] is cut[-1] else runs


def _own_durations(events: Events) -> npt.NDArray[np.int64]:
    """Return the durations, those of operators without what they run (a loop's body)."""
    own: npt.NDArray[np.int64] = events[:, DURATION].copy()
    if len(np.unique(events[:, SUBGRAPH])) == 1:
        return own
    enclosing: list[tuple[int, int]] = []  # the end, and the row of an operator or -1
    for row, (_, kind, start, duration, _, _) in enumerate(events.tolist()):
        if start < 0:
            continue  # inside an invocation, which counts for it
        while enclosing and enclosing[-1][0] <= start:
            enclosing.pop()
        if enclosing and enclosing[-1][1] >= 0:
            own[enclosing[-1][1]] -= duration
        enclosing.append((start + duration, row if kind == BUILTIN else -1))
    return own.clip(min=0)
