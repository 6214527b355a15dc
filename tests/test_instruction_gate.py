"""Our own instructions a call stay within 5 % of the committed baseline."""

from __future__ import annotations

import importlib
import json
import os
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

CALLGRIND_OUTPUT = """\
# callgrind format
events: Ir
ob=(1) /usr/bin/python3
fl=(1) ???
fn=(1) main
0 10
+3 5
cob=(2) /lib/_native.so
cfn=(2) run
calls=2 0
0 100
ob=(2)
fn=(2)
* 60
cob=(1)
cfn=(1)
calls=1 0
0 7
-2 33
"""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("instruction_gate")


def counts(run: float, interpreter: float = 100) -> dict[str, dict[str, float]]:
    return {"run": {"extension": run, "interpreter": interpreter}}


@pytest.fixture
def baseline(gate, monkeypatch, tmp_path) -> Path:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(gate, "BASELINE", path)
    monkeypatch.setattr(gate, "baseline_key", lambda: "this compiler")
    gate.renew(counts(1000))
    return path


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="the baseline is of Python with a GIL"
)
def test_instructions_stay_below_the_baseline(gate):
    try:
        counted = gate.count_instructions()
        above = gate.compare(counted)
    except gate.GateUnavailableError as err:
        pytest.skip(str(err))
    assert above == [], f"{counted}; {gate.how_to_renew()}"


def test_callgrind_costs_of_callees_are_counted_once(gate, tmp_path):
    path = tmp_path / "out"
    path.write_text(CALLGRIND_OUTPUT)
    counted = gate.instructions_by_object(path)
    assert dict(counted) == {"/usr/bin/python3": 15, "/lib/_native.so": 93}


def test_compare_five_percent_more_passes(gate, baseline):
    assert gate.compare(counts(1050)) == []


def test_compare_six_percent_more_is_told(gate, baseline):
    assert gate.compare(counts(1060)) == [
        "run: 1060 instructions in the extension, 1000 before",
    ]


def test_compare_another_interpreter_compares_the_extension_only(gate, baseline, monkeypatch):
    monkeypatch.setattr(gate, "interpreter_key", lambda: "another Python")
    assert gate.compare(counts(1000, interpreter=200)) == []


def test_compare_without_baseline_says_how_to_set_it(gate, baseline, monkeypatch):
    monkeypatch.setattr(gate, "baseline_key", lambda: "another compiler")
    with pytest.raises(gate.GateUnavailableError, match=r"no baseline .* --renew"):
        gate.compare(counts(1000))


def test_renew_keeps_other_baselines(gate, baseline, monkeypatch):
    monkeypatch.setattr(gate, "baseline_key", lambda: "another compiler")
    gate.renew(counts(5))
    assert sorted(json.loads(baseline.read_text())) == ["another compiler", "this compiler"]


@pytest.fixture
def run_gate(gate, monkeypatch) -> Callable[..., int]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["instruction_gate.py", *arguments])
        return int(gate.main())

    return run


@pytest.fixture
def failing_valgrind(monkeypatch, tmp_path) -> None:
    for tool in ("valgrind", "setarch"):
        path = tmp_path / tool
        path.write_text("#!/bin/sh\necho cannot start >&2\nexit 3\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.parametrize("arguments", [[], ["--renew"]])
def test_main_failing_valgrind_is_a_failure(
    baseline, run_gate, failing_valgrind, capsys, arguments
):
    before = baseline.read_text()
    assert run_gate(*arguments) == 1
    assert "valgrind ended with status 3: cannot start" in capsys.readouterr().err
    assert baseline.read_text() == before


def test_main_without_valgrind_cannot_tell(baseline, run_gate, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_gate() == 2
    assert capsys.readouterr().err == "needs valgrind and setarch\n"


def test_main_without_baseline_cannot_tell(gate, baseline, run_gate, monkeypatch, capsys):
    monkeypatch.setattr(gate, "count_instructions", lambda: counts(1000))
    monkeypatch.setattr(gate, "baseline_key", lambda: "another compiler")
    assert run_gate() == 2
    assert "no baseline for another compiler" in capsys.readouterr().err


@pytest.mark.parametrize(("instructions", "status"), [(1050, 0), (1060, 1)])
def test_main_tells_by_its_status_what_is_above(
    gate, baseline, run_gate, monkeypatch, instructions, status
):
    monkeypatch.setattr(gate, "count_instructions", lambda: counts(instructions))
    assert run_gate() == status
