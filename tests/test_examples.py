"""Each program in examples/ runs as a user types it, and says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import litert
from litert.samples import load_digits

SOURCE = Path(litert.__file__).resolve().parents[1]  # of the package that is tested
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# Programs and what they print at least; train_digits.py has its tests in test_samples.py.
PRINTED = {
    "classify_digits.py": ["(is 5)", "9 (100%)"],
    "camera_loop.py": ["frame 4: class ", "ms a frame, none copied"],
    "asyncio_service.py": ["19 of 20 right"],
    "threads.py": ["shared: 19 of 20 right", "one a thread: 19 of 20 right"],
}


def run_example(name: str, *arguments: object) -> str:
    """Return what a program prints; warnings are errors, and stderr stays empty."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_what_it_should(name: str) -> None:
    printed = run_example(name)
    for expected in PRINTED[name]:
        assert expected in printed


def test_every_example_is_run() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {*PRINTED, "custom_operator.py", "train_digits.py", "train_speller.py"}


def test_camera_loop_takes_any_image_model(data: Path) -> None:
    printed = run_example("camera_loop.py", data / "conv.tflite", 2)
    assert "frame 1: class " in printed


def test_custom_operator_is_computed_in_python(data: Path) -> None:
    printed = run_example("custom_operator.py", data / "custom_op.tflite", "LitertTestUnknownOp")
    assert "[-2.        -0.6666667" in printed
    assert "cpu (custom): 1 operator, 100%" in printed


def test_classify_digits_reads_a_picture(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    images, labels = load_digits()
    ink = (images[4, :, :, 0] * 255).round().astype("uint8")
    path = tmp_path / "digit.png"
    image.fromarray(255 - ink).resize((64, 64)).save(path)
    assert f"{path}: {labels[4]} (" in run_example("classify_digits.py", path)
