"""What this machine offers for models: true answers, and a reason with advice for each lack."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import litert
import litert.accelerate.gpu
import litert.accelerate.npu
import litert.accelerate.openvino
from litert.accelerate import machine, vulkan
from litert.accelerate.gpu import gpu_library, gpu_problem
from litert.accelerate.machine import list_accelerators, require
from litert.accelerate.names import NAMES, check_name, explain_unknown
from litert.accelerate.npu import npu_devices, npu_problem
from litert.accelerate.openvino import (
    DISPATCH_LIBRARY,
    needed_openvino,
    openvino_folders,
    openvino_problem,
)
from litert.accelerate.vulkan import VulkanDevices, vulkan_devices
from litert.cli.main import main

VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """Keep answers of stubs from other tests."""
    vulkan._devices_with.cache_clear()
    yield
    vulkan._devices_with.cache_clear()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let a shell script answer in place of the Python that asks for devices."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(vulkan, "_find_python", lambda: str(path))

    return install


@pytest.fixture
def library(tmp_path: Path) -> str:
    """The path of a LiteRT library with a GPU library and the OpenVINO plugin beside it."""
    folder = tmp_path / "site" / "ai_edge_litert"
    for name, content in (
        ("libLiteRt.so", b""),
        ("libLiteRtWebGpuAccelerator.so", b""),
        ("vendors/intel_openvino/compiler/libLiteRtCompilerPlugin_IntelOpenvino.so", b""),
        (
            "vendors/intel_openvino/dispatch/libLiteRtDispatch_IntelOpenvino.so",
            b"\x7fELF\0libc.so.6\0libopenvino.so.2631\0",
        ),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder / "libLiteRt.so")


@pytest.fixture
def with_openvino(library: str) -> str:
    """The same with OpenVINO in its place."""
    libs = Path(library).parent.parent / "openvino" / "libs"
    libs.mkdir(parents=True)
    (libs / "libopenvino.so.2631").touch()
    return library


@pytest.fixture
def npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the kernel drive an Intel NPU; the folder of its device."""
    device = tmp_path / "accel" / "accel0" / "device"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    (device / "device").write_text("0x643e\n")
    (tmp_path / "drivers" / "intel_vpu").mkdir(parents=True)
    (device / "driver").symlink_to(tmp_path / "drivers" / "intel_vpu")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "accel0").touch()
    monkeypatch.setattr(litert.accelerate.npu, "_ACCEL", tmp_path / "accel")
    monkeypatch.setattr(litert.accelerate.npu, "_DEV", tmp_path / "dev")
    return device


@pytest.fixture
def no_npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the kernel drive none, whatever this machine has."""
    monkeypatch.setattr(litert.accelerate.npu, "_ACCEL", tmp_path / "none")


@pytest.fixture
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be an x86-64 machine with CPython and glibc."""
    for module in (litert.accelerate.gpu, litert.accelerate.openvino):
        monkeypatch.setattr(module, "machine", lambda: "x86_64")
    monkeypatch.setattr("litert.accelerate.companion.obstacle_to_ai_edge_litert", lambda: "")


# The whole


def test_accelerators_are_cpu_gpu_and_npu():
    found = litert.accelerators()
    assert tuple(one.name for one in found) == NAMES == ("cpu", "gpu", "npu")
    for one in found:
        assert isinstance(one, litert.Accelerator)
        assert bool(one.reason) != one.available


def test_cpu_is_available_with_the_library_and_its_cores():
    cpu, *_ = litert.accelerators()
    assert cpu.available
    assert cpu.library == litert.library_info().path
    assert cpu.details.startswith("XNNPACK on ")
    assert len(cpu.devices) == 1


def test_cpu_without_a_library_runs_by_the_reference_backend():
    cpu, gpu, npu = list_accelerators("", "there is none")
    assert cpu.available
    assert cpu.details.endswith("by the reference backend alone")
    reason = "it needs the native core and a LiteRT library: there is none"
    assert (gpu.reason, npu.reason) == (reason, reason)


def test_cpu_without_any_backend_says_why(monkeypatch):
    def load_nothing() -> None:
        raise litert.LibraryError("no LiteRT library was found")

    monkeypatch.setattr(machine, "library_info", load_nothing)
    monkeypatch.setattr("litert.backends._interpreter._MODULES", ("no_such_package.interpreter",))
    cpu, *_ = litert.accelerators()
    assert not cpu.available
    assert cpu.reason.startswith("the reference backend needs ")


def test_require_says_why_an_accelerator_is_missing(monkeypatch, library, with_openvino, no_npu):
    monkeypatch.setattr(machine, "_load_library", lambda: (library, ""))
    with pytest.raises(
        litert.AcceleratorError,
        match=r"^accelerator 'npu' is not available: no NPU device: .*; NpuOptions\(device=",
    ):
        require("npu")


