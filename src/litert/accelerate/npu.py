"""Whether models can run on an NPU here: Intel's, through OpenVINO."""

from __future__ import annotations

import os
from pathlib import Path

from litert.accelerate.openvino import openvino_problem

_ACCEL = Path("/sys/class/accel")
_DEV = Path("/dev/accel")
_INTEL = "0x8086"
_DRIVER = "intel_vpu"

# PCI device numbers that the driver intel_vpu knows.
_CHIPS = {
    "0x7d1d": "Meteor Lake",
    "0xad1d": "Arrow Lake",
    "0x643e": "Lunar Lake",
    "0xb03e": "Panther Lake",
}

OPENVINO_CPU = 'NpuOptions(device="cpu") runs models on OpenVINO\'s CPU device, for tests'


def npu_devices() -> tuple[str, ...]:
    """Return the Intel NPUs that the kernel drives: ``"Intel NPU, Lunar Lake"``."""
    return tuple(_describe(folder / "device") for folder in _npu_folders())


def npu_problem(library: str) -> str:
    """Say why models cannot run on an NPU here and what to do; empty where they can.

    Args:
        library: The LiteRT library in use.
    """
    problem = openvino_problem(library)
    if problem:
        return problem
    folders = _npu_folders()
    if not folders:
        return (
            "no NPU device: the kernel drives no Intel NPU (/sys/class/accel has none with the "
            "driver intel_vpu)"
        )
    node = _DEV / folders[0].name
    if not node.exists():
        return f"no NPU device: {node} is missing; in a container, start it with --device {node}"
    if not os.access(node, os.R_OK | os.W_OK):
        return (
            f"no NPU device: this user has no access to {node}; add the user to the group that it "
            "belongs to (render) and log in again"
        )
    return ""


def _npu_folders() -> list[Path]:
    """Return the kernel's folders of Intel NPUs."""
    return [
        folder
        for folder in sorted(_ACCEL.glob("accel*"))
        if _read(folder / "device" / "vendor") == _INTEL
        and os.path.basename(os.path.realpath(folder / "device" / "driver")) == _DRIVER
    ]


def _describe(device: Path) -> str:
    number = _read(device / "device")
    return f"Intel NPU, {_CHIPS.get(number, f'PCI device {number}')}"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
