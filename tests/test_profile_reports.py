"""A profile's reports: table, JSON, trace and plot."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

import litert
from profiled_runs import SUMMANDS, loop_inputs, profiled

pytest.importorskip("litert._native", reason="needs the extension module")


@pytest.fixture
def adder(data):
    with litert.Model(data / "add.tflite") as model:
        yield model


def test_table_fits_eighty_columns(data):
    lines = profiled(data / "slow_loop.tflite", loop_inputs(100)).table().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("2 runs on 1 thread: mean ")
    assert lines[1].startswith("XNNPACK ")
    header = next(place for place, line in enumerate(lines) if line.startswith("operator "))
    assert len(lines) - header - 1 == 6


def test_table_sums_up_operators_of_one_kind(data):
    profile = profiled(data / "mlp.tflite", {"x": np.zeros((1, 8), np.float32)})
    assert len(profile.by_kind) < len(profile.operators)
    _, kinds, _ = profile.table().split("\n\n")
    header, *rows = kinds.splitlines()
    assert header.split() == ["kind", "kernels", "operators", "calls", "us", "share"]
    assert [int(row.split()[-4]) for row in rows] == [
        kind.num_operators for kind in profile.by_kind
    ]


def test_table_of_operators_of_different_kinds_has_no_sums(data):
    profile = profiled(data / "conv.tflite", {"image": np.zeros((1, 16, 16, 3), np.float32)})
    assert len(profile.by_kind) == len(profile.operators)
    assert "kind " not in profile.table()


def test_table_sums_up_what_it_leaves_out(data):
    profile = profiled(data / "slow_loop.tflite", loop_inputs(5))
    last = profile.table(max_rows=2).splitlines()[-1].split()
    assert last[:3] == ["and", "4", "more"]
    left_out = sum(operator.run_us for operator in profile.operators[2:])
    assert float(last[3]) == pytest.approx(left_out, abs=0.051)


def test_json_has_the_attributes_by_name(data, tmp_path):
    profile = profiled(data / "mlp.tflite", {"x": np.zeros((1, 8), np.float32)})
    text = profile.to_json(tmp_path / "profile.json")
    assert (tmp_path / "profile.json").read_text() == text
    told = json.loads(text)
    assert list(told) == [
        "num_runs", "is_full", "num_threads", "run_us", "placement", "memory", "by_kind",
        "operators",
    ]  # fmt: skip
    assert told["operators"] == [dataclasses.asdict(row) for row in profile.operators]
    assert told["run_us"]["max"] == max(profile.runs_us)


def test_trace_has_each_event_of_each_run(data, tmp_path):
    profile = profiled(data / "slow_loop.tflite", loop_inputs(3))
    text = profile.to_chrome_trace(tmp_path / "trace.json")
    assert (tmp_path / "trace.json").read_text() == text
    events = json.loads(text)["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"][:2] == "th"
             and "name" in event["args"]}  # fmt: skip
    assert list(names.values()) == ["run", "builtin operators", "XNNPACK operators"]
    complete = [event for event in events if event["ph"] == "X"]
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in complete)
    greater = [event for event in complete if event["name"] == "GREATER"]
    assert [event["args"]["run"] for event in greater] == [0] * 4 + [1] * 4
    assert {event["args"]["kernels"] for event in greater} == {"builtin"}


def test_operators_in_the_trace_lie_inside_their_run(data):
    profile = profiled(data / "mlp.tflite", {"x": np.zeros((1, 8), np.float32)})
    events = json.loads(profile.to_chrome_trace())["traceEvents"]
    for run in (0, 1):
        own = [event for event in events if event["args"].get("run") == run]
        (invoke,) = [event for event in own if event["name"] == "Invoke"]
        inside = [event for event in own if "node" in event["args"]]
        assert len(inside) >= 3
        for event in inside:
            assert invoke["ts"] <= event["ts"]
            assert event["ts"] + event["dur"] <= invoke["ts"] + invoke["dur"] + 1


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_is_an_image(data, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"profile.{ending}"
    profiled(data / "slow_loop.tflite", loop_inputs(3)).plot(path)
    assert path.stat().st_size > 5000
    assert path.read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml"}[ending]


def test_plot_leaves_pyplot_alone(data, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    profiled(data / "add.tflite", SUMMANDS).plot(tmp_path / "profile.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_plot_of_an_unknown_format_is_refused(data, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(litert.OptionError, match=r"profile\.xyz"):
        profiled(data / "add.tflite", SUMMANDS).plot(tmp_path / "profile.xyz")


def test_plot_without_matplotlib_names_the_extra(data, monkeypatch, tmp_path):
    profile = profiled(data / "add.tflite", SUMMANDS)
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(litert.MissingExtraError, match=r"litert-native\[plot\]"):
        profile.plot(tmp_path / "profile.png")


def test_profile_of_no_runs_says_so(adder, tmp_path):
    with adder.profile() as profile:
        pass
    assert (profile.num_runs, profile.operators, profile.by_kind) == (0, (), ())
    assert (profile.runs_us, profile.run_us, profile.is_full) == ((), 0, False)
    assert profile.table().startswith("no runs were recorded")
    assert json.loads(profile.to_json())["operators"] == []
    assert {event["ph"] for event in json.loads(profile.to_chrome_trace())["traceEvents"]} == {"M"}


def test_plot_of_no_runs_is_an_image(adder, tmp_path):
    pytest.importorskip("matplotlib")
    with adder.profile() as profile:
        pass
    profile.plot(tmp_path / "profile.png")
    assert (tmp_path / "profile.png").stat().st_size > 1000


def test_all_runs_as_warmup_leaves_none(adder):
    with adder.profile(num_warmup_runs=5) as profile:
        adder.run(SUMMANDS)
    assert profile.table().startswith("no runs were recorded")
