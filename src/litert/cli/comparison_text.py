"""The comparison of variants of a model, as a table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from litert.agreement import Agreement
from litert.comparison import Variant
from litert.printing import aligned, printable, size

_MAX_COLUMNS = 80
_MIN_NAME = 12
_HEADER = ("", "model", "size", "median", "ratio", "memory", "diff", "cosine", "top")
_NAME = _HEADER.index("model")
_LEGEND = (
    "median of the runs ± half the distance between the quartiles; ratio of the medians; memory "
    "that the model takes at most; largest difference from the outputs of 1, of their largest "
    "value; how often the largest score is the same"
)


def comparison_table(variants: Sequence[Variant]) -> Iterator[str]:
    """Yield the lines of the table, what its columns mean, and a note for each slow variant.

    The lines have 80 columns at most, unless a value is uncommonly long; names give way first.
    """
    is_long = min(variant.latency.median_us for variant in variants) >= 1e3
    unit, divisor = ("ms", 1e3) if is_long else ("us", 1.0)
    header = [f"{title}, {unit}" if title == "median" else title for title in _HEADER]
    rows = [header]
    for number, variant in enumerate(variants, 1):
        median = variant.latency.median_us / divisor
        digits = 1 if median >= 100 else 2
        memory = variant.peak_memory_bytes
        rows.append(
            [
                *(str(number), printable(_name(variant.path)), size(variant.size_bytes)),
                f"{median:.{digits}f} ±{variant.spread_us / divisor:.{digits}f}",
                f"{variant.time_ratio:.2f}",
                "n/a" if memory is None else size(memory),
                *_agreement_cells(variant.agreement),
            ]
        )
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    others = aligned([[*row[:_NAME], "", *row[_NAME + 1 :]] for row in rows], _right(rows))
    columns = max(_MIN_NAME, _MAX_COLUMNS - max(map(len, others)))
    for row in rows:
        row[_NAME] = cut_middle(row[_NAME], columns)
    yield from aligned(rows, _right(rows))
    yield ""
    yield from textwrap.wrap(_LEGEND, _MAX_COLUMNS)
    notes = [(number, variant.note) for number, variant in enumerate(variants, 1) if variant.note]
    if notes:
        yield ""
    for number, note in notes:
        yield from textwrap.wrap(
            printable(note), _MAX_COLUMNS, initial_indent=f"{number}  ", subsequent_indent="   "
        )


def cut_middle(text: str, columns: int) -> str:
    """Cut a text that is too long, keeping more of its end: there the names of variants differ."""
    if len(text) <= columns:
        return text
    head = (columns - 1) // 5
    return f"{text[:head]}…{text[len(text) - (columns - 1 - head) :]}"


def _name(path: str) -> str:
    return Path(path).name.removesuffix(".tflite")


def _right(rows: Sequence[Sequence[str]]) -> range:
    return range(_NAME + 1, len(rows[0]))


def _agreement_cells(agreed: Agreement | None) -> tuple[str, str, str]:
    if agreed is None:
        return "", "", ""
    top = agreed.num_same_top
    return (
        _share(agreed.difference),
        "n/a" if math.isnan(agreed.cosine) else f"{agreed.cosine:.5f}",
        "" if top is None else f"{top}/{agreed.num_inputs}",
    )


def _share(value: float) -> str:
    if 0 < value < 1e-4:
        return "<0.01%"
    return "0" if value == 0 else f"{value:.2%}"
