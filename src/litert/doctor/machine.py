"""The CPU, the system, and what computes."""

from __future__ import annotations

import platform

from litert.cpu import cpu_features, cpu_model, usable_cores
from litert.doctor.finding import Finding
from litert.system import is_32_bit, is_old_for_ai_edge_litert, libc_name, version_numbers


def examine_machine(is_library_loaded: bool) -> list[Finding]:
    """Look at the CPU, the system and its C library.

    Args:
        is_library_loaded: Whether a library was found to load, whatever the C library.
    """
    section = "machine"
    bits = " (32-bit Python)" if is_32_bit() else ""
    return [
        Finding(section, "CPU", cpu_model()),
        Finding(section, "features", " ".join(cpu_features()) or "not known"),
        Finding(section, "cores", usable_cores()),
        Finding(section, "system", f"{platform.system()} {platform.machine()}{bits}"),
        Finding(section, "C library", libc_name() or "not known", _judge_libc(is_library_loaded)),
    ]


def examine_accelerators() -> list[Finding]:
    """Tell what models may run on in this release."""
    section = "accelerators"
    return [
        Finding(section, "cpu", "XNNPACK"),
        Finding(section, "gpu", "not used by this release"),
        Finding(section, "npu", "not used by this release"),
    ]


def _judge_libc(is_library_loaded: bool) -> str:
    libc, version = platform.libc_ver()
    if libc != "glibc":
        return (
            "the library is built for glibc 2.27 or later, and messages of the library on "
            "stderr are caught with glibc alone"
        )
    if version_numbers(version) < (2, 27):
        return "the library needs glibc 2.27 or later; use a newer system"
    if is_old_for_ai_edge_litert() and not is_library_loaded:
        return (
            "on 64-bit ARM ai-edge-litert's library needs glibc 2.34, in spite of its wheel's tag "
            "manylinux_2_27; pip install litert-lm-api, whose library needs glibc 2.27, or use a "
            "newer system"
        )
    return ""
