"""Measure language models against their peers and write the README's table.

python benchmarks/language_report.py --models FOLDER [--models FOLDER] --litert-lm-python PYTHON
python benchmarks/language_report.py ... --quick              one round, to try
python benchmarks/language_report.py ... --json FILE          keep what was measured
python benchmarks/language_report.py --from FILE              write the table of an earlier run
python benchmarks/language_report.py ... --write README.md    put the table where it has its place

A model, a peer or a tool that is missing leaves its rows out, with the reason in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import loop_overhead
from language_rounds import (
    LITERT_LM,
    NATIVE,
    PAIR,
    PYTHON,
    READ,
    SHORT,
    TIMED,
    Plan,
    Results,
    Setup,
    measure_alone,
    measure_round,
    prepare,
)
from language_table import GEMMA, INT4, REAUTHORED, SMOLLM, TOY, as_markdown
from native_build import BuildError, build_library
from report import machine_facts

_MARK_START, _MARK_END = "<!-- language table -->", "<!-- /language table -->"
_TOYS = Path(__file__).resolve().parents[2] / "shared" / "models" / "llm"

_BOTH = (NATIVE, LITERT_LM)
PLANS = (
    Plan(
        SMOLLM,
        1280,
        {
            SHORT: (NATIVE, LITERT_LM, PYTHON, READ),
            (200, 48): _BOTH,
            (500, 48): _BOTH,
            (1200, 48): _BOTH,
        },
        has_cold_load=True,
    ),
    Plan(REAUTHORED, 1280, {SHORT: _BOTH}),
    Plan(INT4, 1280, {SHORT: _BOTH}),
    Plan(GEMMA, 1280, {SHORT: _BOTH}),
)
_SMOLLM_ALONE = Plan(SMOLLM, 1280, {SHORT: ()})
_TOY_ALONE = Plan(TOY, 256, {(32, 200): ()})
_TURNS_ALONE = 2  # a round


def measure(setup: Setup, plans: tuple[Plan, ...], rounds: int) -> dict[str, Any]:
    """Measure everything; returns the samples, what was skipped, and the conditions."""
    results = Results()
    machine = _machine(setup)
    _build(setup, results)
    for plan in plans:
        _say(f"preparing {plan.model}")
        prepare(setup, plan, results)
    for index in range(rounds):
        for plan in plans:
            _say(f"round {index + 1} of {rounds}: {plan.model}")
            measure_round(setup, plan, results, index)
    _say("one peer at a time")
    turns = rounds * _TURNS_ALONE
    measure_alone(setup, _SMOLLM_ALONE, PAIR, results, turns)
    measure_alone(setup, _SMOLLM_ALONE, TIMED, results, turns)
    measure_alone(setup, _TOY_ALONE, TIMED, results, turns)
    _measure_loop(results, turns)
    return {
        "rounds": rounds,
        "machine": machine,
        "samples": results.samples,
        "skipped": results.skipped,
    }


def _build(setup: Setup, results: Results) -> None:
    try:
        setup.read_library = build_library("read_limit.cc", setup.folder, "-march=native")
        from litert.library import find_library

        real = Path(find_library())
        setup.timed_library = build_library(
            *("timed_library.cc", setup.folder, "-Wl,--no-as-needed", str(real)),
            f"-Wl,-rpath,{real.parent}",
        )
    except BuildError as err:
        for peer in (READ, TIMED):
            results.skipped[f"{SMOLLM}/{peer}"] = str(err)
        results.skipped[f"{TOY}/{TIMED}"] = str(err)


def _measure_loop(results: Results, rounds: int) -> None:
    try:
        for kind, samples in loop_overhead.measure(rounds).items():
            results.samples[f"loop/{kind}"] = [microseconds * 1e-6 for microseconds in samples]
    except BuildError as err:
        results.skipped["loop"] = str(err)


def _machine(setup: Setup) -> dict[str, Any]:
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
    facts = machine_facts()
    asked = "import importlib.metadata as m; print(m.version('litert-lm'))"
    if setup.litert_lm_python.is_file():
        found = subprocess.run(
            [setup.litert_lm_python, "-c", asked], check=False, capture_output=True, text=True
        )
        facts["packages"][LITERT_LM] = found.stdout.strip() or "missing"
    return facts | {
        "cpu": names[0] if names else platform.machine(),
        "num_cores": os.cpu_count(),
        "num_threads": setup.num_threads,
        "release": platform.release(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", metavar="FOLDER", type=Path, action="append", default=[])
    parser.add_argument("--litert-lm-python", metavar="PYTHON", type=Path, default=Path())
    parser.add_argument("--threads", type=int, default=2, help="of a run (default: 2)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of one turn, to try")
    parser.add_argument("--only", metavar="MODEL", action="append", help="only these models")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="do not measure")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the table into this file")
    return parser


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    if args.source is not None:
        kept: dict[str, Any] = json.loads(args.source.read_text())
        return kept
    plans = tuple(plan for plan in PLANS if args.only is None or plan.model in args.only)
    if args.quick:
        plans = tuple(replace(plan, passes=1) for plan in plans)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(
            models=(*args.models, _TOYS),
            litert_lm_python=args.litert_lm_python,
            num_threads=args.threads,
            folder=Path(folder),
        )
        return measure(setup, plans, 1 if args.quick else args.rounds)


def _show(table: str, target: Path | None) -> None:
    """Print the table, or put it between the marks of ``target``."""
    if target is None:
        print(table, end="")
        return
    text = target.read_text()
    start, end = text.index(_MARK_START) + len(_MARK_START), text.index(_MARK_END)
    target.write_text(f"{text[:start]}\n{table}{text[end:]}")


def main() -> None:
    """Measure, or read what was measured, and write the table."""
    args = _parser().parse_args()
    measured = _measured(args)
    if args.json is not None:
        args.json.write_text(json.dumps(measured, indent=1))
    _show(as_markdown(measured), args.write)


if __name__ == "__main__":
    main()
