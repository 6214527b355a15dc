"""Which Vulkan devices there are, asked without loading a driver into this process."""

from __future__ import annotations

import functools
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 10.0
_MARK = "litert-vulkan: "

# What the loader is told to use, or to use as well; each a list of files and folders.
_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
_MANIFEST_ROOTS = ("/usr/local/etc", "/usr/local/share", "/etc/xdg", "/etc", "/usr/share")

# VkPhysicalDeviceType
_KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}

_INSTALL_DRIVER = (
    "install the GPU's Vulkan driver (Debian and Ubuntu: apt install mesa-vulkan-drivers for AMD "
    "and Intel; NVIDIA's driver brings its own)"
)


@dataclass(frozen=True, slots=True)
class VulkanDevices:
    """What the Vulkan loader finds here. Immutable.

    Attributes:
        names: The devices with their kind: ``"SwiftShader Device (Subzero), software"``.
        problem: Why there is none, and what to do; empty where there is one, or may be one.
        is_asked: Whether the loader was asked; else there are drivers, and nobody tried them.
        driver_versions: Of each device, as its driver counts them.
    """

    names: tuple[str, ...] = ()
    problem: str = ""
    is_asked: bool = True
    driver_versions: tuple[int, ...] = ()


def vulkan_devices() -> VulkanDevices:
    """Return the Vulkan devices, asked once for each setting of the loader's variables.

    A Python of its own asks, since drivers may crash or hang. Where no Python can be started, as
    in a program that embeds it, the drivers' manifests are looked for and none is tried.
    """
    return _devices_with(tuple(os.environ.get(name) for name in _VARIABLES))


@functools.lru_cache(maxsize=16)
def _devices_with(variables: tuple[str | None, ...]) -> VulkanDevices:
    """Ask for the devices; ``variables`` are those of the environment, to tell answers apart."""
    try:
        source = pkgutil.get_data("litert.accelerate", "_vulkan_probe.py")
    except OSError:
        source = None  # a package without its sources
    python = _find_python()
    if not python or source is None:
        return _guess()
    # Isolated: neither the current folder nor what the user added may stand in for a module.
    command = [python, "-I", "-S", "-c", source.decode()]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _failed(f"its drivers did not answer within {_TIMEOUT_S:g} s")
    except OSError:
        return _guess()
    if done.returncode < 0:
        return _failed(f"a driver ended the process that asked with {_name(-done.returncode)}")
    return _read_answer(done.stdout.decode(errors="replace"), done.returncode)


def _read_answer(text: str, status: int) -> VulkanDevices:
    """Read the probe's line, among what drivers print."""
    for line in text.splitlines():
        if not line.startswith(_MARK):
            continue
        try:
            answer = json.loads(line.removeprefix(_MARK))
            if "failure" in answer:
                return _failed(str(answer["failure"]))
            names = tuple(_describe(*device[:2]) for device in answer["devices"])
            versions = tuple(int(device[2]) for device in answer["devices"] if len(device) > 2)
        except (ValueError, TypeError, KeyError, AttributeError):
            break
        if not names:
            return _failed("driver")
        return VulkanDevices(names, driver_versions=versions)
    return _failed(f"the process that asked gave no answer (exit status {status})")


def without_kind(name: str) -> str:
    """Return a device's name as its driver gives it."""
    return next(
        (name.removesuffix(f", {kind}") for kind in _KINDS.values() if name.endswith(f", {kind}")),
        name,
    )


def _describe(name: Any, kind: Any) -> str:
    known = _KINDS.get(kind)
    return f"{name}, {known}" if known else str(name)


def _failed(failure: str) -> VulkanDevices:
    """Say why there is no device; ``loader`` and ``driver`` stand for what is missing."""
    if failure == "loader":
        return VulkanDevices(
            problem="no Vulkan loader (libvulkan.so.1): install it (Debian and Ubuntu: apt install "
            f"libvulkan1), then {_INSTALL_DRIVER}"
        )
    if failure != "driver":
        return VulkanDevices(
            problem=f"no Vulkan device: {failure}; update the GPU's driver, or choose another one "
            "with VK_DRIVER_FILES"
        )
    return VulkanDevices(problem=f"no Vulkan device: {_explain_no_driver()}")


def _explain_no_driver() -> str:
    given = [name for name in _VARIABLES[:2] if os.environ.get(name)]
    if given:
        return (
            f"{given[0]}={os.environ[given[0]]} names no driver that loads; correct it, or unset "
            "it to use those that are installed"
        )
    if os.path.exists("/dev/nvidiactl"):
        return (
            "the loader finds no driver for the NVIDIA GPU; in a container, start it with "
            "NVIDIA_DRIVER_CAPABILITIES=all, else install all of NVIDIA's driver"
        )
    for node in sorted(Path("/dev/dri").glob("render*")):
        if not os.access(node, os.R_OK | os.W_OK):
            return (
                f"this user has no access to {node}: add the user to the group that it belongs to "
                "(render or video) and log in again"
            )
    return f"the loader finds no driver that works; {_INSTALL_DRIVER}"


def _guess() -> VulkanDevices:
    """Tell by the drivers' manifests alone; the run on a device shows whether one works."""
    if any(_manifests()):
        return VulkanDevices(is_asked=False)
    return _failed("driver")


def _manifests() -> Iterator[bool]:
    """Yield for each place of manifests whether it has one."""
    chosen = [name for name in _VARIABLES[:2] if os.environ.get(name)]
    for name in chosen[:1] or _VARIABLES[2:]:
        for place in filter(None, os.environ.get(name, "").split(os.pathsep)):
            yield os.path.isfile(place) or any(Path(place).glob("*.json"))
    if chosen:
        return  # nothing else counts then
    home = Path(os.path.expanduser("~"))
    for root in (home / ".config", home / ".local/share", *map(Path, _MANIFEST_ROOTS)):
        yield any((root / "vulkan" / "icd.d").glob("*.json"))


def _find_python() -> str:
    """Return a Python to start; ``sys.executable`` may be a program that embeds it, or none."""
    if not getattr(sys, "frozen", False) and _is_python(sys.executable):
        return sys.executable
    version = ".".join(map(str, sys.version_info[:2]))
    for folder in (sys.exec_prefix, sys.base_exec_prefix):
        for name in (f"python{version}", "python3"):
            path = os.path.join(folder, "bin", name)
            if os.access(path, os.X_OK):
                return path
    return ""


def _is_python(path: str | None) -> bool:
    return bool(path and re.match(r"(python|pypy)[\d.]*(t|d|td|-dbg)?$", os.path.basename(path)))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
