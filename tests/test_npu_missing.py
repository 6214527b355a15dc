"""What is said where an NPU, its libraries or its compiler are missing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import litert
import litert.accelerate.npu
import litert.accelerate.openvino
import litert.accelerate.target
from litert.accelerate import target
from litert.accelerate.openvino import DISPATCH_LIBRARY, openvino_folders
from npu_runs import (
    COMPILER_PLUGIN,
    in_new_process,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or litert.accelerate.openvino.machine() != "x86_64",
    reason="LiteRT has an NPU plugin for Linux on x86-64 alone",
)


def test_without_a_device_it_is_not_available(
    openvino_cpu: litert.NpuOptions, no_device: None, data: Path
) -> None:
    message = (
        r"^accelerator 'npu' is not available: no NPU device: the kernel drives no Intel NPU .*; "
        r'NpuOptions\(device="cpu"\) runs models on OpenVINO\'s CPU device, for tests$'
    )
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(data / "mlp.tflite", accelerator="npu")


def test_without_a_device_an_order_goes_on_to_the_cpu(no_device: None, data: Path) -> None:
    with litert.Model(data / "mlp.tflite", accelerator=("npu", "cpu")) as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert placement.is_fully_accelerated
    assert placement.reasons[0].startswith("accelerator 'npu' is not available: ")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the LiteRT library and the plugin's files in packages of this test's, no OpenVINO."""
    info = litert.library_info()
    package = tmp_path / "site" / "ai_edge_litert"
    vendor = package / "vendors" / "intel_openvino"
    (vendor / "compiler").mkdir(parents=True)
    (vendor / "dispatch").mkdir()
    (vendor / "compiler" / COMPILER_PLUGIN).touch()
    (vendor / "dispatch" / DISPATCH_LIBRARY).write_bytes(b"\x7fELF\0libopenvino.so.2631\0")
    moved = dataclasses.replace(info, path=str(package / "libLiteRt.so"))
    monkeypatch.setattr(target, "library_info", lambda: moved)
    monkeypatch.setattr(litert.accelerate.openvino, "_other_folder", lambda packages: "")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return package.parent


def refused(data: Path, **options: Any) -> str:
    """Return what is said of the NPU alone, which an order that ends on the CPU says as well."""
    npu = litert.NpuOptions(device="cpu", **options)
    with pytest.raises(litert.AcceleratorError, match=r"^accelerator 'npu'") as raised:
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=npu)
    with litert.Model(data / "mlp.tflite", accelerator=("npu", "cpu"), npu=npu) as model:
        assert model.placement.accelerator == "cpu"
        assert model.placement.reasons == (str(raised.value),)
    return str(raised.value)


@pytest.mark.parametrize("missing", [["compiler"], ["dispatch"], ["compiler", "dispatch"]])
def test_without_the_plugins_folders_it_says_to_reinstall(
    site: Path, data: Path, missing: list[str]
) -> None:
    # No compiler folder, or neither: 504, with the CPU beside it Ok, silently on the CPU.
    for name in missing:
        shutil.rmtree(site / "ai_edge_litert" / "vendors" / "intel_openvino" / name)
    said = refused(data)
    assert "has no OpenVINO plugin (vendors/intel_openvino) beside it" in said
    assert "pip install --force-reinstall 'ai-edge-litert" in said


def test_without_openvino_it_says_what_to_install(site: Path, data: Path) -> None:
    # OpenVINO absent: 504, with the CPU beside it Ok, silently on the CPU.
    assert refused(data) == (
        "accelerator 'npu' is not available: OpenVINO 2026.3.1 is not installed: pip install "
        "'litert-native[openvino]'"
    )


def test_with_openvino_of_another_release_it_says_which_one_is_needed(
    site: Path, data: Path
) -> None:
    # The same, though an OpenVINO is there.
    (site / "openvino" / "libs").mkdir(parents=True)
    (site / "openvino" / "libs" / "libopenvino.so.2540").touch()
    (site / "openvino-2025.4.0.dist-info").mkdir()
    assert refused(data) == (
        "accelerator 'npu' is not available: OpenVINO 2025.4.0 is installed, the plugin needs "
        "2026.3.1: pip install 'openvino==2026.3.1'"
    )