def test_require_gives_what_is_available():
    assert require("cpu").available


# The GPU


def test_software_gpu_is_found_and_told_as_such(software_gpu):
    found = vulkan_devices()
    assert found.problem == ""
    assert found.is_asked
    assert [name for name in found.names if name.endswith(", software")]


def test_software_gpu_is_available(software_gpu, library):
    _, gpu, _ = list_accelerators(library)
    assert (gpu.available, gpu.reason) == (True, "")
    assert gpu.library == str(Path(library).with_name("libLiteRtWebGpuAccelerator.so"))
    assert gpu.details == "computed by the CPU, and slower than accelerator='cpu'"


def test_gpu_with_a_driver_that_is_not_there_names_the_variable(software_gpu, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere/icd.json")
    problem = vulkan_devices().problem
    assert problem.startswith("no Vulkan device: VK_DRIVER_FILES=/nowhere/icd.json names no driver")


def test_gpu_library_of_both_names_is_the_one_that_litert_takes(library, x86):
    other = Path(library).with_name("libLiteRtGpuAccelerator.so")
    other.touch()
    assert gpu_library(library) == other


def test_gpu_without_its_library_says_to_reinstall(library, x86):
    Path(library).with_name("libLiteRtWebGpuAccelerator.so").unlink()
    problem = gpu_problem(library)
    assert f"({library}) has no GPU library (libLiteRtWebGpuAccelerator.so) beside it" in problem
    assert "pip install --force-reinstall 'ai-edge-litert" in problem


def test_gpu_with_the_library_of_litert_lm_says_what_to_install(tmp_path, x86):
    problem = gpu_problem(str(tmp_path / "litert_lm" / "liblitert-lm.so"))
    assert problem.startswith("litert-lm-api's library (")
    assert problem.endswith("use ai-edge-litert's: pip install 'ai-edge-litert>=2.1.6,<3'")


def test_gpu_library_is_not_offered_to_an_arm_cpu_that_it_kills(monkeypatch, library):
    monkeypatch.setattr(litert.accelerate.gpu, "machine", lambda: "aarch64")
    monkeypatch.setattr(litert.accelerate.gpu, "cpu_features", lambda: ["asimd", "crc32"])
    with pytest.raises(litert.AcceleratorError, match="needs a CPU with the feature 'atomics'"):
        gpu_library(library)
    monkeypatch.setattr(litert.accelerate.gpu, "cpu_features", lambda: ["asimd", "atomics"])
    assert gpu_library(library).name == "libLiteRtWebGpuAccelerator.so"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("kill -SEGV $$", "a driver ended the process that asked with SIGSEGV"),
        ("exec sleep 60", "its drivers did not answer within 0.5 s"),
        ("echo garbage; exit 3", "the process that asked gave no answer (exit status 3)"),
        ("echo 'litert-vulkan: {'", "gave no answer (exit status 0)"),
        ("echo 'litert-vulkan: 7'", "gave no answer (exit status 0)"),
        ("echo 'litert-vulkan: {\"devices\": [1]}'", "gave no answer (exit status 0)"),
        ("printf '\\377\\376'", "gave no answer (exit status 0)"),
        (
            'echo \'litert-vulkan: {"failure": "vkCreateInstance gives VkResult -3"}\'',
            "vkCreateInstance gives VkResult -3; update the GPU's driver",
        ),
        ('echo \'litert-vulkan: {"failure": "loader"}\'', "no Vulkan loader (libvulkan.so.1)"),
        ("echo 'litert-vulkan: {\"devices\": []}'", "no Vulkan device: "),
    ],
)
def test_gpu_probe_that_fails_gives_a_reason(monkeypatch, stub, script, expected):
    monkeypatch.setattr(vulkan, "_TIMEOUT_S", 0.5 if "sleep" in script else 30.0)
    stub(script)
    found = vulkan_devices()
    assert found.names == ()
    assert expected in found.problem


def test_gpu_probe_is_heard_among_what_drivers_print(stub):
    stub(
        "echo 'a driver says hello'\n"
        'echo \'litert-vulkan: {"devices": [["A", 2], ["B", 1], ["C", 3], ["D", 4], ["E", 0]]}\''
    )
    names = ("A, discrete", "B, integrated", "C, virtual", "D, software", "E")
    assert vulkan_devices() == VulkanDevices(names)


def test_gpu_probe_runs_once_for_each_setting_of_the_variables(monkeypatch, stub, tmp_path):
    stub(f'echo asked >> {tmp_path}/log; echo \'litert-vulkan: {{"devices": [["A", 2]]}}\'')
    for value in ("/a.json", "/a.json", "/b.json", "/a.json"):
        monkeypatch.setenv("VK_DRIVER_FILES", value)
        vulkan_devices()
    assert (tmp_path / "log").read_text() == "asked\nasked\n"


