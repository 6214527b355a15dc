"""Fixtures that many tests share: the backends, and where the models are."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import litert
from litert.accelerate.gpu import gpu_library
from litert.accelerate.openvino import openvino_problem
from litert.cpu import cpu_features

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared" / "models"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests put into the cache out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITERT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=["native", "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn: what both can do is tested on both."""
    if request.param == "reference" and importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("needs ai-edge-litert, which has no wheel for every Python")
    return str(request.param)


@pytest.fixture
def data() -> Path:
    """The models that the repository ships."""
    return DATA


@pytest.fixture
def shared_model() -> Callable[[str], Path]:
    """Find a larger model beside the repository, or skip: ``shared_model("a/b.tflite")``."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"needs the model ../shared/models/{name}")
        return path

    return find


@pytest.fixture
def software_gpu(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the GPU library use a driver that computes on the CPU, or skip; its manifest."""
    try:
        gpu_library(litert.library_info().path)
    except litert.LiteRTError as err:
        pytest.skip(f"needs LiteRT's GPU library: {err}")
    driver = next((path for path in _software_drivers() if path.is_file()), None)
    if driver is None:
        pytest.skip("needs a Vulkan software driver (Debian: chromium-common and libvulkan1)")
    for name in ("VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VK_DRIVER_FILES", str(driver))
    return driver


@pytest.fixture(scope="session")
def openvino_cpu() -> litert.NpuOptions:
    """The way of models to an NPU on OpenVINO's CPU device, or skip."""
    problem = openvino_problem(litert.library_info().path)
    if problem:
        pytest.skip(f"needs OpenVINO: {problem}")
    # By default OpenVINO computes in bfloat16 where the CPU can, and without these instructions
    # wrongly with int8. It reads this when it is first used.
    features = cpu_features()
    if "avx512_vnni" in features:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"
    elif "avx_vnni" in features:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2_VNNI"
    else:
        pytest.skip("needs a CPU with VNNI, without which OpenVINO's results are wrong")
    return litert.NpuOptions(device="cpu")


def _software_drivers() -> Iterator[Path]:
    """Yield where SwiftShader and Mesa's lavapipe have their manifests."""
    for folder in ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"):
        yield Path(folder, "vk_swiftshader_icd.json")
    for folder in ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"):
        yield Path(folder, "vk_swiftshader_icd.json")
        yield from sorted(Path(folder).glob("lvp_icd*.json"))


def pytest_report_header() -> list[str]:
    """Say what is tested: versions, and the library in use."""
    import numpy as np

    lines = [f"numpy {np.__version__}"]
    try:
        info = litert.library_info()
        lines.append(f"LiteRT library {info.version} at {info.path}")
    except litert.LibraryError as err:
        lines.append(f"LiteRT library: {err}")
    return lines


@pytest.fixture(scope="session")
def sample_plugin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile a shared object of tests/plugins, or skip: ``sample_plugin("sample_delegate")``."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp("plugins")

    @functools.cache
    def build(name: str) -> Path:
        import litert

        built = folder / f"lib{name}.so"
        library = Path(litert.library_info().path)
        command = [
            *(compiler, "-std=c++17", "-O1", "-fPIC", "-shared"),
            *("-I", str(ROOT / "third_party" / "litert" / "include")),
            str(ROOT / "tests" / "plugins" / f"{name}.cc"),
            # Only what uses the library's functions is linked to it.
            *("-Wl,--as-needed", f"-L{library.parent}", f"-l:{library.name}", "-o", str(built)),
        ]
        subprocess.run(command, check=True)
        return built

    return build


@pytest.fixture(scope="session")
def compiled_models(
    openvino_cpu: litert.NpuOptions, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Compile a model for OpenVINO's CPU device ahead of time, once."""
    folder = tmp_path_factory.mktemp("compiled")
    data = Path(__file__).parent / "data"

    def compiled(name: str) -> Path:
        output = folder / f"{name}.tflite"
        if not output.exists():
            litert.compile_model(
                data / output.name, target="intel:PTL", output=output, device="cpu"
            )
        return output

    return compiled


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no NPU, whatever this machine has."""
    monkeypatch.setattr("litert.accelerate.npu._ACCEL", tmp_path / "none")
