"""``litert-native compile``: a model compiled for an NPU ahead of time."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from litert.ahead_of_time.compilation import CompilationReport, compile_model
from litert.ahead_of_time.npu_targets import list_targets
from litert.cli.summary_text import INDENT
from litert.errors import LiteRTError
from litert.printing import count, harmless, printable, show, size

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "compile",
        help="compile a model for an NPU ahead of time",
        description="Compile a .tflite model for an NPU ahead of time, with the compiler of "
        "ai-edge-litert and the SDK of the NPU's vendor. The NPU need not be here.",
        usage="%(prog)s MODEL --target VENDOR:CHIP -o PATH [--device {npu,cpu}] [-v] [--json]\n"
        "       %(prog)s --list-targets [--json]",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="path of a plain .tflite file")
    parser.add_argument(
        "--target",
        metavar="VENDOR:CHIP",
        help="the NPU, such as intel:PTL; --list-targets has all",
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="the compiled file to write")
    parser.add_argument(
        "--device",
        choices=("npu", "cpu"),
        default="npu",
        help="cpu: OpenVINO's CPU device, to try a target of Intel's without an NPU",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show on stderr what the compiler writes"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--list-targets", action="store_true", help="print the targets and exit")
    parser.set_defaults(run=lambda args: run(args, parser))


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Compile ``args.model`` for ``args.target`` into ``args.output``, or list the targets.

    Args:
        args: What the parser made.
        parser: What made them.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is no sound .tflite model.
        UnsupportedModelError: It is compiled already.
        OptionError: The target, the device or the output is wrong.
        AcceleratorError: The compiler is missing or refused the model.
    """
    if args.list_targets:
        names = list(map(str, list_targets()))
        print(json.dumps(names, indent=2) if args.json else "\n".join(names))
        return 0
    needed = {"MODEL": args.model, "--target": args.target, "-o/--output": args.output}
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    try:
        with _interruptible():
            report = compile_model(
                args.model, target=args.target, output=args.output, device=args.device
            )
    except LiteRTError as err:
        _show_log(err.library_log, args.verbose)
        raise
    _show_log(report.log, args.verbose)
    if args.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        show(format_report(report))
    return 0


def format_report(report: CompilationReport) -> Iterator[str]:
    """Yield the lines of the report as a person reads it."""
    npu = printable(str(report.compiled_for))
    yield f"{printable(report.output)}  {size(report.size_bytes)}"
    yield f"{INDENT}compiled for {npu}"
    if report.device == "cpu":
        yield f"{INDENT}to be tried on OpenVINO's CPU device, not on the NPU"
    yield (
        f"{INDENT}{report.num_compiled:,} of {count(report.num_operators, 'operator')} in "
        f"{count(report.num_partitions, 'partition')}"
    )
    if report.cpu_operators:
        left = ", ".join(
            printable(name) if number == 1 else f"{number:,} {printable(name)}"
            for name, number in report.cpu_operators.items()
        )
        yield f"{INDENT}left to the CPU: {left}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C and ``kill`` raise, so that the compiler ends and its files are removed."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number: int, _: object) -> None:
    raise SystemExit(128 + number)  # as a shell tells it


def _show_log(log: Sequence[str], is_wanted: bool) -> None:
    if is_wanted and log:
        print(harmless("\n".join(log)), file=sys.stderr)
