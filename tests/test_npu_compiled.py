"""Models that are compiled for an NPU ahead of time, and what is said where they cannot run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
import litert.accelerate.npu
import litert.accelerate.openvino
import litert.accelerate.target
from npu_runs import (
    STAMP,
    inputs_of,
    results,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or litert.accelerate.openvino.machine() != "x86_64",
    reason="LiteRT has an NPU plugin for Linux on x86-64 alone",
)


@pytest.mark.parametrize("strict", [False, True])
def test_compiled_model_runs(
    compiled_models: Callable[[str], Path], data: Path, strict: bool
) -> None:
    path = compiled_models("mlp")
    with litert.Model(path, accelerator="npu", strict=strict) as model:
        (computed,) = model.run(inputs_of(model)).values()
        placement = model.placement
    (expected,) = results(data / "mlp.tflite").values()
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
    assert placement.is_fully_accelerated


def test_compiled_model_names_its_npu_where_there_is_one(
    compiled_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert.accelerate.target, "npu_devices", lambda: ("Intel NPU",))
    with litert.Model(compiled_models("mlp"), accelerator="npu") as model:
        reasons = model.placement.reasons
    assert reasons == ("on the device of an Intel NPU (chip PTL), as it was compiled",)


@pytest.mark.usefixtures("no_device")
def test_compiled_model_says_that_it_is_not_on_an_npu_where_there_is_none(
    compiled_models: Callable[[str], Path],
) -> None:
    with litert.Model(compiled_models("mlp"), accelerator="npu") as model:
        (device,) = model.placement.reasons
    assert device == (
        "on OpenVINO's CPU or GPU device, as it was compiled: it is for an Intel NPU (chip PTL), "
        "but no Intel NPU is here"
    )


@pytest.mark.parametrize("accelerator", ["auto", ("npu", "cpu"), ("gpu", "npu", "cpu")])
def test_compiled_model_is_for_the_npu_alone(
    compiled_models: Callable[[str], Path], accelerator: Any
) -> None:
    with litert.Model(compiled_models("mlp"), accelerator=accelerator) as model:
        assert model.placement.accelerator == "npu"


def test_compiled_model_with_operators_for_the_cpu_runs(
    compiled_models: Callable[[str], Path], data: Path
) -> None:
    path = compiled_models("kv_step")
    expected = results(data / "kv_step.tflite")
    with litert.Model(path, accelerator="npu") as model:
        computed = model.run(inputs_of(model))
        placement = model.placement
    for name, array in expected.items():
        np.testing.assert_allclose(computed[name], array, rtol=1e-4, atol=1e-5)
    assert not placement.is_fully_accelerated
    assert [one.num_operators for one in placement.placed] == [2, 1]
    assert placement.reasons[-1] == "1 DYNAMIC_UPDATE_SLICE: not compiled for the NPU"


def test_compiled_model_with_operators_for_the_cpu_is_refused_when_strict(
    compiled_models: Callable[[str], Path],
) -> None:
    with pytest.raises(litert.AcceleratorError, match=r"strict=True: not all operators .*: 1 "):
        litert.Model(compiled_models("kv_step"), accelerator="npu", strict=True)


@pytest.mark.parametrize("options", [{}, {"accelerator": ("gpu", "cpu")}])
def test_compiled_model_on_the_cpu_says_where_it_runs(
    compiled_models: Callable[[str], Path], options: dict[str, Any]
) -> None:
    # On the CPU alone: Ok, and the first run fails.
    message = (
        rf"mlp\.tflite': the model is compiled ahead of time for {STAMP} and cannot run on the CPU;"
        ' load it with accelerator="npu" where that NPU and OpenVINO are, or load the plain '
        r"\.tflite that it was compiled from$"
    )
    with pytest.raises(litert.UnsupportedModelError, match=message):
        litert.Model(compiled_models("mlp"), **options)


def test_compiled_model_on_the_gpu_says_what_it_is_compiled_for(
    compiled_models: Callable[[str], Path],
) -> None:
    message = rf"^accelerator 'gpu': the model is compiled for {STAMP}$"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(compiled_models("mlp"), accelerator="gpu")


def test_compiled_model_with_another_vendors_options_is_refused(
    compiled_models: Callable[[str], Path], tmp_path: Path
) -> None:
    npu = litert.NpuOptions(vendor="qualcomm", dispatch_dir=tmp_path)
    message = rf"^accelerator 'npu': the model is compiled for {STAMP}, not for one of Qualcomm"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(compiled_models("mlp"), accelerator="npu", npu=npu)


OTHERS = [
    ("precompiled_mediatek_model", "mediatek", r"a MediaTek NPU \(chip mt6989\)"),
    ("simple_model_npu_mediatek_mt6989_precompiled", "mediatek", r"a MediaTek NPU"),
    ("shared_input_cpu_npu_google_tensor_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_add_op_google_tensor_p25_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_model_npu_google_tensor_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_add_op_qc_v75_precompiled", "qualcomm", r"a Qualcomm NPU \(chip V75\)"),
    ("simple_model_qualcomm_sm8650_precompiled", "qualcomm", r"a Qualcomm NPU \(chip SM8650\)"),
    ("simple_add_op.sm8750", "qualcomm", r"a Qualcomm NPU \(chip SM8750\)"),
]


@pytest.mark.parametrize(("name", "vendor", "stamp"), OTHERS)
def test_model_compiled_for_another_vendor_says_what_it_needs(
    shared_model: Callable[[str], Path],
    openvino_cpu: litert.NpuOptions,
    tmp_path: Path,
    name: str,
    vendor: str,
    stamp: str,
) -> None:
    path = shared_model(f"upstream/{name}.tflite")
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"^accelerator 'npu': the model is compiled for {stamp}.*, not for one of Intel; it "
        r"needs NpuOptions\(vendor=\.\.\., dispatch_dir=\.\.\.\)",
    ):
        litert.Model(path, accelerator="npu")
    for accelerator in ("cpu", ("npu", "cpu")):
        with pytest.raises(litert.UnsupportedModelError, match=rf"{stamp}.* cannot run on the CPU"):
            litert.Model(path, accelerator=accelerator)  # type: ignore[arg-type]
    with pytest.raises(litert.AcceleratorError, match="dispatch library is in no package"):
        litert.Model(path, accelerator="npu", npu=litert.NpuOptions(vendor=vendor))
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=tmp_path)
    with pytest.raises(litert.AcceleratorError, match=r"holds no libLiteRtDispatch\*\.so"):
        litert.Model(path, accelerator="npu", npu=npu)


@pytest.mark.parametrize("vendor", ["qualcomm", "mediatek", "google_tensor", "samsung"])
def test_plain_model_for_another_vendor_has_to_be_compiled(
    data: Path, tmp_path: Path, vendor: str
) -> None:
    (tmp_path / "libLiteRtDispatch_Some.so").touch()
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=tmp_path)
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"are compiled ahead of time: litert-native compile MODEL --target {vendor}:CHIP",
    ):
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=npu)
