"""A profile in the Trace Event Format of Chrome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litert.profiling.events import DELEGATE, KERNELS, PART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litert.profiling.events import RecordedRuns, Run

_PROCESS = 1
# One row in the viewer for each kind of event, in this order.
_ROWS = {kind: KERNELS[kind] + " operators" for kind in KERNELS} | {PART: "run"}


def as_trace(runs: RecordedRuns) -> dict[str, Any]:
    """Return the runs as an object for JSON, times in microseconds."""
    events = [_metadata("process_name", 0, name="litert")]
    for kind in sorted(_ROWS):
        events.append(_metadata("thread_name", kind + 1, name=_ROWS[kind]))
        events.append(_metadata("thread_sort_index", kind + 1, sort_index=kind))
    for number, run in enumerate(runs.runs):
        events += _events_of(runs, run, number)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _metadata(what: str, thread: int, **arguments: object) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": _PROCESS, "tid": thread, "args": arguments}


def _events_of(runs: RecordedRuns, run: Run, number: int) -> Iterator[dict[str, Any]]:
    # By subgraph: where the next operator of XNNPACK can start.
    next_start: dict[int, int] = {}
    for event, operator in zip(run.events.tolist(), run.operators.tolist(), strict=True):
        _, kind, start, duration, node, subgraph = event
        if kind == DELEGATE or start < 0:
            start = next_start.get(subgraph, 0)
        # What is in an invocation starts with it, what follows an operator does so after it.
        next_start[subgraph] = start if kind == PART else start + duration
        arguments: dict[str, Any] = {"run": number}
        if operator >= 0:
            key = runs.keys[operator]
            arguments |= {"kernels": key.kernels, "subgraph": subgraph, "node": node}
            if key.partition is not None:
                arguments["partition"] = key.partition
        yield {
            "ph": "X",
            "name": runs.name_of(event),
            "cat": KERNELS.get(kind, "run"),
            "ts": start,
            "dur": duration,
            "pid": _PROCESS,
            "tid": kind + 1,
            "args": arguments,
        }
