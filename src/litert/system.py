"""What this system is, and which package with a LiteRT library is built for it."""

from __future__ import annotations

import platform
import sys
import sysconfig

LIBRARY_REQUIREMENT = "ai-edge-litert>=2.1.6,<3"

_ARM_32 = ("armv6l", "armv7l", "armv8l")


def is_32_bit() -> bool:
    """Whether this Python is a 32-bit program, which it may be on a 64-bit kernel."""
    return sys.maxsize < 2**32


def machine() -> str:
    """Return the architecture that this Python is built for: ``"aarch64"``, ``"armv7l"``."""
    name = platform.machine()
    if is_32_bit():
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(name, name)
    return name


def is_arm_32() -> bool:
    """Whether this Python is built for 32-bit ARM."""
    return machine() in _ARM_32


def is_free_threaded() -> bool:
    """Whether this Python is built to run without a GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def python_name() -> str:
    """Return what wheels have to fit: ``"CPython 3.14"``, ``"free-threaded CPython 3.14"``."""
    version = ".".join(map(str, sys.version_info[:2]))
    name = f"{platform.python_implementation()} {version}"
    return f"free-threaded {name}" if is_free_threaded() else name


def libc_name() -> str:
    """Return the C library: ``"glibc 2.36"``, empty where it is not known."""
    return " ".join(platform.libc_ver()).strip()


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, as far as they are plain: 2.10.0rc1 is (2, 10)."""
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def is_old_for_ai_edge_litert() -> bool:
    """Whether the C library is older than the one that ai-edge-litert's library is linked to.

    On 64-bit ARM that library needs glibc 2.34 in spite of its wheel's tag manylinux_2_27.
    """
    libc, version = platform.libc_ver()
    return machine() == "aarch64" and libc == "glibc" and version_numbers(version) < (2, 34)


def obstacle_to_litert() -> str:
    """Say why neither ai-edge-litert nor litert-lm-api has a wheel here, empty where one has."""
    if sys.platform != "linux":
        return ""
    if not libc_name().startswith("glibc"):
        return "its wheels are built for glibc"
    if machine() not in ("x86_64", "aarch64"):
        return f"it has no wheel for {machine()}"
    return ""


def obstacle_to_ai_edge_litert() -> str:
    """Say why ai-edge-litert has no wheel here, empty where it has one."""
    if is_free_threaded():
        return "it has no wheel for free-threaded Python"
    return obstacle_to_litert()


def how_to_get_library(is_lm_tried: bool = False) -> str:
    """Say what to install so that models can be run, without a full stop.

    Args:
        is_lm_tried: Whether litert-lm-api is no way out.
    """
    if not obstacle_to_ai_edge_litert():
        return f"pip install '{LIBRARY_REQUIREMENT}'"
    if not obstacle_to_litert():
        if is_lm_tried:
            return "use a Python with the GIL, for which ai-edge-litert has a wheel"
        return "ai-edge-litert has no wheel for free-threaded Python: pip install litert-lm-api"
    if is_arm_32():
        return (
            "no package has a library for 32-bit ARM; models run on the reference backend with "
            f"{_tflite_runtime()}"
        )
    return (
        f"no package has a library for {machine()} with {libc_name() or 'this C library'}; set "
        "LITERT_LIBRARY to a libLiteRt.so that is built for it, or use another system"
    )


def how_to_get_interpreter() -> str:
    """Say what the reference backend needs here, without a full stop."""
    obstacle = obstacle_to_ai_edge_litert()
    if not obstacle:
        return f"ai-edge-litert: pip install '{LIBRARY_REQUIREMENT}'"
    return _tflite_runtime() if is_arm_32() else f"ai-edge-litert, but {obstacle}"


def _tflite_runtime() -> str:
    pip = "pip install tflite-runtime"
    if sys.version_info >= (3, 12):
        pip = f"for Python 3.11 or older: {pip}"
    return f"tflite-runtime ({pip})"
