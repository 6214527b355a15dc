"""Models on an NPU: Intel's path through OpenVINO, on OpenVINO's CPU device.

Each way that the library fails without a word (it answers Ok and runs on the CPU, or has made a
model that cannot run) has a test here with what is said instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate import npu, openvino
from random_inputs import random_inputs, stored_shapes

CPU_DEVICE = litert.NpuOptions(device="cpu")

pytestmark = pytest.mark.usefixtures("openvino_cpu")


def on_npu(path: Path, **options: Any) -> litert.Model:
    return litert.Model(path, accelerator="npu", npu=CPU_DEVICE, **options)


def inputs_of(model: litert.Model, key: str) -> dict[str, Any]:
    shapes = stored_shapes(model, key)
    return random_inputs(model.signatures[key], shapes, np.random.default_rng(3))


@pytest.mark.parametrize("name", ["conv", "mlp", "add", "kv_step"])
def test_results_are_those_of_the_cpu(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with on_npu(path) as model, litert.Model(path) as reference:
        for key in reference.signatures:
            inputs = inputs_of(reference, key)
            expected = reference.run(inputs, signature=key)

            computed = model.run(inputs, signature=key)

            for output, array in expected.items():
                np.testing.assert_allclose(computed[output], array, rtol=1e-4, atol=1e-5)


def test_runner_has_views(data: Path) -> None:
    path = data / "conv.tflite"
    with on_npu(path) as model, model.bind() as runner, litert.Model(path) as reference:
        (key,) = reference.signatures
        inputs = inputs_of(reference, key)
        expected = reference.run(inputs)["features"]
        for _ in range(3):
            runner.inputs["image"][...] = inputs["image"]
            runner.run()
            np.testing.assert_allclose(runner.outputs["features"], expected, rtol=1e-4, atol=1e-5)


def test_all_operators_are_placed_there(data: Path) -> None:
    with on_npu(data / "conv.tflite", strict=True) as model:
        placement = model.placement

    assert placement.placed == (litert.PlacedOperators("npu", "OpenVINO", 3, 1.0),)
    assert placement.is_fully_accelerated
    assert "on OpenVINO's CPU device" in placement.reasons


def test_operators_that_it_does_not_take_stay_on_the_cpu(data: Path) -> None:
    with on_npu(data / "kv_step.tflite") as model:
        placement = model.placement

    assert [one.accelerator for one in placement.placed] == ["npu", "cpu"]
    assert sum(one.num_operators or 0 for one in placement.placed) == 3
    assert not placement.is_fully_accelerated


def test_strict_refuses_operators_on_the_cpu(data: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match="strict=True: not all operators can run"):
        on_npu(data / "kv_step.tflite", strict=True)


def test_profile_is_refused(data: Path) -> None:
    with (
        on_npu(data / "conv.tflite") as model,
        pytest.raises(litert.UnsupportedModelError, match=r"profile: .*accelerator='cpu'"),
        model.profile(),
    ):
        pass


def test_model_compiled_ahead_of_time_runs(data: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "conv_ptl.tflite"
    litert.compile_model(data / "conv.tflite", target="intel:PTL", output=compiled, device="cpu")
    with (
        litert.Model(compiled, accelerator="npu") as model,
        litert.Model(data / "conv.tflite") as reference,
    ):
        inputs = inputs_of(reference, next(iter(reference.signatures)))
        np.testing.assert_allclose(
            model.run(inputs)["features"], reference.run(inputs)["features"], rtol=1e-4, atol=1e-5
        )
        assert model.placement.is_fully_accelerated


@pytest.mark.parametrize(
    ("accelerator", "error", "match"),
    [
        # CPU alone, precompiled: the library says Ok, and fails the first run.
        ("cpu", litert.UnsupportedModelError, r"ahead of time for an Intel NPU \(chip PTL\)"),
        ("gpu", litert.AcceleratorError, r"the model is compiled for an Intel NPU \(chip PTL\)"),
    ],
)
def test_model_compiled_ahead_of_time_runs_nowhere_else(
    data: Path, tmp_path: Path, accelerator: Any, error: type[Exception], match: str
) -> None:
    compiled = tmp_path / "conv_ptl.tflite"
    litert.compile_model(data / "conv.tflite", target="intel:PTL", output=compiled, device="cpu")
    with pytest.raises(error, match=match):
        litert.Model(compiled, accelerator=accelerator)


def test_folder_without_a_dispatch_library_is_told(data: Path, tmp_path: Path) -> None:
    # No dispatch folder: the library answers 504, with the CPU beside it Ok and a broken model. In
    # a process of its own, as the library keeps the one that it has loaded.
    told = run_python(f"""
import litert
options = litert.NpuOptions(device="cpu", dispatch_dir={str(tmp_path)!r})
path = {str(data / "conv.tflite")!r}
try:
    litert.Model(path, accelerator="npu", npu=options)
except litert.AcceleratorError as err:
    print(err)
