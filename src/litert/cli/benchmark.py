"""``litert-native benchmark``: how long a model takes, of whichever kind it is."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from litert.benchmark import add_arguments
from litert.benchmark import run as run_other_model
from litert.cli.compare import settle_compare
from litert.cli.metrics_text import duration
from litert.cpu import cpu_model
from litert.errors import LiteRTError, OptionError
from litert.language.language_file import is_language_model
from litert.library import library_info
from litert.printing import aligned, count, printable, show, size

if TYPE_CHECKING:
    from litert.language.benchmark import LanguageBenchmark, Spread

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# Options that have a meaning for one kind of model alone, by name in the namespace.
_OF_LANGUAGE_MODELS = {
    "prompt_tokens": "-p",
    "generated_tokens": "-n",
    "rounds": "-r",
    "context_length": "--context-length",
}
_OF_OTHER_MODELS = {
    "signature": "--signature",
    "runs": "--runs",
    "warmup": "--warmup",
    "compare": "--compare",
    "profile": "--profile",
    "trace": "--trace",
    "plot": "--plot",
    "accelerator": "--accelerator",
    "strict": "--strict",
    "kernels": "--kernels",
    "precision": "--precision",
    "npu_device": "--npu-device",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "benchmark",
        help="measure a model's speed",
        description="Measure how long a .tflite model takes, or how fast a language model reads "
        "and writes.",
    )
    models = parser.add_mutually_exclusive_group()
    models.add_argument(
        "path", metavar="MODEL", nargs="?", help="path of a .tflite or .litertlm file"
    )
    models.add_argument("--model", metavar="FILE", help="the same")
    add_arguments(parser)
    # Not the same default for both kinds.
    parser.set_defaults(threads=None)
    group = parser.add_argument_group("language models", "--threads is the usable cores, at most 4")
    for option, name, number, text in (
        ("-p", "prompt_tokens", 64, "tokens to read"),
        ("-n", "generated_tokens", 48, "tokens to generate"),
        ("-r", "rounds", 5, "rounds, each with a prompt of its own"),
    ):
        group.add_argument(
            option, dest=name, metavar="N", type=int, default=number, help=f"{text} ({number})"
        )
    group.add_argument(
        "--context-length", metavar="N", type=int, help="tokens that the context holds"
    )
    parser.set_defaults(run=lambda args: run(args, parser))


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure the model and print what came out.

    Args:
        args: What the parser made.
        parser: What made them.

    Raises:
        LiteRTError: The model cannot be opened or run, or an option does not fit it.
    """
    args.model = args.path or args.model
    model, files = settle_compare(args.model, args.compare)
    if model is None:
        parser.error("MODEL or --model is required, or --compare with files")
    is_for_language = not files and is_language_model(model)
    misplaced = _OF_OTHER_MODELS if is_for_language else _OF_LANGUAGE_MODELS
    for name, option in misplaced.items():
        if getattr(args, name) != parser.get_default(name):
            kind = "a language model" if is_for_language else "no language model"
            raise OptionError(f"{option}: has no meaning here, for {model!r} is {kind}")
    if is_for_language:
        return _run_language_model(args)
    args.threads = args.threads or 1
    return run_other_model(args)


def _run_language_model(args: argparse.Namespace) -> int:
    from litert.language.benchmark import benchmark_language_model

    measured = benchmark_language_model(
        args.model,
        num_prompt_tokens=args.prompt_tokens,
        num_generated_tokens=args.generated_tokens,
        num_rounds=args.rounds,
        seed=args.seed,
        num_threads=args.threads,
        context_length=args.context_length,
        backend=args.backend,
    )
    if args.json:
        told = {"model": args.model, "library_version": _library_version(), "cpu": cpu_model()}
        print(json.dumps(told | asdict(measured), indent=2))
    else:
        show(_as_text(args.model, measured))
    return 0


def _as_text(path: str, measured: LanguageBenchmark) -> Iterator[str]:
    generated = count(measured.num_generated_tokens, "token")
    work = (
        f"{count(measured.num_prompt_tokens, 'token')} in, {generated} out, "
        f"{count(len(measured.rounds), 'round')} after one that is not counted"
    )
    yield from aligned(
        [
            ("model", f"{printable(Path(path).name)}, {size(os.path.getsize(path))}"),
            ("machine", f"{cpu_model()}, LiteRT {_library_version()}"),
            ("backend", printable(f"{measured.backend}: {measured.backend_reason}")),
            ("threads", str(measured.num_threads)),
            ("context", count(measured.context_length, "token")),
            ("work", work),
            ("load", duration(measured.load_s)),
            ("peak memory", size(measured.peak_memory_bytes)),
        ]
    )
    yield ""
    rows: list[Sequence[str]] = [("", "median", "min", "max")]
    first_ms = [1000 * value for value in _values(measured.time_to_first_token_s)]
    rows.append(("time to first token, ms", *(f"{value:,.2f}" for value in first_ms)))
    for name, spread in (
        ("prefill, tokens/s", measured.prefill_tokens_per_s),
        ("decode, tokens/s", measured.decode_tokens_per_s),
    ):
        rows.append((name, *(f"{value:,.1f}" for value in _values(spread))))
    yield from aligned(rows, right=(1, 2, 3))


def _values(spread: Spread) -> tuple[float, float, float]:
    return spread.median, spread.min, spread.max


def _library_version() -> str:
    try:
        return library_info().version
    except LiteRTError:
        return "not usable"  # the reference backend still runs
