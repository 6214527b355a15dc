"""``python -m litert.benchmark``, and the statistics behind it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from litert.benchmark import main
from litert.latency import Latency, take_turns

QUICK = ("--runs", "20", "--warmup", "1")


def as_json(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_profile_is_shown_below_the_latency(data, capsys):
    assert main(["--model", str(data / "mlp.tflite"), "--profile", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = lines[lines.index("profile") + 1 :]
    assert shown[0].startswith("20 runs on 1 thread: mean ")
    assert shown[-1].split()[-1].endswith("%")


def test_text_fits_eighty_columns(data, capfd):
    model = str(data / "mlp.tflite")
    assert main(["--model", model, *QUICK, "--compare", "reference", "--profile"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "model        mlp.tflite, 1.8 kB"
    assert [line for line in lines if line.startswith("backend")] == [
        "backend      native: the default"
    ]
    assert [line.split()[1:] for line in lines if "runs/s" in line] == [
        ["median", "mean", "p90", "p99", "min", "std", "runs/s"]
    ]
    ways = ("runner.run", "model.run", "invoke", "set/invoke/get")
    assert [line.split()[0] for line in lines if line.startswith(ways)] == list(ways)


def test_json_has_latency_load_and_memory(data, capsys):
    told = as_json(capsys, "--model", str(data / "mlp.tflite"), "--threads", "2", *QUICK)
    assert (told["signature"], told["num_threads"], told["num_runs"]) == ("serving_default", 2, 20)
    (ours,) = told["measured"]
    assert (ours["name"], ours["reason"]) == ("native", "the default")
    assert list(ours["latency"]) == ["runner.run", "model.run"]
    assert 0 < ours["load_ms"] < 60_000
    assert 0 < ours["first_run_ms"] < 60_000
    assert ours["memory_bytes"] > 2**20
    for latency in ours["latency"].values():
        ordered = [latency[name] for name in ("min_us", "median_us", "p90_us", "p99_us")]
        assert ordered == sorted(ordered)
        assert latency["min_us"] > 0


def test_json_compared_has_the_ratios(data, capsys):
    told = as_json(capsys, "--model", str(data / "mlp.tflite"), "--compare", "reference", *QUICK)
    ours, other = told["measured"]
    assert other["name"] == "Interpreter"
    assert list(told["ratio_of_medians"]) == [
        "runner.run / invoke",
        "model.run / set/invoke/get",
    ]
    expected = (
        ours["latency"]["model.run"]["median_us"] / other["latency"]["set/invoke/get"]["median_us"]
    )
    assert told["ratio_of_medians"]["model.run / set/invoke/get"] == pytest.approx(expected)


def test_second_signature_is_compared_with_the_signature_runner(data, capsys):
    told = as_json(
        capsys, "--model", str(data / "add.tflite"), "--signature", "scale",
        "--compare", "reference", *QUICK,
    )  # fmt: skip
    assert told["signature"] == "scale"
    assert list(told["ratio_of_medians"]) == ["model.run / signature runner"]


def test_model_of_the_reference_backend_is_measured_and_says_why(data, capsys):
    told = as_json(capsys, "--model", str(data / "copy_string.tflite"), *QUICK)
    (ours,) = told["measured"]
    assert ours["name"] == "reference"
    assert "string" in ours["reason"]


def test_open_dimensions_are_measured_at_one(data, capsys):
    told = as_json(
        capsys, "--model", str(data / "dynamic_batch.tflite"), "--compare", "reference", *QUICK
    )
    assert len(told["measured"]) == 2


def test_profile_lists_the_operators(data, capsys):
    told = as_json(capsys, "--model", str(data / "mlp.tflite"), "--profile", *QUICK)
    calls = {row["name"]: row["num_calls"] for row in told["profile"]["by_kind"]}
    assert sum(calls[name] for name in calls if name.startswith("Fully Connected")) == 2
    assert sum(calls[name] for name in calls if name.startswith("Softmax")) == 1
    assert told["profile"]["num_runs"] == 20
    assert 0 < told["profile"]["run_us"]["mean"] < 1e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "missing.tflite"), "missing.tflite"),
        (("--model", "{data}/add.tflite", "--signature", "ad"), "did you mean 'add'"),
        (("--model", "{data}/copy_string.tflite", "--profile"), "needs the native backend"),
        (("--model", "{data}/invalid_garbage.tflite"), "invalid_garbage.tflite"),
    ],
)
def test_failure_is_one_line_and_status_1(data, capsys, arguments, message):
    status = main([argument.format(data=data) for argument in arguments] + [*QUICK])
    printed = capsys.readouterr()
    assert status == 1
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("--model", "x", "--runs", "0"), ("--model", "x", "--compare")],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(list(arguments))
    assert "usage:" in capsys.readouterr().err


def test_module_runs_as_a_program(data):
    finished = subprocess.run(
        [sys.executable, "-m", "litert.benchmark", "--model", str(data / "mlp.tflite"), *QUICK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert "runner.run" in finished.stdout


def test_latency_of_known_samples():
    latency = Latency.of([1000 * value for value in range(100, 0, -1)])
    assert latency.median_us == 50.5
    assert latency.mean_us == 50.5
    assert latency.p90_us == 90
    assert latency.p99_us == 99
    assert latency.min_us == 1
    assert latency.std_us == pytest.approx(28.866, abs=1e-3)
    assert latency.runs_per_s == pytest.approx(1e6 / 50.5)


def test_latency_of_one_sample():
    latency = Latency.of([2000])
    assert (latency.median_us, latency.p90_us, latency.p99_us, latency.std_us) == (2, 2, 2, 0)


@pytest.mark.parametrize("num_runs", [1, 7, 20, 33])
def test_take_turns_makes_as_many_runs_as_asked(num_runs):
    calls = []
    samples = take_turns(
        [lambda: calls.append("a"), lambda: calls.append("b")], num_runs, num_warmup=2
    )
    assert [len(own) for own in samples] == [num_runs, num_runs]
    assert calls.count("a") == calls.count("b") == num_runs + 2
    assert calls[4] == "a"
    if num_runs == 7:
        assert calls[4:8] == ["a", "b", "a", "b"]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of ``benchmarks/``."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    return importlib.import_module


def test_interleave_takes_turns_and_gives_times_per_call(benchmarks):
    made: list[tuple[str, int]] = []

    def peer(name: str, call_s: float) -> Callable[[int], float]:
        def run(count: int) -> float:
            made.append((name, count))
            return count * call_s

        return run

    measured = benchmarks("interleave").measure(
        {"a": peer("a", 1.0), "b": peer("b", 0.25)}, rounds=3, round_s=1.0
    )
    assert measured == {"a": [1.0] * 3, "b": [0.25] * 3}
    assert made[-6:] == [("a", 1), ("b", 4)] * 3


def row(group: str, peer: str, data: list[float], bars: list[dict]) -> dict:
    info = {"peer": peer, "bars": bars, "note": ""}
    return {"group": group, "extra_info": info, "stats": {"data": data}}


def test_report_tells_ratio_bar_and_verdict(benchmarks):
    bars = [
        {"peer": "other", "limit": 0.5, "kind": "ratio"},
        {"peer": "other", "limit": 1e-6, "kind": "difference"},
        {"peer": "other", "limit": None, "kind": "speed"},
    ]
    measured = {
        "benchmarks": [
            row("a run", "litert-native", [3e-6, 2e-6, 2e-6], bars),
            row("a run", "other", [3e-6, 3e-6, 4e-6], []),
        ],
        "datetime": "2030-01-02T03:04:05",
        "machine_info": {
            "cpu": {"brand_raw": "A CPU", "count": 4},
            "processor": "",
            "release": "6.1",
            "load": "0.1",
            "python_version": "3.11.1",
            "packages": {"numpy": "2.0"},
        },
    }
    table = benchmarks("report").as_markdown(measured).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:5]]
    assert [line[4:] for line in cells] == [
        ["0.667", "≤ 0.500", "**missed**"],
        ["-1 us", "≤ +1 us", "met"],
        ["1.500 of its speed", "", ""],
    ]
    assert cells[0][:4] == ["a run", "2 us ± 250 ns", "other", "3 us ± 250 ns"]
    assert table[-1].startswith("A CPU, 4 cores, load 0.1; Linux 6.1, Python 3.11.1, numpy 2.0; ")
    assert "2030-01-02" in table[-1]