def test_gpu_in_a_program_without_python_is_told_by_the_manifests(monkeypatch, tmp_path):
    monkeypatch.setattr(vulkan, "_find_python", lambda: "")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "icd.json"))
    assert "names no driver that loads" in vulkan_devices().problem
    vulkan._devices_with.cache_clear()
    (tmp_path / "icd.json").touch()
    assert vulkan_devices() == VulkanDevices(is_asked=False)


def test_gpu_manifests_are_looked_for_where_they_are_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(vulkan, "_find_python", lambda: "")
    monkeypatch.setattr(vulkan, "_MANIFEST_ROOTS", (str(tmp_path),))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert vulkan_devices().problem.startswith("no Vulkan device: ")
    vulkan._devices_with.cache_clear()
    (tmp_path / "vulkan" / "icd.d").mkdir(parents=True)
    (tmp_path / "vulkan" / "icd.d" / "intel.json").touch()
    assert not vulkan_devices().is_asked


def test_embedding_program_is_not_started_again(monkeypatch, tmp_path):
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", "/opt/paint/bin/paint")
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    assert vulkan._find_python() == str(python)


# The NPU


@pytest.mark.parametrize("version", ["2631", "2540"])
def test_openvino_release_is_read_from_the_plugin(tmp_path, version):
    path = tmp_path / "dispatch.so"
    path.write_bytes(f"\0libc.so.6\0libopenvino.so.{version}\0".encode())
    release = {"2631": "2026.3.1", "2540": "2025.4.0"}[version]
    assert needed_openvino(path) == (f"libopenvino.so.{version}", release)


def test_openvino_release_is_not_known_of_another_plugin(tmp_path):
    (tmp_path / "dispatch.so").write_bytes(b"libopenvino.so\0")
    assert needed_openvino(tmp_path / "dispatch.so") is None
    assert needed_openvino(tmp_path / "none.so") is None


def test_openvino_release_of_the_extra_is_the_one_that_the_plugin_needs():
    info = litert.library_info()
    if info.package != "ai-edge-litert 2.3.0":
        pytest.skip("needs the library of ai-edge-litert 2.3.0")
    try:
        _, dispatch = openvino_folders(info.path)
    except litert.AcceleratorError:
        pytest.skip("needs the OpenVINO plugin, which ai-edge-litert has on x86-64 alone")
    needed = needed_openvino(dispatch / DISPATCH_LIBRARY)
    assert needed == ("libopenvino.so.2631", litert.accelerate.openvino._EXTRA)


def test_openvino_folders_are_those_beside_the_library(library):
    compiler, dispatch = openvino_folders(library)
    vendor = Path(library).parent / "vendors" / "intel_openvino"
    assert (compiler, dispatch) == (vendor / "compiler", vendor / "dispatch")


def test_openvino_in_its_place_is_no_problem(with_openvino):
    assert openvino_problem(with_openvino) == ""


def test_openvino_on_the_loader_path_is_no_problem(monkeypatch, library, tmp_path):
    (tmp_path / "libopenvino.so.2631").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    assert openvino_problem(library) == ""


def test_openvino_that_is_not_installed_is_to_be_installed(monkeypatch, library):
    monkeypatch.setattr(litert.accelerate.openvino.PathFinder, "find_spec", lambda name: None)
    expected = "OpenVINO 2026.3.1 is not installed: pip install 'litert-native[openvino]'"
    assert openvino_problem(library) == expected


def test_openvino_of_another_release_is_told_with_the_needed_one(library):
    (Path(library).parent.parent / "openvino-2026.2.0.dist-info").mkdir()
    expected = (
        "OpenVINO 2026.2.0 is installed, the plugin needs 2026.3.1: "
        "pip install 'openvino==2026.3.1'"
    )
    assert openvino_problem(library) == expected


def test_openvino_without_its_libraries_is_to_be_reinstalled(library):
    (Path(library).parent.parent / "openvino-2026.3.1.dist-info").mkdir()
    assert openvino_problem(library).endswith("'openvino==2026.3.1' --force-reinstall")


def test_openvino_elsewhere_is_told_with_both_places(monkeypatch, library, tmp_path):
    other = tmp_path / "other"
    (other / "openvino").mkdir(parents=True)
    (other / "openvino" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(other)])
    problem = openvino_problem(library)
    assert problem.startswith(f"OpenVINO is installed in {other}, where the plugin does not find")
    assert f"into {Path(library).parent.parent}, beside ai-edge-litert" in problem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x86_64", "has no OpenVINO plugin (vendors/intel_openvino) beside it"),
        ("aarch64", "no package has a LiteRT library for NPUs on aarch64"),
    ],
)
def test_npu_without_the_plugin_says_why(monkeypatch, tmp_path, name, expected):
    monkeypatch.setattr(litert.accelerate.openvino, "machine", lambda: name)
    library = str(tmp_path / "ai_edge_litert" / "libLiteRt.so")
    with pytest.raises(litert.AcceleratorError) as raised:
        openvino_folders(library)
    assert expected in str(raised.value)
    assert npu_problem(library) == str(raised.value)


