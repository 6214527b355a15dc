"""How long a model takes: ``python -m litert.benchmark --model model.tflite``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litert.arrays import unknown_name
from litert.cli.accelerator_options import (
    add_accelerator_arguments,
    is_accelerator_asked_for,
    model_arguments,
    placement_json,
    placement_lines,
)
from litert.cli.compare import (
    DEFAULT_RUNS,
    DEFAULT_WARMUP,
    add_compare_argument,
    run_comparison,
    settle_compare,
)
from litert.cli.inputs import read_inputs
from litert.cli.profile_options import (
    add_profile_arguments,
    asks_for_profile,
    profile_lines,
    save_profile,
)
from litert.cpu import cpu_model
from litert.errors import LiteRTError, OptionError
from litert.latency import Latency, Opened, interpreter_contender, own_contender, take_turns
from litert.library import library_info
from litert.model import Model
from litert.printing import aligned, printable, show, size

if TYPE_CHECKING:
    from litert.latency import Arrays
    from litert.profiling.profile import Profile

_DEFAULT_RUNS = 200
_DEFAULT_WARMUP = 20
_MAX_PROFILED_RUNS = 50
_MAX_COLUMNS = 80
_LABEL_COLUMNS = 13


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one contender. Immutable.

    Attributes:
        name: Who it is: a backend, or the Interpreter.
        reason: Why it runs the model; empty for the Interpreter.
        load_ms: Of loading and preparing, the library being open already.
        first_run_ms: Of the first run, which also prepares what later runs keep.
        memory_bytes: The process's resident memory after loading.
        load_memory_bytes: How much of it came with loading.
        latency: By way of running: ``"runner.run"`` (inputs in place already) and ``"model.run"``
            (arrays in, arrays out), or what the Interpreter has for these.
    """

    name: str
    reason: str
    load_ms: float
    first_run_ms: float
    memory_bytes: int
    load_memory_bytes: int
    latency: dict[str, Latency]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the benchmark to a parser; ``run`` takes them and ``model``, the path."""
    parser.add_argument("--signature", metavar="KEY", help="signature to run (the first one)")
    parser.add_argument(
        "--threads", metavar="N", type=_positive, default=1, help="threads of a run (1)"
    )
    parser.add_argument(
        "--runs", metavar="N", type=_positive,
        help=f"timed runs of each kind ({_DEFAULT_RUNS}; {DEFAULT_RUNS} of each file compared)",
    )  # fmt: skip
    parser.add_argument(
        "--warmup", metavar="N", type=_not_negative,
        help=f"runs before those ({_DEFAULT_WARMUP}; {DEFAULT_WARMUP} of each file compared)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("auto", "native", "reference"), default="auto",
        help="what runs the model (auto)",
    )  # fmt: skip
    add_accelerator_arguments(parser)
    add_compare_argument(parser)
    add_profile_arguments(parser)
    parser.add_argument(
        "--seed", metavar="N", type=_not_negative, default=0, help="of the random inputs (0)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        args: What a parser with ``add_arguments`` and ``model`` made.

    Returns:
        The exit status, 0.

    Raises:
        LiteRTError: The model cannot be opened or run, or an option does not fit it.
    """
    version = _open_library()  # before the clock starts
    args.model, files = settle_compare(args.model, args.compare)
    on_model = model_arguments(args)
    if files:
        if is_accelerator_asked_for(args):
            raise OptionError("--accelerator: has no meaning for files that are compared")
        if args.kernels != "xnnpack":
            raise OptionError("--kernels: has no meaning for files that are compared")
        return run_comparison(args, files, version)
    args.runs = _DEFAULT_RUNS if args.runs is None else args.runs
    args.warmup = _DEFAULT_WARMUP if args.warmup is None else args.warmup
    opened = Opened(lambda: Model(args.model, backend=args.backend, **on_model))
    model: Model = opened.value
    with model:
        key = _signature_key(model, args.signature)
        given = read_inputs((), model.signatures[key], args.seed)
        inputs = {name: value.array for name, value in given.items()}
        measured = _measure(args, model, opened, key, inputs)
        profile = None
        if asks_for_profile(args):
            profile = _profile(model, args, key, inputs)
            save_profile(args, profile)
        placed = placement_lines(args, model)
        placed_json = placement_json(args, model)
    if args.json:
        print(json.dumps(_as_json(args, version, key, measured, profile) | placed_json))
    else:
        show(_as_text(args, version, key, measured, profile, placed))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark's command line.

    Args:
        argv: What follows the program's name; that of this process where it is left out.

    Returns:
        The exit status: 0, or 1 for a failure told on stderr. Wrong usage ends in SystemExit(2).
    """
    parser = argparse.ArgumentParser(
        "python -m litert.benchmark",
        description="Measure how long a .tflite model takes.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", metavar="FILE", help="path of a .tflite file")
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        if settle_compare(args.model, args.compare)[0] is None:
            parser.error("--model is required, or --compare with files")
        return run(args)
    except LiteRTError as err:
        print(f"{parser.prog}: {' '.join(str(err).split())}", file=sys.stderr)
        return 1


def _measure(
    args: argparse.Namespace, model: Model, opened: Opened, key: str, inputs: Arrays
) -> list[Measured]:
    contenders = [
        (model.backend, model.backend_reason, own_contender(opened, args.signature, inputs))
    ]
    if args.compare is not None:
        other = interpreter_contender(args.model, args.threads, key, inputs)
        contenders.append(("Interpreter", "", other))
    calls = [call for *_, contender in contenders for call in contender.calls.values()]
    samples = iter(take_turns(calls, args.runs, args.warmup))
    return [
        Measured(
            name=name,
            reason=reason,
            load_ms=contender.load_ms,
            first_run_ms=contender.first_run_ms,
            memory_bytes=contender.memory_bytes,
            load_memory_bytes=contender.load_memory_bytes,
            latency={way: Latency.of(next(samples)) for way in contender.calls},
        )
        for name, reason, contender in contenders
    ]


def _profile(model: Model, args: argparse.Namespace, key: str, inputs: Arrays) -> Profile:
    with model.profile(num_warmup_runs=1) as profile:
        for _ in range(1 + min(args.runs, _MAX_PROFILED_RUNS)):
            model.run(inputs, signature=key)
    return profile


def _signature_key(model: Model, key: str | None) -> str:
    if key is None:
        return next(iter(model.signatures))
    if key not in model.signatures:
        raise unknown_name("signature", key, model.signatures)
    return key


def _as_json(
    args: argparse.Namespace,
    version: str,
    key: str,
    measured: Sequence[Measured],
    profile: Profile | None,
) -> dict[str, Any]:
    told = {
        "model": args.model,
        "size_bytes": os.path.getsize(args.model),
        "signature": key,
        "num_threads": args.threads,
        "num_runs": args.runs,
        "library_version": version,
        "cpu": cpu_model(),
        "measured": [asdict(one) for one in measured],
    }
    if len(measured) > 1:
        told["ratio_of_medians"] = _ratios(*measured)
    if profile is not None:
        told["profile"] = profile.to_dict()
    return told


def _as_text(
    args: argparse.Namespace,
    version: str,
    key: str,
    measured: Sequence[Measured],
    profile: Profile | None,
    placed: Sequence[tuple[str, str]],
) -> list[str]:
    threads = "1 thread" if args.threads == 1 else f"{args.threads} threads"
    lines = [
        *_field("model", f"{Path(args.model).name}, {size(os.path.getsize(args.model))}"),
        *_field("signature", f"{key}, random inputs, {threads}"),
        *_field("machine", f"{cpu_model()}, LiteRT {version}"),
        *_field("backend", f"{measured[0].name}: {measured[0].reason}"),
        *(line for label, text in placed for line in _field(label, text)),
    ]
    for one in measured:
        text = (
            f"load {one.load_ms:.2f} ms, first run {one.first_run_ms:.2f} ms, "
            f"memory {size(one.memory_bytes)} ({_growth(one.load_memory_bytes)})"
        )
        lines += _field(one.name, text)
    lines += ["", *_latency_table(measured)]
    if len(measured) > 1:
        ratios = (f"{ratio:.3f} {names}" for names, ratio in _ratios(*measured).items())
        lines += ["", *_field("medians", ", ".join(ratios))]
    return [*lines, *profile_lines(args, profile)]


def _latency_table(measured: Sequence[Measured]) -> list[str]:
    latencies = {way: latency for one in measured for way, latency in one.latency.items()}
    is_long = min(latency.median_us for latency in latencies.values()) >= 1e3
    unit, divisor = ("ms", 1e3) if is_long else ("us", 1.0)
    rows = [[unit, "median", "mean", "p90", "p99", "min", "std", "runs/s"]]
    for way, latency in latencies.items():
        numbers = (latency.median_us, latency.mean_us, latency.p90_us, latency.p99_us,
                   latency.min_us, latency.std_us)  # fmt: skip
        cells = [f"{number / divisor:.2f}" for number in numbers]
        rows.append([way, *cells, f"{latency.runs_per_s:.0f}"])
    return _right_aligned(rows)


def _right_aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns of numbers to the right, under a first column of names."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return aligned(
        [
            [row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            for row in rows
        ]
    )


def _field(label: str, text: str) -> list[str]:
    lines = textwrap.wrap(printable(text), _MAX_COLUMNS - _LABEL_COLUMNS)
    return [f"{label if i == 0 else '':<{_LABEL_COLUMNS}}{line}" for i, line in enumerate(lines)]


def _ratios(ours: Measured, other: Measured) -> dict[str, float]:
    """Return our medians over the other's, last way against last way and so on."""
    pairs = reversed(list(zip(reversed(ours.latency), reversed(other.latency), strict=False)))
    return {
        f"{way} / {other_way}": ours.latency[way].median_us / other.latency[other_way].median_us
        for way, other_way in pairs
        if other.latency[other_way].median_us > 0
    }


def _open_library() -> str:
    """Open the library, if it is usable, and return its version."""
    try:
        info = library_info()
    except LiteRTError:
        return "not usable"  # the reference backend may still run
    importlib.import_module("litert.backends.native")
    return info.version


def _growth(size_bytes: int) -> str:
    return f"{'-' if size_bytes < 0 else '+'}{size(abs(size_bytes))}"


def _positive(text: str) -> int:
    return _integer(text, 1)


def _not_negative(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