import logging
logging.disable()
print(litert.Model(path, accelerator=("npu", "cpu"), npu=options).placement)
""")
    required, placed, reason = told.stdout.splitlines()
    assert f"No dispatch library found in {tmp_path}" in required
    assert placed == "cpu (XNNPACK): 3 operators, 100%"
    assert reason == required
    assert told.stderr == ""


@pytest.mark.parametrize("is_compiled", [True, False])
def test_dispatch_library_that_does_not_load_is_told(
    data: Path, tmp_path: Path, is_compiled: bool
) -> None:
    # It is registered whether it loads or not; of a model that is compiled already, the library
    # says Ok and "fully accelerated", and fails the first run.
    path = data / "conv.tflite"
    if is_compiled:
        compiled = tmp_path / "conv_ptl.tflite"
        litert.compile_model(path, target="intel:PTL", output=compiled, device="cpu")
        path = compiled
    (tmp_path / openvino.DISPATCH_LIBRARY).write_text("no shared object")

    told = run_python(f"""
import litert
options = litert.NpuOptions(device="cpu", dispatch_dir={str(tmp_path)!r})
try:
    litert.Model({str(path)!r}, accelerator="npu", npu=options)
except litert.AcceleratorError as err:
    print(err)
""")
    assert f"Could not load shared library {tmp_path}" in told.stdout
    assert "file too short" in told.stdout
    assert told.stderr == ""


def test_plugin_that_fails_is_told(shared_model: Callable[[str], Path]) -> None:
    # A plugin that fails to compile: 504, with the CPU beside it Ok and all on the CPU.
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int4_weights.tflite")

    with pytest.raises(litert.AcceleratorError, match=r"takes none of .*: Plugin errs: IntelOpen"):
        on_npu(path)
    with litert.Model(path, accelerator=("npu", "cpu"), npu=CPU_DEVICE) as model:
        assert model.placement.accelerator == "cpu"


def test_quantized_model_is_right(shared_model: Callable[[str], Path]) -> None:
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int8.tflite")
    with on_npu(path) as model, litert.Model(path) as reference:
        inputs = inputs_of(reference, next(iter(reference.signatures)))
        computed, expected = model.run(inputs)["probs"], reference.run(inputs)["probs"]

    assert np.abs(computed.astype(int) - expected).max() <= 8


def test_machine_without_an_npu_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(npu, "_ACCEL", tmp_path)

    with pytest.raises(litert.AcceleratorError, match="not available: no NPU device: "):
        litert.Model(data / "conv.tflite", accelerator="npu")


@pytest.mark.parametrize(
    ("installed", "match"),
    [
        ("", r"OpenVINO 2026\.3\.1 is not installed: pip install"),
        ("2025.1.0", r"OpenVINO 2025\.1\.0 is installed, the plugin needs 2026\.3\.1: pip inst"),
    ],
)
def test_openvino_that_is_not_the_wanted_one_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, installed: str, match: str
) -> None:
    # OpenVINO absent: 504, with the CPU beside it Ok and all on the CPU.
    monkeypatch.setattr(openvino, "needed_openvino", lambda file: ("libno.so.2631", "2026.3.1"))
    monkeypatch.setattr(openvino, "_installed_version", lambda packages: installed)
    monkeypatch.setattr(openvino, "_other_folder", lambda packages: "")

    with pytest.raises(litert.AcceleratorError, match=match):
        on_npu(data / "conv.tflite")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("simple_model_qualcomm_sm8650_precompiled", r"for a Qualcomm NPU \(chip SM8650\), not"),
        ("precompiled_mediatek_model", r"for a MediaTek NPU \(chip mt6989\), not for one of Intel"),
    ],
)
def test_model_for_another_vendor_is_told(
    shared_model: Callable[[str], Path], name: str, match: str
) -> None:
    with pytest.raises(litert.AcceleratorError, match=match):
        litert.Model(shared_model(f"upstream/{name}.tflite"), accelerator="npu")


def test_vendor_without_a_dispatch_library_is_told(data: Path, tmp_path: Path) -> None:
    for options, match in (
        (litert.NpuOptions(vendor="qualcomm"), "Qualcomm's dispatch library is in no package"),
        (litert.NpuOptions(vendor="samsung", dispatch_dir=tmp_path), "holds no libLiteRtDispatch"),
    ):
        with pytest.raises(litert.AcceleratorError, match=match):
            litert.Model(data / "conv.tflite", accelerator="npu", npu=options)


def test_model_of_another_vendor_has_to_be_compiled(data: Path, tmp_path: Path) -> None:
    (tmp_path / "libLiteRtDispatch_Qualcomm.so").touch()
    options = litert.NpuOptions(vendor="qualcomm", dispatch_dir=tmp_path)

    with pytest.raises(litert.AcceleratorError, match="litert-native compile MODEL --target qual"):
        litert.Model(data / "conv.tflite", accelerator="npu", npu=options)


def test_nothing_is_printed(data: Path) -> None:
    told = run_python(f"""
import litert
model = litert.Model(
    {str(data / "conv.tflite")!r}, accelerator="npu", npu=litert.NpuOptions(device="cpu"))
with model.bind() as runner:
    runner.run()
assert model.placement.accelerator == "npu"
""")
    assert (told.stdout, told.stderr) == ("", "")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ),
    )  # fmt: skip
