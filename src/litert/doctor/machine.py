"""The CPU, the system, and what computes."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from litert.accelerate.machine import Accelerator, list_accelerators
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


def examine_accelerators(core: Sequence[Finding]) -> list[Finding]:
    """Tell what models may run on; that there is no GPU or NPU is no fault.

    Args:
        core: What was found of the core: it was tried in a process of its own, so the library is
            not loaded here.
    """
    found = {finding.name: finding for finding in core}
    is_loaded = "library choice" in found
    library = found["library path"].value if is_loaded else ""
    backend, _, rest = found["backend"].value.partition(": ")
    offered = list_accelerators(library, cpu_problem=rest if backend == "none" else "")
    return [Finding("accelerators", one.name, _describe(one)) for one in offered]


def _describe(accelerator: Accelerator) -> str:
    if accelerator.available:
        return "; ".join(filter(None, (*accelerator.devices, accelerator.details)))
    told = "; ".join(filter(None, (accelerator.reason, accelerator.details)))
    return f"not available: {told}"


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
