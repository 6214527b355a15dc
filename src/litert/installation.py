"""Which wheel of litert-native is installed, and why it has no extension module for this Python."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from litert.system import is_arm_32, is_free_threaded, libc_name, machine, python_name

PURE_TAG = "py3-none-any"

_FOLDER = Path(__file__).resolve().parent

# The minor versions of CPython 3 that have a native wheel.
_MINORS = range(10, 15)
_MINORS_FREE_THREADED = range(13, 15)
_MINORS_ARM_32 = (11, 13)


def wheel_tags() -> list[str]:
    """Return the tags of the wheel that this package was installed from, none for a folder."""
    try:
        distribution = importlib.metadata.distribution("litert-native")
    except importlib.metadata.PackageNotFoundError:
        return []
    return re.findall(r"^Tag:\s*(\S+)", distribution.read_text("WHEEL") or "", re.MULTILINE)


def has_extension() -> bool:
    """Whether there is an extension file for this Python, be it one that loads or not."""
    return not _extension_files().isdisjoint(f"_native{suffix}" for suffix in EXTENSION_SUFFIXES)


@functools.cache
def explain_missing_extension(failure: str) -> str:
    """Say why the extension module cannot be imported and what to do, without a full stop.

    Args:
        failure: What the import said.
    """
    if has_extension():
        return f"the extension module litert._native does not load: {failure}{_remedy(failure)}"
    names = _extension_files()
    if not names and PURE_TAG in wheel_tags():
        return _explain_pure_wheel()
    reason = f"there is no extension module litert._native for {python_name()}"
    if names:
        reason += f", only {', '.join(sorted(names))}"
    return f"{reason}; reinstall litert-native with this Python"


def _extension_files() -> set[str]:
    return {path.name for path in _FOLDER.glob("_native*.so")}


def _remedy(failure: str) -> str:
    if "GLIBC" in failure:
        return f"; this system's C library ({libc_name()}) is too old for it, use a newer system"
    if "interpreter" in failure:
        return ""  # an interpreter that is not the main one, which no other wheel would change
    return "; reinstall litert-native with this Python"


def _explain_pure_wheel() -> str:
    what = f"this is the pure-Python wheel of litert-native ({PURE_TAG}), which has no native core"
    here = f"{python_name()} on {platform.system().lower()} {machine()}"
    if _has_native_wheel():
        return (
            f"{what}, though there is a native wheel for {here}: pip install --upgrade pip, then "
            "pip install --force-reinstall litert-native"
        )
    reason = f"{what}; pip took it since no native wheel fits {here}"
    if sys.platform != "linux":
        return f"{reason}: the native core is for Linux"
    return (
        f"{reason}; with a C++20 compiler this builds one: "
        "pip install --force-reinstall --no-binary litert-native litert-native"
    )


def _has_native_wheel() -> bool:
    """Whether this system is one of those that native wheels are published for."""
    if sys.platform != "linux" or platform.python_implementation() != "CPython":
        return False
    if not libc_name().startswith("glibc") or sys.version_info.major != 3:
        return False
    minor = sys.version_info.minor
    if is_arm_32():
        return machine() != "armv6l" and minor in _MINORS_ARM_32 and not is_free_threaded()
    if machine() not in ("x86_64", "aarch64"):
        return False
    return minor in (_MINORS_FREE_THREADED if is_free_threaded() else _MINORS)
