"""Whether models can run on a GPU here: LiteRT's WebGPU library over Vulkan."""

from __future__ import annotations

from pathlib import Path

from litert.accelerate.companion import explain_missing
from litert.accelerate.vulkan import VulkanDevices, vulkan_devices
from litert.cpu import cpu_features
from litert.errors import AcceleratorError
from litert.system import machine

# In the order in which the LiteRT library looks for them.
_NAMES = ("libLiteRtGpuAccelerator.so", "libLiteRtWebGpuAccelerator.so")


def gpu_library(library: str) -> Path:
    """Return the GPU library beside a LiteRT library, if this CPU can load it.

    Args:
        library: The LiteRT library in use, as ``library_info().path`` tells it.

    Raises:
        AcceleratorError: There is none, or loading it would end the process.
    """
    path = _find(library)
    if path is None:
        raise AcceleratorError(explain_missing(f"GPU library ({_NAMES[-1]})", library))
    if machine() == "aarch64" and "atomics" not in cpu_features():
        # Seen on Cortex-A53 and A72 (Raspberry Pi 3 and 4): it dies with SIGILL while it loads.
        raise AcceleratorError(
            f"{path.name} needs a CPU with the feature 'atomics' (ARMv8.1) and would end the "
            "process on this one; use accelerator='cpu'"
        )
    return path


def gpu_problem(library: str) -> str:
    """Say why models cannot run on a GPU here and what to do; empty where they can.

    Args:
        library: The LiteRT library in use.
    """
    try:
        gpu_library(library)
    except AcceleratorError as err:
        return str(err)
    return vulkan_devices().problem


def describe_devices(found: VulkanDevices) -> str:
    """Say what there is to know about the devices, empty for nothing."""
    if not found.is_asked:
        return "Vulkan drivers are installed; no Python could be started to ask them for devices"
    if found.names and all(name.endswith(", software") for name in found.names):
        return "computed by the CPU, and slower than accelerator='cpu'"
    return ""


def _find(library: str) -> Path | None:
    paths = [Path(library).parent / name for name in _NAMES]
    return next((path for path in paths if path.is_file()), None)
