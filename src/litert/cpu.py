"""What the operating system tells about the CPU."""

from __future__ import annotations

import functools
import os
import platform
import re
from pathlib import Path

# What XNNPACK has kernels for and what litert-lm-api's library needs, as /proc/cpuinfo names it.
_FEATURES = (
    *("sse2", "ssse3", "sse4_1", "sse4_2", "popcnt", "aes", "pclmulqdq", "avx", "f16c", "fma"),
    *("avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8"),
    *("neon", "asimd", "sha2", "crc32", "atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc"),
    *("asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2"),
)
_CGROUP = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


def cpu_model() -> str:
    """Return the CPU's name as far as it has one."""
    for field in ("model name", "Model", "Hardware"):
        value = _cpuinfo(field)
        if value:
            return value
    return platform.processor() or platform.machine() or "not known"


def cpu_features() -> list[str]:
    """Return the instruction sets that matter to kernels, as the kernel names them."""
    present = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return [feature for feature in _FEATURES if feature in present]


def num_usable_cores() -> int:
    """Return on how many cores this process gets to run at once, by affinity and cgroup."""
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    quota = _cgroup_quota()
    return usable if quota is None else max(1, min(usable, int(quota)))


def num_physical_cores() -> int:
    """Return on how many physical cores this process gets to run at once, at least 1.

    Like ``num_usable_cores``, with the hardware threads of a core counted once. Where the system
    does not tell which belong together, each counts as a core.
    """
    if hasattr(os, "sched_getaffinity"):
        return _count_physical_cores(frozenset(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def usable_cores() -> str:
    """Say on how many cores this process may run, and how much of them it gets."""
    total = os.cpu_count() or 0
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    text = f"{usable} of {total}" if usable != total else str(total)
    quota = _cgroup_quota()
    if quota is not None and quota < usable:
        text += f", limited by the cgroup to the time of {quota:g}"
    return text


@functools.lru_cache(maxsize=64)
def _count_physical_cores(cpus: frozenset[int]) -> int:
    """Count the cores of an affinity set, as far as the cgroup's quota reaches.

    Kept by affinity set, since every model that is loaded may ask.
    """
    cores = {_siblings(cpu) for cpu in cpus}
    quota = _cgroup_quota()
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def _siblings(cpu: int) -> str:
    """Return the hardware threads of a CPU's core, itself where that is not told."""
    text = _read(_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").strip()
    return text or str(cpu)


def _cpuinfo(field: str) -> str:
    found = re.search(rf"^{field}\s*:\s*(.*)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    return found[1].strip() if found is not None else ""


def _cgroup_quota() -> float | None:
    """Return the cores' worth of time that the cgroups allow, None for no limit."""
    limits = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, read = _CGROUP, _quota_v2
        elif "cpu" in controllers.split(","):
            root, read = _CGROUP / "cpu", _quota_v1
        else:
            continue
        folder = root / group.lstrip("/")
        # In a container the path may be the host's; the root then is the container's group.
        for candidate in (folder, *folder.parents):
            if candidate != root and root not in candidate.parents:
                break
            limits.append(read(candidate))
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def _quota_v2(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.max").split())


def _quota_v1(folder: Path) -> float | None:
    return _ratio([_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")])


def _ratio(numbers: list[str]) -> float | None:
    """Divide quota by period; "max" and -1 stand for no limit."""
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return None
    quota, period = map(int, numbers)
    return quota / period if period else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
