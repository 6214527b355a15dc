"""What the library's log tells of a compilation: which operators went where, and why not.

No call of the library tells it. The lines are of LiteRT 2.1.6 to 2.3.0.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from litert.ahead_of_time.compiler_failure import count_operators

# Of the GPU's delegate; it says nothing where it takes all.
_UNSUPPORTED = "Following operations are not supported by GPU delegate:"
_SHARE = re.compile(
    r"^(No|\d+) operations will run on the GPU, and (?:all|the remaining) (\d+) ", re.MULTILINE
)
_OPERATOR = re.compile(r"^([A-Z][A-Z0-9_]*): ([^.\n]*(?:\.\d[^.\n]*)*)\.?", re.MULTILINE)
_GPU_USED = "Initializing WebGPU-based API from"  # the graph, or the program cache
_ADAPTER = re.compile(r"Selected adapter: ([^,\n]+)")
_PLUGIN_APPLIED = re.compile(r"[1-9]\d* compiler plugins were applied successfully")

# A compiler plugin that does not load is no error to the library.
_FAILURES = re.compile(
    r"^(?:(?:ERROR|[EF]\d{4}|Error)\b|WARNING: \[\S*\] Failed to (?:load|apply) )"
)
_PREFIX = re.compile(
    r"^(?:(?:ERROR|WARNING|INFO):\s*|[EFWI]\d{4} [\d:.]+\s+\d+ )?"
    r"(?:\[?[\w./]+\.(?:cc|h|cpp):\d+\]\s*)?"
)
# A line that goes on with the cause of the one before, which ends with where it was found.
_CAUSE = "\u2514 "
_SOURCE = re.compile(r"\s*ERROR: \[[^\]]*\]$")
# All that is said of a compiler plugin that threw: the library drops the exception's text.
_PLUGIN_FAILED = re.compile(r"^Plugin errs: (.*\S)\s+ERROR: \[[^\]]*\]$")
_FAILED_SILENTLY = r"\1 failed in compiling it, and does not say why"


@dataclass(frozen=True, slots=True)
class Taken:
    """How much of a graph an accelerator took. Immutable.

    Attributes:
        num_operators: How many operators; None where the log does not say, though some were.
        num_total: Of how many; None where the log does not say. The GPU's tells it of the subgraphs
            alone that it does not take as a whole.
        num_partitions: In how many parts.
        reasons: Why the others were not: ``"3 CONV_2D: Tensor type(INT16) is not supported"``.
        device: The device's name, empty where it is not told.
    """

    num_operators: int | None
    num_total: int | None
    num_partitions: int
    reasons: tuple[str, ...] = ()
    device: str = ""


def read_gpu_log(log: str) -> Taken:
    """Read the log of a compilation for GPU and CPU."""
    adapter = _ADAPTER.search(log)
    device = adapter[1] if adapter is not None else ""
    num_partitions = log.count(_GPU_USED)
    # One section for each subgraph that is not taken as a whole.
    _, *sections = log.split(_UNSUPPORTED)
    if not sections:
        return Taken(None if num_partitions else 0, None, num_partitions, (), device)
    shares = [_SHARE.search(section) for section in sections]
    refused: Counter[tuple[str, str]] = Counter()
    for section, share in zip(sections, shares, strict=True):
        refused.update(
            _OPERATOR.findall(section, 0, len(section) if share is None else share.end())
        )
    reasons = tuple(f"{count} {name}: {why}" for (name, why), count in refused.items())
    numbers = [(share[1], int(share[2])) for share in shares if share is not None]
    if len(numbers) < len(sections):  # the library cuts long messages
        return Taken(None if num_partitions else 0, None, num_partitions, reasons, device)
    taken = sum(0 if some == "No" else int(some) for some, _ in numbers)
    rest = sum(others for _, others in numbers)
    return Taken(taken, taken + rest, num_partitions, reasons, device)


def read_npu_log(log: str) -> Taken:
    """Read the log of a compilation for NPU and CPU."""
    if _PLUGIN_APPLIED.search(log) is None:
        return Taken(0, None, 0)
    return Taken(*count_operators(log.splitlines()))


def failures(lines: tuple[str, ...] | list[str]) -> list[str]:
    """Return what the log's lines say of a failure, without time, file and level; each once."""
    found: list[str] = []
    may_go_on = False
    for line in lines:
        if may_go_on and line.startswith(_CAUSE):
            what = _SOURCE.sub("", found[-1]).rstrip(": ")
            found[-1] = f"{what}: {line.removeprefix(_CAUSE).strip()}"
            continue
        text = _PREFIX.sub("", line).strip() if _FAILURES.match(line) else ""
        may_go_on = bool(text)
        if text:
            found.append(text)
    told = (_PLUGIN_FAILED.sub(_FAILED_SILENTLY, text).removesuffix(".") for text in found)
    return list(dict.fromkeys(filter(None, told)))
