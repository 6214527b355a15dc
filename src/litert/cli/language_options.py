"""The arguments that the commands for language models share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from litert.language.model import LanguageModel
from litert.language.options import GenerationArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

_AS_THE_FILE_SAYS = "(as the file says)"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which model is used and how it runs; ``open_model`` takes what is parsed."""
    parser.add_argument("model", metavar="MODEL", help="path of a .litertlm or .tflite file")
    parser.add_argument(
        "--tokenizer", metavar="PATH",
        help="tokenizer.json, SentencePiece model or folder with one, for a .tflite",
    )  # fmt: skip
    parser.add_argument(
        "--threads", metavar="N", type=int, help="threads of a run (the usable cores, at most 4)"
    )
    parser.add_argument(
        "--context-length", metavar="N", type=int,
        help=f"tokens that the context holds {_AS_THE_FILE_SAYS}",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("auto", "native", "reference"), default="auto",
        help="what runs the model (auto)",
    )  # fmt: skip


def open_model(args: argparse.Namespace, *, warmup: bool = False) -> LanguageModel:
    """Load the model.

    Raises:
        LiteRTError: It cannot be loaded, or an option does not fit it.
    """
    return LanguageModel(
        args.model,
        tokenizer=args.tokenizer,
        num_threads=args.threads,
        context_length=args.context_length,
        backend=args.backend,
        warmup=warmup,
    )


def add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to generate; ``generation_arguments`` takes what is parsed."""
    group = parser.add_argument_group("generation")
    group.add_argument(
        "--max-tokens", metavar="N", type=int, help="tokens at most (as the context holds)"
    )
    for name, metavar, kind, text in (
        ("--temperature", "T", float, f"0 takes the most probable token {_AS_THE_FILE_SAYS}"),
        ("--top-k", "K", int, f"keep the K most probable tokens, 0 for all {_AS_THE_FILE_SAYS}"),
        ("--top-p", "P", float, f"keep tokens that together reach P {_AS_THE_FILE_SAYS}"),
    ):
        group.add_argument(name, metavar=metavar, type=kind, help=text)
    group.add_argument(
        "--min-p", metavar="P", type=float, default=0.0,
        help="keep tokens at least P times as probable as the best (0)",
    )  # fmt: skip
    group.add_argument("--seed", metavar="N", type=int, help="of the sampling (a new one)")
    group.add_argument(
        "--stop", metavar="TEXT", action="append", default=[],
        help="text that ends it, and is not shown; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--repetition-penalty", metavar="X", type=float, default=1.0,
        help="above 1 avoids tokens that came before (1)",
    )  # fmt: skip
    group.add_argument("--ignore-eos", action="store_true", help="go on where the model would end")
    group.add_argument("--timeout", metavar="S", type=float, help="seconds at most (no limit)")


def generation_arguments(args: argparse.Namespace) -> GenerationArguments:
    """Return what was asked for, as the methods of ``LanguageModel`` take it."""
    stop: Sequence[str] = args.stop
    return {
        "max_tokens": args.max_tokens,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "min_p": args.min_p,
        "seed": args.seed,
        "stop": stop,
        "repetition_penalty": args.repetition_penalty,
        "ignore_eos": args.ignore_eos,
        "timeout_s": args.timeout,
    }
