"""A profile as text."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from litert.printing import aligned, count, printable, size

if TYPE_CHECKING:
    from litert.profiling.profile import Profile
    from litert.profiling.rows import KindProfile, OperatorProfile

_MAX_COLUMNS = 80
_GAP = 2
_LEAST_NAME = 16


def as_table(profile: Profile, max_rows: int) -> str:
    """Return the report of ``Profile.table``."""
    lines, most = _header(profile), max(0, max_rows)
    kinds, operators = profile.by_kind, profile.operators
    if len(kinds) < len(operators):
        lines += ["", *_kinds(kinds, most)]
    if operators:
        lines += ["", *_operators(operators, most)]
    return "\n".join(lines)


def place_of(operator: OperatorProfile) -> str:
    """Say where an operator is: ``"n7"``, ``"p0.7"`` in a part on XNNPACK, ``"s1:n7"``."""
    subgraph = f"s{operator.subgraph}:" if operator.subgraph else ""
    part = "n" if operator.partition is None else f"p{operator.partition}."
    return f"{subgraph}{part}{operator.node}"


def shortened(name: str, length: int) -> str:
    """Cut a name in its middle: both the operator's name and its kernel's say something."""
    text = printable(name)
    if len(text) <= length:
        return text
    head = (length - 3) * 2 // 3
    return f"{text[:head]}...{text[len(text) - (length - 3 - head) :]}"


def _header(profile: Profile) -> list[str]:
    if not profile.num_runs:
        why = (
            "one has more events than the library keeps"
            if profile.is_full
            else "run the model inside the block, beyond its warm-up"
        )
        lines = [f"no runs were recorded: {why}"]
    else:
        runs_us = profile.runs_us
        lines = [
            f"{count(profile.num_runs, 'run')} on {count(profile.num_threads, 'thread')}: "
            f"mean {profile.run_us:,.1f} us, median {statistics.median(runs_us):,.0f}, "
            f"min {min(runs_us):,}, max {max(runs_us):,}"
        ]
        parts = [
            f"{row.kernels} {row.share:.1%}"
            + (f" ({count(row.num_operators, 'operator')})" if row.kernels != "other" else "")
            for row in profile.placement
        ]
        lines.append(", ".join(parts))
    if profile.is_full and profile.num_runs:
        lines.append("more events than the library keeps: only the first runs are counted")
    memory = profile.memory
    if memory is not None:
        peak = f"peak {size(memory.peak_bytes)}" if memory.is_peak_of_block else "no new peak"
        lines.append(
            f"memory {size(memory.before_bytes)} before, {size(memory.after_bytes)} after, "
            f"{peak} (recording: up to 70 MB)"
        )
    return [part for line in lines for part in textwrap.wrap(line, _MAX_COLUMNS)]


def _kinds(kinds: tuple[KindProfile, ...], max_rows: int) -> list[str]:
    cells = [("kind", "kernels", "operators", "calls", "us", "share")]
    cells += [
        (
            kind.name,
            kind.kernels,
            f"{kind.num_operators:,}",
            _calls(kind.num_calls),
            *_times([kind]),
        )
        for kind in kinds[:max_rows]
    ]
    others = kinds[max_rows:]
    if others:
        num_operators = sum(kind.num_operators for kind in others)
        cells.append((f"and {len(others)} more", "", f"{num_operators:,}", "", *_times(others)))
    return _fitted(cells, right=(2, 3, 4, 5))


def _operators(operators: tuple[OperatorProfile, ...], max_rows: int) -> list[str]:
    cells = [("operator", "kernels", "place", "calls", "us", "share")]
    cells += [
        (
            operator.name,
            operator.kernels,
            place_of(operator),
            _calls(operator.num_calls),
            *_times([operator]),
        )
        for operator in operators[:max_rows]
    ]
    others = operators[max_rows:]
    if others:
        cells.append((f"and {len(others)} more", "", "", "", *_times(others)))
    return _fitted(cells, right=(3, 4, 5))


def _calls(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _times(rows: Sequence[OperatorProfile] | Sequence[KindProfile]) -> tuple[str, str]:
    """Return the microseconds and the share of all rows together."""
    return f"{sum(row.run_us for row in rows):,.1f}", f"{sum(row.share for row in rows):.1%}"


def _fitted(cells: Sequence[tuple[str, ...]], right: Sequence[int]) -> list[str]:
    """Align the cells; the names, in the first column, give way to the width of the report."""
    used = sum(max(map(len, column)) + _GAP for column in list(zip(*cells, strict=True))[1:])
    room = max(_LEAST_NAME, _MAX_COLUMNS - used)
    return aligned([(shortened(name, room), *rest) for name, *rest in cells], right=right)
