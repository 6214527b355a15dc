"""What the LiteRT library does where a model does not run on the GPU, and what is said instead.

Our own checks come first and are tested elsewhere; here they are passed over, since a library or a
driver that is there may fail all the same.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import litert

pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema")

from data.model_kinds import accelerated
from litert.accelerate import load, target
from litert.accelerate.machine import require

pytestmark = pytest.mark.usefixtures("software_gpu")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be known of a model from another test."""
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def path(data: Path) -> Path:
    return data / "conv.tflite"


@pytest.fixture
def int8_weights(tmp_path: Path) -> Path:
    """A model that the GPU's delegate takes and then fails to compile."""
    path = tmp_path / "model.tflite"
    path.write_bytes(accelerated.int8_weights().to_bytes())
    return path


# A library that does not load


@pytest.fixture(params=["none", "text"])
def broken_library(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a GPU library that is said to be there, and does not load."""
    library = tmp_path / "libLiteRtWebGpuAccelerator.so"
    if request.param == "text":
        library.write_text("no shared object")
    found = replace(require("gpu"), library=str(library))
    monkeypatch.setattr(target, "require", lambda name: found)
    return tmp_path


@pytest.mark.parametrize("strict", [False, True])
def test_library_that_does_not_load_is_told(path: Path, broken_library: Path, strict: bool) -> None:
    # GPU alone, not registered: 504 without a word.
    message = f"'gpu': it takes none of .*: its library does not load from {broken_library}$"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(path, accelerator="gpu", strict=strict)


@pytest.mark.parametrize("accelerator", [("gpu", "cpu"), "auto"])
def test_library_that_does_not_load_leaves_the_cpu(
    path: Path, broken_library: Path, accelerator: Any
) -> None:
    # GPU and CPU, not registered: Ok, silently on the CPU, and "fully accelerated".
    with litert.Model(path, accelerator=accelerator) as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert any("its library does not load" in reason for reason in placement.reasons)


# A driver that does not work

# In a process of its own, as the GPU's library keeps the driver that it has.
WITHOUT_DRIVER = """
    import logging, os, sys, litert
    from litert.accelerate import target

    found = target.require("gpu")
    target.require = lambda name: found
    os.environ["VK_DRIVER_FILES"] = "/no/driver.json"
    for strict in (False, True):
        try:
            litert.Model(sys.argv[1], accelerator="gpu", strict=strict)
        except litert.AcceleratorError as err:
            print(err.status, err)
    logging.disable()
    for accelerator in (("gpu", "cpu"), "auto"):
        with litert.Model(sys.argv[1], accelerator=accelerator) as model:
            print(model.placement.accelerator, *model.placement.reasons)
    """


def test_driver_that_does_not_work_is_told(path: Path) -> None:
    # Library registered, no Vulkan driver: 3, also with the CPU beside it.
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_DRIVER), str(path)],
        capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ),
    )  # fmt: skip

    required, strict, ordered, measured = done.stdout.splitlines()
    problem = "accelerator 'gpu': the model does not compile for it: "
    assert required.startswith(f"3 {problem}")
    assert "WebGPU" in required
    assert strict == required
    assert ordered.startswith(f"cpu {problem}")
    assert measured.startswith("cpu measured, a run: cpu ")
    assert problem in measured
    assert done.stderr == ""


# A model that does not compile


@pytest.mark.parametrize("strict", [False, True])
def test_failure_while_compiling_gives_the_librarys_reason(
    int8_weights: Path, strict: bool
) -> None:
    # GPU and CPU, an error of the accelerator while compiling: 3, and no fallback.
    with pytest.raises(
        litert.AcceleratorError, match=r"'gpu': the model does not compile for it: .*Shape mismatch"
    ) as raised:
        litert.Model(int8_weights, accelerator="gpu", strict=strict)
    assert raised.value.status is not None
    assert any("Shape mismatch" in line for line in raised.value.library_log)


def test_failure_while_compiling_goes_on_to_the_cpu(
    int8_weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "litert"),
        litert.Model(int8_weights, accelerator=("gpu", "cpu")) as model,
    ):
        placement = model.placement
    assert placement.accelerator == "cpu"
    (reason,) = [reason for reason in placement.reasons if "Shape mismatch" in reason]
    assert reason in caplog.text


def test_failure_while_compiling_loses_in_auto(int8_weights: Path) -> None:
    with litert.Model(int8_weights, accelerator="auto") as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert any("Shape mismatch" in reason for reason in placement.reasons)


def test_failure_while_compiling_leaves_the_gpu_usable(int8_weights: Path, path: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match="does not compile"):
        litert.Model(int8_weights, accelerator="gpu")
    with litert.Model(path, accelerator="gpu") as model:
        assert model.placement.is_fully_accelerated


# A model that it does not take, or computes wrongly


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("int16x8_dense", "1 FULLY_CONNECTED: .*INT16"),
        ("copy_int64", "1 RESHAPE: .*INT64"),
        ("while_loop", "1 WHILE: "),
    ],
)
def test_model_without_an_operator_for_the_gpu_is_refused_with_the_reason(
    data: Path, name: str, reason: str
) -> None:
    with pytest.raises(
        litert.AcceleratorError,
        match=f"^accelerator 'gpu': it takes none of the model's operators: {reason}",
    ):
        litert.Model(data / f"{name}.tflite", accelerator="gpu")


@pytest.mark.parametrize("name", ["where_dynamic", "zero_size", "copy_string", "counter_variable"])
def test_model_for_the_reference_backend_runs_there_in_an_order(data: Path, name: str) -> None:
    with litert.Model(data / f"{name}.tflite", accelerator=("gpu", "cpu")) as model:
        assert model.backend == "reference"


def test_wrong_results_are_refused_each_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ok, with results that are wrong: seen with int16 models of which the GPU takes a part.
    monkeypatch.setattr(load, "difference", lambda model, reference: "output 'y' differs")
    for _ in range(2):
        with pytest.raises(
            litert.AcceleratorError, match=r"^accelerator 'gpu': output 'y' differs"
        ):
            litert.Model(path, accelerator="gpu")
