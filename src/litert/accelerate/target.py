"""What the core has to know to compile a model for an accelerator."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litert.accelerate.forked import fork_problem
from litert.accelerate.machine import require
from litert.accelerate.names import AcceleratorName
from litert.accelerate.npu import npu_devices
from litert.accelerate.openvino import openvino_folders, openvino_problem
from litert.accelerate.options import GpuOptions, NpuOptions
from litert.accelerate.vulkan import vulkan_devices, without_kind
from litert.ahead_of_time.npu_targets import VENDORS, Vendor
from litert.errors import AcceleratorError
from litert.library import library_info
from litert.unrunnable import CompiledFor

# LiteRtHwAccelerators.
CPU_BIT = 1
_BITS: dict[str, int] = {"gpu": 2, "npu": 4}


@dataclass(frozen=True, slots=True)
class Target:
    """An accelerator that is here, and how the library is told to use it. Immutable.

    Attributes:
        name: ``"gpu"`` or ``"npu"``.
        kernels: What computes there: ``"WebGPU"``, ``"OpenVINO"``.
        hardware: The accelerator's bit, with the CPU's unless the accelerator has to run all.
        devices: The devices' names.
        driver_versions: The devices' drivers', as far as they are known.
        options: Texts by the name that the library's parser looks for.
        gpu_folder: Of the GPU's library.
        compiler_folder: Of the NPU's compiler plugin; empty for a model that is compiled already.
        dispatch_folder: Of the NPU's dispatch library.
    """

    name: AcceleratorName
    kernels: str
    hardware: int
    devices: tuple[str, ...] = ()
    driver_versions: tuple[int, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    gpu_folder: str = ""
    compiler_folder: str = ""
    dispatch_folder: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Where its libraries are."""
        return self.gpu_folder, self.compiler_folder, self.dispatch_folder

    def request_arguments(self) -> dict[str, Any]:
        """Return what the core is told, by argument of its ``CompileRequest``."""
        return {
            "accelerators": self.hardware,
            # As bytes, a path may hold what is no text.
            "gpu_folder": os.fsencode(self.gpu_folder),
            "compiler_folder": os.fsencode(self.compiler_folder),
            "dispatch_folder": os.fsencode(self.dispatch_folder),
            "accelerator_options": self.options,
        }

    @property
    def bit(self) -> int:
        """The accelerator's bit alone."""
        return _BITS[self.name]


def gpu_target(options: GpuOptions, cache_lines: list[str]) -> Target:
    """Return the GPU of this machine.

    Args:
        options: The user's.
        cache_lines: What the library is told about its program cache.

    Raises:
        AcceleratorError: There is none, or none of the name asked for.
    """
    found = require("gpu")
    assert found.library is not None  # of what is available
    # The library knows nothing of the kind behind a name; where nobody was asked, it finds out.
    names = [without_kind(device) for device in found.devices]
    if options.device is not None and names and not any(map(options.is_device, names)):
        raise AcceleratorError(f"no GPU is called {options.device!r}; there is {', '.join(names)}")
    return Target(
        name="gpu",
        kernels="WebGPU",
        hardware=_BITS["gpu"] | CPU_BIT,
        devices=found.devices,
        driver_versions=vulkan_devices().driver_versions,
        options=(("gpu_options", _text(options.lines() + cache_lines)),),
        gpu_folder=os.path.dirname(found.library),
    )


def npu_target(options: NpuOptions, compiled_for: CompiledFor | None) -> Target:
    """Return the NPU of this machine.

    Args:
        options: The user's.
        compiled_for: The NPU that the model is compiled for already; None for a plain model.

    Raises:
        AcceleratorError: There is none, or its libraries are missing.
    """
    is_compiled = compiled_for is not None
    vendor = next(vendor for vendor in VENDORS if vendor.key == options.vendor)
    if compiled_for is not None and compiled_for.vendor not in ("", vendor.name):
        raise AcceleratorError(
            f"accelerator 'npu': the model is compiled for {compiled_for}, not for one of "
            f"{vendor.name}; it needs NpuOptions(vendor=..., dispatch_dir=...) on a device with it"
        )
    if options.vendor != "intel":
        return _other_vendor(vendor, options, is_compiled)
    problem = fork_problem("npu")
    if problem:
        raise AcceleratorError(f"accelerator 'npu' is not available: {problem}")
    library = library_info().path
    if options.device == "npu" and not is_compiled:
        devices = require("npu").devices
    else:
        problem = openvino_problem(library)
        if problem:
            raise AcceleratorError(f"accelerator 'npu' is not available: {problem}")
        devices = (
            _openvino_device(options) if compiled_for is None else _compiled_device(compiled_for),
        )
    compiler, dispatch = openvino_folders(library)
    if options.dispatch_dir is not None:
        dispatch = _dispatch_folder(vendor, options.dispatch_dir)
        _check_dispatch_libraries(dispatch)
    return Target(
        name="npu",
        kernels="OpenVINO",
        hardware=_BITS["npu"] | CPU_BIT,
        devices=devices,
        options=() if is_compiled else (("intel_openvino", _text(options.lines())),),
        compiler_folder="" if is_compiled else str(compiler),
        dispatch_folder=str(dispatch),
    )


def _openvino_device(options: NpuOptions) -> str:
    return f"OpenVINO's {options.device.upper()} device"


def _compiled_device(compiled_for: CompiledFor) -> str:
    """Say which device a compiled model has: its stamp is the same for all of OpenVINO's."""
    if npu_devices():
        return f"the device of {compiled_for}, as it was compiled"
    return (
        f"OpenVINO's CPU or GPU device, as it was compiled: it is for {compiled_for}, but no Intel "
        "NPU is here"
    )


def _other_vendor(vendor: Vendor, options: NpuOptions, is_compiled: bool) -> Target:
    if options.dispatch_dir is None:
        raise AcceleratorError(
            f"accelerator 'npu': {vendor.name}'s dispatch library is in no package for Linux; give "
            "NpuOptions(dispatch_dir=...) the folder that holds the vendor's libLiteRtDispatch"
        )
    folder = _dispatch_folder(vendor, options.dispatch_dir)
    if not is_compiled:
        raise AcceleratorError(
            f"accelerator 'npu': models for {vendor.name}'s NPU are compiled ahead of time: "
            f"litert-native compile MODEL --target {vendor.key}:CHIP -o OUT"
        )
    _check_dispatch_libraries(folder)
    return Target(
        name="npu",
        kernels=vendor.name,
        hardware=_BITS["npu"] | CPU_BIT,
        dispatch_folder=str(folder),
    )


def _dispatch_folder(vendor: Vendor, given: str | os.PathLike[str]) -> Path:
    # Of a library without a folder in its name, the loader looks everywhere but in this one.
    folder = Path(os.path.abspath(given))
    if not any(folder.glob("libLiteRtDispatch*.so")):
        raise AcceleratorError(
            f"accelerator 'npu': {str(folder)!r} holds no libLiteRtDispatch*.so, {vendor.name}'s "
            "dispatch library"
        )
    return folder


def _check_dispatch_libraries(folder: Path) -> None:
    """Raise unless they load: release 2.1.6 ends the process over one that does not."""
    for path in sorted(folder.glob("libLiteRtDispatch*.so")):
        try:
            ctypes.CDLL(str(path), mode=os.RTLD_LAZY)
        except OSError as err:
            raise AcceleratorError(
                f"accelerator 'npu': Could not load shared library {path}: {err}"
            ) from err


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
