"""Measure everything and write the README's table.

python benchmarks/report.py                    measure, print the table
python benchmarks/report.py --json FILE        keep what was measured
python benchmarks/report.py --from FILE        write the table of an earlier run
python benchmarks/report.py -k mobilenet       only some, as pytest's -k
python benchmarks/report.py --write README.md  put the table where the file has its place
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
Row = dict[str, Any]

_MARK_START, _MARK_END = "<!-- benchmark table -->", "<!-- /benchmark table -->"

_HEADER = ("work", "ours", "peer", "peer's", "ours / peer", "bar", "")


def measure(to: Path, keyword: str | None) -> int:
    """Run the benchmarks in a process of its own; returns pytest's exit status."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER)),
        *("-o", "python_files=bench_*.py", "--benchmark-disable-gc", "--benchmark-quiet"),
        *(f"--benchmark-json={to}", "--benchmark-columns=median,iqr"),
        *(["-k", keyword] if keyword else []),
    ]
    # What it prints goes to stderr: stdout is the table.
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


def as_markdown(measured: dict[str, Any]) -> str:
    """Return the table and what stands under it."""
    groups: dict[str, dict[str, Row]] = {}
    for row in measured["benchmarks"]:
        groups.setdefault(row["group"], {})[row["extra_info"]["peer"]] = row
    lines = [_line(_HEADER), _line("---" for _ in _HEADER)]
    for group, rows in groups.items():
        lines += [_line(cells) for row in rows.values() for cells in _cells(group, row, rows)]
    return "\n".join([*lines, "", _conditions(measured)]) + "\n"


def _cells(group: str, row: Row, rows: dict[str, Row]) -> Iterable[tuple[str, ...]]:
    info = row["extra_info"]
    if "growth_bytes" in info:
        growth, limit = info["growth_bytes"], info["growth_limit_bytes"]
        yield (
            *(group, f"{growth / 1024:+.0f} KiB", "", "", ""),
            *(f"below {limit / 1024:.0f} KiB", _verdict(growth <= limit)),
        )
    for bar in info["bars"]:
        other = rows.get(bar["peer"])
        if other is None:
            continue
        ours, theirs = _median(row), _median(other)
        values: dict[str, tuple[float, Callable[[float], str], bool]] = {
            "ratio": (ours / theirs, "{:.3f}".format, True),
            "speed": (theirs / ours, "{:.3f} of its speed".format, False),
            "difference": (
                ours - theirs,
                lambda value: f"{'+' * (value >= 0)}{_time(value)}",
                True,
            ),
        }
        value, show, is_upper = values[bar["kind"]]
        limit = bar["limit"]
        is_met = limit is None or (value <= limit if is_upper else value >= limit)
        yield (
            group,
            _named(info, row),
            _peer_name(other),
            f"{_time(theirs)} ± {_time(_spread(other))}",
            show(value),
            "" if limit is None else f"{'≤' if is_upper else '≥'} {show(limit)}",
            "" if limit is None else _verdict(is_met),
        )


def _named(info: dict[str, Any], row: Row) -> str:
    text = f"{_time(_median(row))} ± {_time(_spread(row))}"
    name = info["note"] or ("" if info["peer"].startswith("litert-native") else info["peer"])
    return f"{name}: {text}" if name else text


def _peer_name(row: Row) -> str:
    info = row["extra_info"]
    return f"{info['peer']}, {info['note']}" if info["note"] else info["peer"]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _median(row: Row) -> float:
    median: float = statistics.median(row["stats"]["data"])
    return median


def _spread(row: Row) -> float:
    """Return half the distance between the quartiles."""
    first, _, third = statistics.quantiles(row["stats"]["data"], n=4, method="inclusive")
    return (third - first) / 2


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _conditions(measured: dict[str, Any]) -> str:
    machine = measured["machine_info"]
    cpu = machine["cpu"].get("brand_raw", machine["processor"])
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{cpu}, {machine['cpu']['count']} cores, load {machine['load']}; "
        f"Linux {machine['release']}, Python {machine['python_version']}, {packages}; "
        f"{measured['datetime'][:10]}. Peers take turns of a fraction of a millisecond (longer "
        "ones where a call is longer); medians of the turns ± half the distance between the "
        f"quartiles. Made by `{Path(FOLDER.name) / 'report.py'}`."
    )


def machine_facts() -> dict[str, Any]:
    """Return what pytest-benchmark does not record: versions and the load."""
    packages = {name: importlib.metadata.version(name) for name in ("ai-edge-litert", "numpy")}
    return {
        "packages": packages,
        "load": f"{os.getloadavg()[0]:.1f}",
        "python_version": platform.python_version(),
    }


def main() -> int:
    """Measure and print the table; the exit status is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="do not measure")
    parser.add_argument("-k", metavar="EXPRESSION", help="only benchmarks of matching names")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the table into this file")
    args = parser.parse_args()
    if args.source is not None:
        show(as_markdown(json.loads(args.source.read_text())), args.write)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = args.json or Path(folder) / "measured.json"
        path.unlink(missing_ok=True)
        status = measure(path.resolve(), args.k)
        if path.exists():
            show(as_markdown(json.loads(path.read_text())), args.write)
    return status


def show(table: str, target: Path | None) -> None:
    """Print the table, or put it between the marks of ``target``."""
    if target is None:
        print(table, end="")
        return
    text = target.read_text()
    start, end = text.index(_MARK_START) + len(_MARK_START), text.index(_MARK_END)
    target.write_text(f"{text[:start]}\n{table}{text[end:]}")


if __name__ == "__main__":
    sys.exit(main())
