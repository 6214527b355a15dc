"""No damaged file ends the process, hangs it, or raises anything but litert's own errors.

``python tests/fuzz_models.py START STOP`` runs more seeds than these.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fuzz_models
import litert

IS_FULL = os.environ.get("LITERT_TEST_FULL") == "1"
SEEDS = range(20_000) if IS_FULL else range(600)


# Replaces the table of the RESHAPE's output, which was float64[3, 2], by another one.
RESHAPE_TO_FLOAT32 = {
    436: 0,
    437: 0,
    438: 0,
    439: 0,
    440: 3,
    443: 0,
    444: 144,
    448: 72,
    451: 0,
    452: 4,
    456: 146,
    457: 255,
    458: 255,
    459: 255,
    460: 0,
    463: 1,
    464: 12,
    468: 0,
    471: 19,
    472: 12,
    476: 1,
    478: 0,
    480: 121,
    482: 0,
    484: 2,
    486: 0,
    488: 3,
    492: 2,
}


@pytest.mark.stress
def test_damaged_models_end_in_results_or_litert_errors(tmp_path: Path) -> None:
    report = fuzz_models.fuzz(SEEDS)
    print(f"\n{report}")
    for seed in report.faults:
        (tmp_path / f"seed_{seed}.tflite").write_bytes(fuzz_models.damage(seed)[1])
    assert report.faults == {}, f"the damaged files are in {tmp_path}:\n{report}"
    assert any("run: ok" in outcome for outcome in report.outcomes)


@pytest.mark.parametrize(
    ("stem", "edits"),
    [
        # An operator reads, or an output is, a tensor that nothing has computed.
        pytest.param("string_lookup", {330: 2, 331: 0, 334: 2, 336: 0, 340: 0, 342: 1, 346: 1}),
        # A RESHAPE between types of different sizes.
        pytest.param("copy_float64", RESHAPE_TO_FLOAT32),
        # A variable that is assigned a larger tensor than it is read into.
        pytest.param("counter_variable", {693: 231}),
    ],
    ids=["output-not-computed", "reshape-changes-type", "variable-changes-size"],
)
def test_model_that_once_killed_the_process(
    tmp_path: Path, data: Path, stem: str, edits: dict[int, int]
) -> None:
    content = bytearray((data / f"{stem}.tflite").read_bytes())
    for place, value in edits.items():
        content[place] = value
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content)
    command = [sys.executable, fuzz_models.__file__, "--file", str(damaged)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAULT" not in done.stdout


def test_name_that_is_no_utf8_is_no_reason_to_fail(data: Path) -> None:
    content = (data / "mlp.tflite").read_bytes()
    damaged = content.replace(b"probs", b"prob\xff")
    assert damaged != content
    with litert.Model(damaged) as model:
        (output,) = model.run(np.zeros((1, 8), np.float32))
        assert output.startswith("prob")


def test_damage_is_the_same_for_the_same_seed() -> None:
    assert fuzz_models.damage(3) == fuzz_models.damage(3)
    assert fuzz_models.damage(3) != fuzz_models.damage(4)


@pytest.fixture
def worker_that_dies_at_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Replace the worker by one that kills itself at seed 1 and falls asleep at seed 3."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, signal, sys, time\n"
        "for seed in range(int(sys.argv[2]), int(sys.argv[3])):\n"
        "    if seed == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if seed == 3: time.sleep(60)\n"
        "    print(seed, 'native run: ok', sep='\\t', flush=True)\n"
    )
    monkeypatch.setattr(fuzz_models, "__file__", str(worker))
    monkeypatch.setattr(fuzz_models, "HANG_AFTER_S", 1.0)


@pytest.mark.usefixtures("worker_that_dies_at_1")
def test_campaign_goes_on_after_a_dead_worker_and_names_the_seed() -> None:
    report = fuzz_models.fuzz(range(5))
    assert report.outcomes["native run: ok"] == 3
    assert set(report.faults) == {1, 3}
    assert str(-signal.SIGSEGV) in report.faults[1]
    assert "no answer" in report.faults[3]


def test_command_saves_the_file_of_a_seed(tmp_path: Path) -> None:
    saved = tmp_path / "seed.tflite"
    command = [sys.executable, fuzz_models.__file__, "--save", "7", str(saved)]
    subprocess.run(command, check=True)
    assert saved.read_bytes() == fuzz_models.damage(7)[1]
