"""``Model.profile``: what is recorded inside the block, and its reports."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from in_threads import in_threads
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

ONES = np.ones((1, 4), np.float32)
SUMMANDS = {"x": ONES, "y": ONES}
HAS_PROC = Path("/proc/self/status").exists()


@pytest.fixture
def adder(data):
    with litert.Model(data / "add.tflite") as model:
        yield model


def profiled(path: Path, inputs: dict[str, Any], num_runs: int = 2, **options: Any) -> Any:
    with litert.Model(path, **options or {"num_threads": 1}) as model, model.profile() as profile:
        for _ in range(num_runs):
            model.run(inputs)
    return profile


def loop_inputs(num_steps: int) -> dict[str, Any]:
    return {"n": np.array([num_steps], np.int32), "x": np.zeros((32, 128), np.float32)}


def image(dtype: str) -> Any:
    return np.random.default_rng(0).integers(0, 2, (1, 224, 224, 3)).astype(dtype)


# What is recorded


def test_profile_has_the_operator_and_its_kernels(adder):
    with adder.profile() as profile:
        for _ in range(3):
            adder.run(SUMMANDS)
    (operator,) = profile.operators
    assert dataclasses.astuple(operator)[:7] == ("Add (ND)", "XNNPACK", 0, 0, 0, 0, 1)
    assert profile.num_runs == len(profile.runs_us) == 3
    assert 0 <= operator.min_us <= operator.mean_us <= operator.max_us <= max(profile.runs_us)


def test_results_inside_the_block_are_those_outside(data):
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    with litert.Model(data / "mlp.tflite") as model:
        outside = model.run(x)
        with model.profile():
            inside = model.run(x)
        again = model.run(x)
    for name, array in outside.items():
        assert array.tobytes() == inside[name].tobytes() == again[name].tobytes()


def test_model_of_bytes_is_profiled(data):
    content = (data / "add.tflite").read_bytes()
    with litert.Model(content) as model, model.profile() as profile:
        model.run(SUMMANDS)
    assert [operator.name for operator in profile.operators] == ["Add (ND)"]


def test_options_of_the_model_are_kept(data):
    cpu = litert.CpuOptions(num_threads=2, kernels="builtin")
    profile = profiled(data / "add.tflite", SUMMANDS, cpu=cpu)
    (operator,) = profile.operators
    assert (operator.name, operator.kernels, operator.partition) == ("ADD", "builtin", None)
    assert profile.num_threads == 2


def test_file_replaced_since_loading_does_not_matter(data, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes((data / "add.tflite").read_bytes())
    with litert.Model(path) as model:
        path.unlink()
        with model.profile() as profile:
            model.run(SUMMANDS)
    assert profile.num_runs == 1


def test_warmup_runs_do_not_count(adder):
    with adder.profile(num_warmup_runs=2) as profile:
        for _ in range(5):
            adder.run(SUMMANDS)
    assert profile.num_runs == 3


def test_runs_after_the_block_are_not_recorded(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
    adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_runs_of_a_runner_bound_inside_are_recorded(adder):
    with adder.profile() as profile:
        runner = adder.bind("add")
        for _ in range(4):
            runner.run()
    assert profile.num_runs == 4


def test_runner_bound_inside_ends_with_the_block(adder):
    with adder.profile():
        runner = adder.bind("add")
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()
    runner.close()


def test_runner_bound_before_is_not_recorded_and_stays(adder):
    runner = adder.bind("add")
    with adder.profile() as profile:
        runner.run()
    runner.run()
    assert profile.num_runs == 0


def test_runs_of_other_threads_are_recorded(adder):
    with adder.profile() as profile:
        in_threads(lambda _: [adder.run(SUMMANDS) for _ in range(10)], num_threads=4)
    assert profile.num_runs == 40


def test_runs_of_other_threads_go_on_over_the_end_of_the_block(adder):
    """A thread may have the profiled model in hand when the block ends."""
    is_over = threading.Event()

    def run_on(number: int) -> int:
        if number == 0:
            for _ in range(20):
                with adder.profile():
                    adder.run(SUMMANDS)
            is_over.set()
            return 0
        count = 0
        while not is_over.is_set():
            assert adder.run(SUMMANDS, signature="add")["sum"][0, 0] == 2
            adder.run(SUMMANDS)
            count += 1
        return count

    assert min(in_threads(run_on, num_threads=3)[1:]) > 0


def test_two_signatures_are_told_apart(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
        adder.run(SUMMANDS)
        adder.run(ONES, signature="scale")
        adder.run(ONES, signature="scale")
    rows = {(one.name, one.subgraph): one.num_calls for one in profile.operators}
    assert rows == {("Add (ND)", 0): 0.5, ("Multiply (ND)", 1): 0.5}


def test_operators_of_a_loop_are_counted_each_call(data):
    cpu = litert.CpuOptions(kernels="builtin")
    profile = profiled(data / "slow_loop.tflite", loop_inputs(3), cpu=cpu)
    calls = {operator.name: operator.num_calls for operator in profile.operators}
    assert (calls["WHILE"], calls["GREATER"], calls["TANH"]) == (1, 4, 3)


def test_time_of_a_loop_is_without_that_of_its_body(data):
    profile = profiled(data / "slow_loop.tflite", loop_inputs(100))
    assert sum(operator.run_us for operator in profile.operators) <= profile.run_us
    shares = [row.share for row in profile.placement]
    assert sum(shares) == pytest.approx(1)
    times = [operator.run_us for operator in profile.operators]
    assert times == sorted(times, reverse=True)


def test_operators_of_several_parts_on_xnnpack_are_told_apart(shared_model):
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int8_dynamic.tflite")
    with litert.Model(path) as model:
        (name,) = next(iter(model.signatures.values())).inputs
        with model.profile() as profile:
            model.run({name: image("float32")})
    on_xnnpack, on_builtin, _ = profile.placement
    assert (on_xnnpack.num_operators, on_builtin.num_operators) == (50, 17)
    assert {one.name for one in profile.operators if one.kernels == "builtin"} == {
        "DEPTHWISE_CONV_2D"
    }
    assert {one.num_calls for one in profile.operators} == {1}
    assert len({one.partition for one in profile.operators if one.partition is not None}) == 18


@pytest.mark.parametrize(
    ("variant", "expected"), [("f32", (66, 0)), ("int8", (65, 1)), ("int16x8", (0, 66))]
)
def test_placement_of_mobilenet(shared_model, variant, expected):
    with litert.Model(shared_model(f"mobilenet/mobilenet_v2_1.0_224_{variant}.tflite")) as model:
        (info,) = next(iter(model.signatures.values())).inputs.values()
        with model.profile() as profile:
            model.run({info.name: image(info.dtype.name)})
    assert tuple(row.num_operators for row in profile.placement)[:2] == expected


def test_kinds_sum_up_their_operators(data):
    profile = profiled(data / "mlp.tflite", {"x": np.zeros((1, 8), np.float32)})
    dense = next(kind for kind in profile.by_kind if kind.name.startswith("Fully Connected"))
    assert (dense.kernels, dense.num_operators, dense.num_calls) == ("XNNPACK", 2, 2)
    assert sum(kind.run_us for kind in profile.by_kind) == pytest.approx(
        sum(operator.run_us for operator in profile.operators)
    )


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
def test_memory_is_told_before_after_and_at_most(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
    memory = profile.memory
    assert 2**20 < memory.before_bytes <= memory.peak_bytes
    assert memory.after_bytes <= memory.peak_bytes


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
def test_memory_goes_back_at_the_end(adder):
    before = []
    for _ in range(4):
        with adder.profile() as profile:
            adder.run(SUMMANDS)
        before.append(profile.memory.before_bytes)
    assert before[3] - before[1] < 20e6


# The block


def test_block_that_raises_leaves_the_model_as_it_was(adder):
    adder.run(SUMMANDS)
    backend_model, fast = adder._backend_model, adder._fast
    taken = []

    def fail_inside() -> None:
        with adder.profile() as profile:
            taken.append(profile)
            adder.run(SUMMANDS)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_inside()
    assert (adder._backend_model, adder._fast) == (backend_model, fast)
    assert taken[0].num_runs == 1
    assert adder.run(SUMMANDS)["sum"][0, 0] == 2


def test_second_block_inside_is_refused(adder):
    with adder.profile() as profile:
        with pytest.raises(litert.ExecutionError, match="already"), adder.profile():
            pass
        adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_second_block_after_the_first_has_its_own_runs(adder):
    with adder.profile():
        adder.run(SUMMANDS)
    with adder.profile() as profile:
        adder.run(SUMMANDS)
        adder.run(SUMMANDS)
    assert profile.num_runs == 2


def test_model_closed_inside_keeps_what_was_recorded(data):
    model = litert.Model(data / "add.tflite")
    with model.profile() as profile:
        model.run(SUMMANDS)
        model.close()
        with pytest.raises(litert.ClosedError, match="closed"):
            model.run(SUMMANDS)
    assert profile.num_runs == 1
    with pytest.raises(litert.ClosedError, match="closed"):
        model.run(SUMMANDS)


def test_runner_from_before_ends_with_a_model_closed_inside(data):
    model = litert.Model(data / "add.tflite")
    runner = model.bind("add")
    with model.profile():
        model.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()


def test_model_closed_inside_waits_for_a_run_under_way(data):
    model = litert.Model(data / "slow_loop.tflite")
    results = []
    has_begun = threading.Event()

    def run() -> None:
        model.run(loop_inputs(1))
        has_begun.set()
        results.append(model.run(loop_inputs(5000))["n_out"])

    with model.profile() as profile:
        thread = threading.Thread(target=run)
        thread.start()
        has_begun.wait()
        time.sleep(0.02)  # the run takes some hundreds of milliseconds
        model.close()
        thread.join()
    assert profile.num_runs == 2 or profile.is_full  # release 2.1.6 keeps few events
    assert results[0][0] == 0


def test_runner_that_runs_at_the_end_of_the_block_ends_after_it(data):
    with litert.Model(data / "slow_loop.tflite") as model:
        with model.profile() as profile:
            runner = model.bind()
            runner.inputs["n"][...] = 5000
            thread = threading.Thread(target=runner.run)
            thread.start()
            time.sleep(0.05)  # the run takes some hundreds of milliseconds
        thread.join()
        assert profile.num_runs == 1 or profile.is_full  # release 2.1.6 keeps few events
        assert runner.outputs["n_out"][0] == 0
        with pytest.raises(litert.ClosedError, match="closed"):
            runner.run()


def test_failed_and_refused_runs_do_not_count(adder):
    with adder.profile() as profile:
        with pytest.raises(litert.TensorShapeError, match="expected"):
            adder.run({"x": ONES, "y": ONES[:, :3]})
        adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_profile_on_the_reference_backend_says_why_not(data):
    pytest.importorskip("ai_edge_litert")
    with (
        litert.Model(data / "add.tflite", backend="reference") as model,
        pytest.raises(litert.UnsupportedModelError, match="chosen by backend='reference'"),
    ):
        model.profile()


def test_profile_of_a_closed_model_raises(data):
    model = litert.Model(data / "add.tflite")
    model.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        model.profile()


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_warmup_that_is_no_count_is_refused(adder, count):
    with pytest.raises(litert.OptionError, match="num_warmup_runs"):
        adder.profile(num_warmup_runs=count)


@pytest.mark.parametrize(
    "ask",
    [
        lambda profile: profile.num_runs,
        lambda profile: profile.operators,
        lambda profile: profile.by_kind,
        lambda profile: profile.memory,
        lambda profile: profile.table(),
        lambda profile: profile.to_json(),
        lambda profile: profile.to_chrome_trace(),
        lambda profile: profile.plot("a.png"),
    ],
)
def test_profile_before_the_end_of_the_block_has_no_numbers(adder, ask):
    with (
        adder.profile() as profile,
        pytest.raises(litert.ExecutionError, match="leave the block"),
    ):
        ask(profile)
    assert "runs=0" in repr(profile)


# The reports


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


# More events than the library keeps


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
