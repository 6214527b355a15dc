"""A forked child of a process that has models on accelerators: it says no, and does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import litert

DATA = Path(__file__).resolve().parent / "data"

PROGRAM = """
import os, sys, time, warnings
import litert
import numpy as np

# Python's own, of forks beside threads.
warnings.simplefilter("ignore", DeprecationWarning)
path, accelerator = sys.argv[1:]
options = {"npu": litert.NpuOptions(device="cpu")} if accelerator == "npu" else {}
image = np.ones((1, 16, 16, 3), np.float32)

def load(accelerator=accelerator):
    return litert.Model(path, accelerator=accelerator, **options)

def told(work):
    try:
        work()
    except litert.LiteRTError as err:
        return f"{type(err).__name__}: {err}"
    return "it works"

model = load()
model.run(image)
runner = model.bind()
child = os.fork()
if child == 0:
    print(told(lambda: WORK), flush=True)
    os._exit(0)
deadline = time.monotonic() + 10
while not os.waitpid(child, os.WNOHANG)[0]:
    if time.monotonic() > deadline:
        os.kill(child, 9)
        sys.exit("the child hangs")
    time.sleep(0.01)
model.run(image)
"""

NOT_AFTER_FORK = "ExecutionError: a model on an accelerator cannot be used in a forked child"


def said_in_child(accelerator: str, work: str) -> str:
    """Return what a forked child says of ``work``; the parent's model has to run on."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("WORK", work), DATA / "conv.tflite", accelerator],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("work", ["model.run(image)", "runner.run()"])
def test_model_on_the_gpu_is_refused(software_gpu: Path, work: str) -> None:
    assert said_in_child("gpu", work).startswith(NOT_AFTER_FORK)


def test_model_on_the_npu_is_refused(openvino_cpu: litert.NpuOptions) -> None:
    assert said_in_child("npu", "model.run(image)").startswith(NOT_AFTER_FORK)


def test_gpu_is_not_available(software_gpu: Path) -> None:
    told = said_in_child("gpu", "load()")
    assert told.startswith("AcceleratorError: accelerator 'gpu' is not available: this process was")


@pytest.mark.parametrize(
    "work", ["litert.Model(path).run(image)", "load(('gpu', 'cpu')).run(image)", "model.close()"]
)
def test_cpu_is_there(software_gpu: Path, work: str) -> None:
    # The warning of the second goes to standard error.
    work = f"(__import__('logging').disable(), {work})"
    assert said_in_child("gpu", work) == "it works"


def test_npu_is_not_available(openvino_cpu: litert.NpuOptions) -> None:
    told = said_in_child("npu", "load()")
    assert told.startswith("AcceleratorError: accelerator 'npu' is not available: this process was")
