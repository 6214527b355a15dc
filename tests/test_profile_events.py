"""What a profile makes of the events that the library has recorded."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import litert
from litert.profiling.events import (
    BUILTIN,
    DELEGATE,
    PART,
    OperatorKey,
    RecordedRuns,
    Recording,
)
from litert.profiling.table import shortened

pytest.importorskip("litert._native", reason="needs the extension module")


@pytest.mark.slow
def test_events_that_are_dropped_are_told(data):
    """In a process of its own, as the library then prints a line, once a process."""
    script = f"""
import numpy as np
import litert

def run(num_steps):
    model.run({{"n": np.array([num_steps], np.int32), "x": np.zeros((32, 128), np.float32)}})

with litert.Model({str(data / "slow_loop.tflite")!r}) as model, model.profile() as profile:
    run(100)
    run(80_000)
print(profile.num_runs, profile.is_full, profile.runs_us[0] < 10e6)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "1 True True\n", done.stderr


def test_table_tells_that_events_were_dropped():
    profile = completed(recording(*one_run(), *one_run()[:-1], is_full=True))
    assert (profile.num_runs, profile.is_full) == (1, True)
    assert "only the first runs are counted" in profile.table()


def test_table_tells_that_a_run_does_not_fit():
    profile = completed(recording(*one_run()[:-1], is_full=True))
    assert profile.table().startswith("no runs were recorded: one has more events than")


# What the events say


def recording(*events: tuple[str, int, int, int, int, int], is_full: bool = False) -> Recording:
    """Make a recording of (name, kind, start, duration, node, subgraph)."""
    names = list(dict.fromkeys(name for name, *_ in events))
    rows = [[names.index(name), *rest] for name, *rest in events]
    return Recording(names, np.array(rows, np.int64).reshape(-1, 6), is_full)


def completed(recorded: Recording) -> litert.Profile:
    """Make a profile as the end of its block does."""
    profile = litert.Profile()
    profile._complete(RecordedRuns(recorded, 0), recorded.is_full, litert.CpuOptions(), None)
    return profile


def one_run(*inside: tuple[str, int, int, int, int, int]) -> list[Any]:
    return [
        ("LiteRT::Run[buffer registration]", PART, 0, 1, 0, 0),
        ("Invoke", PART, 1, 100, 0, 0),
        *inside,
        ("LiteRT::Run[Buffer sync]", PART, 101, 1, 0, 0),
    ]


def test_same_node_of_another_part_is_another_operator():
    runs = RecordedRuns(
        recording(
            *one_run(
                ("Add", DELEGATE, -1, 5, 0, 0),
                ("Add", DELEGATE, -1, 6, 1, 0),
                ("SOFTMAX", BUILTIN, 20, 7, 2, 0),
                ("Add", DELEGATE, -1, 8, 0, 0),
                ("Add", DELEGATE, -1, 9, 0, 0),
            )
        ),
        0,
    )
    assert runs.keys == (
        OperatorKey("Add", "XNNPACK", 0, 0, 0),
        OperatorKey("Add", "XNNPACK", 0, 0, 1),
        OperatorKey("SOFTMAX", "builtin", 0, None, 2),
        OperatorKey("Add", "XNNPACK", 0, 1, 0),
        OperatorKey("Add", "XNNPACK", 0, 2, 0),
    )
    assert [call.total_us for call in runs.calls()] == [5, 6, 7, 8, 9]


def test_operator_after_a_loop_is_of_the_next_part():
    runs = RecordedRuns(
        recording(
            *one_run(
                ("Add", DELEGATE, -1, 5, 0, 0),
                ("WHILE", BUILTIN, 10, 50, 1, 0),
                ("Invoke", PART, 12, 10, 0, 1),
                ("Multiply", DELEGATE, -1, 4, 0, 1),
                ("Invoke", PART, 30, 20, 0, 1),
                ("Multiply", DELEGATE, -1, 6, 0, 1),
                ("Add", DELEGATE, -1, 7, 1, 0),
            )
        ),
        0,
    )
    calls = {(call.key.name, call.key.partition): call for call in runs.calls()}
    assert calls["WHILE", None].total_us == 20
    assert dataclasses.astuple(calls["Multiply", 0])[1:] == (2, 10, 4, 6)
    assert calls["Add", 1].total_us == 7


def test_run_without_its_end_does_not_count():
    events = one_run(("Add", DELEGATE, -1, 5, 0, 0))
    assert len(RecordedRuns(recording(*events, *events[:-1]), 0).runs) == 1


def test_recording_of_no_events_has_no_runs():
    runs = RecordedRuns(recording(), 0)
    assert (runs.runs, runs.run_us(), runs.calls()) == ([], (), [])


def test_long_name_is_cut_in_its_middle():
    name = "Fully Connected (NC, QDU8, F32, QC8W) GEMM"
    assert shortened(name, 30) == "Fully Connected (N...C8W) GEMM"
    assert shortened(name, 42) == name
    assert shortened("a\x1b[2J", 30) == "a\\x1b[2J"