@pytest.mark.parametrize("kind", ["plain", "compiled"])
def test_empty_dispatch_folder_is_named(
    openvino_cpu: litert.NpuOptions,
    compiled_models: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    # No dispatch library: 504, with the CPU beside it Ok, and a model whose runs fail.
    path = data / "mlp.tflite" if kind == "plain" else compiled_models("mlp")
    npu = dataclasses.replace(openvino_cpu, dispatch_dir=tmp_path)
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"^accelerator 'npu': '{tmp_path}' holds no libLiteRtDispatch\*\.so, Intel's ",
    ):
        litert.Model(path, accelerator="npu", npu=npu)


def test_dispatch_folder_is_told_whole(
    openvino_cpu: litert.NpuOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a folder in its name, the loader would not look for the library in this one.
    (_, dispatch) = openvino_folders(litert.library_info().path)
    (tmp_path / "here").symlink_to(dispatch)
    monkeypatch.chdir(tmp_path / "here")
    found = target.npu_target(dataclasses.replace(openvino_cpu, dispatch_dir="."), None)
    assert os.path.isabs(found.dispatch_folder)
    assert os.path.samefile(found.dispatch_folder, dispatch)


def test_dispatch_folder_may_have_a_name_that_is_no_text(
    openvino_cpu: litert.NpuOptions, data: Path, tmp_path: Path
) -> None:
    (_, dispatch) = openvino_folders(litert.library_info().path)
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.symlink(dispatch, folder)
    npu = dataclasses.replace(openvino_cpu, dispatch_dir=folder)
    with litert.Model(data / "conv.tflite", accelerator="npu", npu=npu) as model:
        assert model.placement.accelerator == "npu"


LOAD = """
    import sys, litert
    _, path, folder, vendor = sys.argv
    device = {"device": "cpu"} if vendor == "intel" else {}
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=folder, **device)
    try:
        litert.Model(path, accelerator="npu", npu=npu)
    except litert.AcceleratorError as err:
        print(err)
    """


@pytest.mark.parametrize("kind", ["plain", "compiled"])
def test_dispatch_library_that_does_not_load_is_told_by_the_loader(
    openvino_cpu: litert.NpuOptions,
    compiled_models: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    # Registered all the same. A compiled model is Ok, "fully accelerated", and fails its first run.
    path = data / "mlp.tflite" if kind == "plain" else compiled_models("mlp")
    (tmp_path / DISPATCH_LIBRARY).write_text("no library")
    done = in_new_process(LOAD, path, tmp_path, "intel")
    assert done.stderr == ""
    assert done.stdout.startswith("accelerator 'npu': Could not load shared library ")
    assert f"Could not load shared library {tmp_path / DISPATCH_LIBRARY}" in done.stdout
    assert "file too short" in done.stdout


def test_dispatch_library_without_its_openvino_is_told_by_the_loader(
    openvino_cpu: litert.NpuOptions, compiled_models: Callable[[str], Path], tmp_path: Path
) -> None:
    _, folder = openvino_folders(litert.library_info().path)
    shutil.copy(folder / DISPATCH_LIBRARY, tmp_path)
    done = in_new_process(LOAD, compiled_models("mlp"), tmp_path, "intel")
    assert done.stderr == ""
    assert "libopenvino.so.2631: cannot open shared object file" in done.stdout


def test_dispatch_library_of_another_vendor_that_does_not_load_is_told_by_the_loader(
    shared_model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = shared_model("upstream/simple_model_qualcomm_sm8650_precompiled.tflite")
    library = tmp_path / "libLiteRtDispatch_Qualcomm.so"
    library.write_text("no library")
    done = in_new_process(LOAD, path, tmp_path, "qualcomm")
    assert done.stderr == ""
    assert f"Could not load shared library {library}" in done.stdout


def test_compiler_plugin_that_does_not_load_is_told(
    openvino_cpu: litert.NpuOptions, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Plugin not loadable: 504, with the CPU beside it Ok, silently on the CPU.
    _, dispatch = openvino_folders(litert.library_info().path)
    (tmp_path / COMPILER_PLUGIN).write_text("no library")
    monkeypatch.setattr(target, "openvino_folders", lambda library: (tmp_path, dispatch))
    assert "file too short" in refused(data)