def test_npu_is_available_with_openvino_and_a_device(with_openvino, npu):
    *_, found = list_accelerators(with_openvino)
    assert (found.available, found.reason) == (True, "")
    assert found.devices == ("Intel NPU, Lunar Lake",)
    assert (found.library or "").endswith("dispatch/libLiteRtDispatch_IntelOpenvino.so")


def test_npu_without_a_device_says_that_openvino_runs_on_the_cpu(with_openvino, no_npu):
    *_, found = list_accelerators(with_openvino)
    assert not found.available
    assert found.reason.startswith("no NPU device: the kernel drives no Intel NPU")
    assert found.details.startswith('NpuOptions(device="cpu") runs models on OpenVINO\'s CPU')


def test_npu_without_openvino_says_nothing_of_its_cpu(library, no_npu):
    *_, found = list_accelerators(library)
    assert found.details == ""


def test_npu_without_its_device_file_names_it(with_openvino, npu, tmp_path):
    (tmp_path / "dev" / "accel0").unlink()
    assert f"start it with --device {tmp_path}/dev/accel0" in npu_problem(with_openvino)


def test_npu_that_may_not_be_opened_says_which_group(monkeypatch, with_openvino, npu):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "add the user to the group" in npu_problem(with_openvino)


def test_accelerator_of_another_maker_is_no_npu(npu):
    (npu / "vendor").write_text("0x1da3\n")
    assert npu_devices() == ()


def test_npu_of_a_new_chip_is_told_by_its_number(npu):
    (npu / "device").write_text("0xffff\n")
    assert npu_devices() == ("Intel NPU, PCI device 0xffff",)


# Names


@pytest.mark.parametrize("name", NAMES)
def test_names_of_accelerators_are_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coreml", "Core ML is for macOS and iOS only"),
        ("Core ML", "Core ML is for macOS and iOS only"),
        ("nnapi", "NNAPI is for Android only"),
        ("metal", "Metal is for macOS and iOS only"),
        ("opencl", "use 'gpu', which runs models over Vulkan"),
        ("opengl", "use 'gpu', which runs models over Vulkan"),
        ("hexagon", "Hexagon is Qualcomm's NPU"),
        ("edgetpu", "libedgetpu.so"),
        ("coral", "libedgetpu.so"),
        ("cuda", "on an NVIDIA GPU use 'gpu'"),
        ("tensorrt", "on an NVIDIA GPU use 'gpu'"),
        ("qnn", "Qualcomm's NPU is driven through QNN"),
        ("qualcomm", "built for Android alone"),
        ("mediatek", "NeuroPilot"),
        ("google_tensor", "Pixel phones"),
        ("samsung", "Exynos phones"),
        ("vulkan", "use 'gpu'"),
        ("webgpu", "use 'gpu'"),
        ("xnnpack", "use 'cpu'"),
        ("openvino", "use 'npu', with NpuOptions"),
        ("intel", "use 'npu', with NpuOptions"),
        ("tpu", "Cloud TPUs run no .tflite models"),
        ("armnn", "libarmnnDelegate.so"),
        ("rknn", "Rockchip's own runtime"),
    ],
)
def test_name_from_elsewhere_is_explained(name, expected):
    assert expected in explain_unknown(name)
    assert not explain_unknown(name).endswith(".")
    with pytest.raises(litert.OptionError, match=f"^accelerator {name!r}: "):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpus", "; did you mean 'gpu'?"),
        ("GPU", "; did you mean 'gpu'?"),
        ("vulcan", "; did you mean 'vulkan'? Vulkan is what 'gpu' runs models over; use 'gpu'"),
        ("abacus", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_name_that_nobody_knows_lists_the_known_ones(name, hint):
    assert explain_unknown(name) == f"expected 'cpu', 'gpu', 'npu' or 'auto'{hint}"


# The command


def test_command_prints_within_80_columns(capsys, monkeypatch, library, stub):
    stub('echo \'litert-vulkan: {"devices": [["Some GPU", 2]]}\'')
    monkeypatch.setattr(machine, "_load_library", lambda: (library, ""))
    assert main(["accelerators"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []
    assert [line for line in lines if line.startswith("gpu")] == [
        "gpu  available      Some GPU, discrete"
    ]
    assert "npu  not available  " in out


def test_command_prints_json(capsys):
    assert main(["accelerators", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == list(NAMES)
    assert set(found[0]) == {"name", "available", "reason", "devices", "library", "details"}
