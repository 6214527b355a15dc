"""What a process maps: only what the accelerator asked for needs.

On cores without the atomic instructions of ARMv8.1 (Raspberry Pi 3 and 4) the GPU's library ends
the process while it loads, so a model on the CPU must never load it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import litert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")

FOREIGN = ("webgpu", "vulkan", "openvino", "/vendors/", "accelerator", "dispatch", "libopencl")

RUN = """
    import sys, numpy, litert
    import litert.accelerate.gpu, litert.accelerate.npu
    from pathlib import Path

    path, how = sys.argv[1:]
    if "no accelerators" in how:
        litert.accelerate.npu._ACCEL = Path("/no/accel")
    if "old core" in how:
        litert.accelerate.gpu.machine = lambda: "aarch64"
        litert.accelerate.gpu.cpu_features = lambda: ["asimd"]
    options = {"cpu": {}, "strict": {"strict": True}, "order": {"accelerator": ("cpu", "gpu")}}
    with litert.Model(path, **options.get(how, {"accelerator": "auto"})) as model:
        model.run({"x": numpy.ones((1, 8), numpy.float32)})
        model.bind().run()
        print(model.placement)
    print("mapped:")
    print(Path("/proc/self/maps").read_text())
    """


def mapped(data: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, set[str]]:
    """Run a model in a new process; return what it says of the placement, and its libraries."""
    if how.startswith("auto"):
        monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN), str(data / "mlp.tflite"), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    placement, _, maps = done.stdout.partition("mapped:\n")
    return placement, {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}


@pytest.mark.parametrize("how", ["cpu", "strict", "order", "auto, no accelerators"])
def test_model_on_the_cpu_maps_no_accelerators_library(
    data: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    placement, files = mapped(data, how, monkeypatch)
    assert placement.startswith("cpu (XNNPACK): 3 operators, 100%")
    library = Path(litert.library_info().path).resolve()
    # Of all that LiteRT's package brings.
    assert [path for path in files if Path(path).is_relative_to(library.parent)] == [str(library)]
    libraries = {path for path in files if ".so" in path.rpartition("/")[2]}
    assert [path for path in libraries if any(word in path.lower() for word in FOREIGN)] == []


def test_old_core_is_told_of_and_maps_no_gpu_library(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placement, files = mapped(data, "auto, no accelerators, old core", monkeypatch)
    assert "needs a CPU with the feature 'atomics' (ARMv8.1)" in placement
    assert [path for path in files if "webgpu" in path.lower()] == []
