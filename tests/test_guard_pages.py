"""No model makes the library touch a byte outside the memory that it was given.

With LITERT_GUARD_BUFFERS=1 an inaccessible page lies behind each output (and behind the spare bytes
of each input), and known bytes fill what is between an output's end and that page.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parent.parent / "shared" / "models"

PRELUDE = """
import ctypes, sys
import numpy as np
import litert
from random_inputs import random_inputs, shapes_to_try

ALIGNMENT = 64
CANARY = 0xA5

def bytes_behind(view):
    return view.ctypes.data + view.nbytes, -view.nbytes % ALIGNMENT
"""

RUN_ALL = """
def check(runner):
    inputs = {array.ctypes.data for array in runner.inputs.values()}
    for name, view in runner.outputs.items():
        if view.ctypes.data not in inputs:
            assert set(ctypes.string_at(*bytes_behind(view))) <= {CANARY}, name

def run_all(model, key, signature):
    for shapes in shapes_to_try(model, key):
        try:
            arrays = random_inputs(signature, shapes, np.random.default_rng(0))
            model.run(arrays, signature=key)
            with model.bind(key, shapes=shapes) as runner:
                for name, view in runner.inputs.items():
                    if not signature.inputs[name].type.is_packed:
                        view[...] = arrays[name]  # some loops never end on zeros
                for _ in range(3):
                    runner.run()
                    check(runner)
        except litert.LiteRTError as err:
            assert "than the library told" not in str(err), err

for path in sys.argv[1:]:
    print(path, flush=True)
    try:
        model = litert.Model(path, backend="native")
    except litert.LiteRTError:
        continue  # refused: nothing is run
    with model:
        for key, signature in model.signatures.items():
            run_all(model, key, signature)
"""


def run_guarded(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + script, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"LITERT_GUARD_BUFFERS": "1", "PYTHONPATH": path},
        timeout=60,
    )


@pytest.mark.parametrize(
    "folder",
    [TESTS / "data", SHARED / "tiny", SHARED / "mobilenet", SHARED / "upstream"],
    ids=lambda folder: folder.name,
)
def test_no_model_touches_memory_outside_its_tensors(folder: Path) -> None:
    paths = sorted(map(str, folder.glob("*.tflite")))
    if not paths:
        pytest.skip(f"needs the models in ../shared/models/{folder.name}")
    done = run_guarded(RUN_ALL, *paths)
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"ended with {done.returncode} in {last}: {done.stderr[-1000:]}"
    assert done.stdout.splitlines() == paths


BIND_ADD = """
runner = litert.Model(sys.argv[1], backend="native").bind("add")
address, spare = bytes_behind(runner.{side})
"""


def test_write_past_an_output_ends_the_process() -> None:
    script = BIND_ADD.format(side="outputs['sum']") + "ctypes.memset(address + spare, 0, 1)"
    done = run_guarded(script, str(TESTS / "data" / "add.tflite"))
    assert done.returncode == -signal.SIGSEGV


def test_read_past_the_spare_bytes_of_an_input_ends_the_process() -> None:
    script = BIND_ADD.format(side="inputs['x']") + "ctypes.string_at(address + spare + 64, 1)"
    done = run_guarded(script, str(TESTS / "data" / "add.tflite"))
    assert done.returncode == -signal.SIGSEGV


def test_write_right_behind_an_output_is_found_by_the_first_run() -> None:
    script = BIND_ADD.format(side="outputs['sum']") + "ctypes.memset(address, 0, 1); runner.run()"
    done = run_guarded(script, str(TESTS / "data" / "add.tflite"))
    assert done.returncode == 1
    assert "UnsupportedModelError" in done.stderr


def test_write_inside_an_output_is_fine() -> None:
    script = BIND_ADD.format(side="outputs['sum']") + "ctypes.memset(address - 1, 0, 1)"
    assert run_guarded(script, str(TESTS / "data" / "add.tflite")).returncode == 0
