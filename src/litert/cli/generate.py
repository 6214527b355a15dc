"""``litert-native generate``: let a language model go on after a prompt."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from litert.cli.interrupt import on_interrupt
from litert.cli.language_options import (
    add_generation_arguments,
    add_model_arguments,
    generation_arguments,
    open_model,
)
from litert.cli.metrics_text import metrics_line
from litert.errors import OptionError
from litert.printing import harmless

if TYPE_CHECKING:
    from litert.language.generation import Generation
    from litert.language.model import LanguageModel, Prompt

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_INTERRUPTED = 130


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "generate",
        help="generate text with a language model",
        description="Generate text after a prompt, shown as it comes. Ctrl-C ends it.",
    )
    add_model_arguments(parser)
    parser.add_argument("prompt", metavar="PROMPT", help="text to go on after; - reads stdin")
    parser.add_argument(
        "--chat", action="store_true", help="take the prompt as a message, by the model's template"
    )
    parser.add_argument("--system", metavar="TEXT", help="system message, with --chat")
    add_generation_arguments(parser)
    parser.add_argument("--metrics", action="store_true", help="tell counts and speed on stderr")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate, and print the text as it comes or a JSON object at the end.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        LiteRTError: The model, the prompt or an option is at fault; the message says how.
    """
    if args.system is not None and not args.chat:
        raise OptionError("--system: a system message is part of a chat; add --chat")
    text = _read_prompt(args.prompt)
    with open_model(args) as model:
        prompt = _as_message(model, text, args.system) if args.chat else text
        stream = model.stream(prompt, **generation_arguments(args))
        with stream, on_interrupt(stream.cancel) as interruption:
            for chunk in stream:
                if not args.json:
                    _write(chunk.text)
        if args.json:
            print(json.dumps(_as_json(stream.generation, model)))
        else:
            print()
        if args.metrics:
            sys.stdout.flush()
            print(metrics_line(stream.generation), file=sys.stderr)
    return _INTERRUPTED if interruption.was_pressed else 0


def _read_prompt(given: str) -> str:
    """Return the prompt, from stdin for ``-``.

    Raises:
        OptionError: It is no UTF-8.
    """
    try:
        prompt = sys.stdin.read() if given == "-" else given
        prompt.encode()  # bytes that are no text may hide in arguments
    except UnicodeError as err:
        raise OptionError(f"PROMPT: expected text in UTF-8, got other bytes: {err}") from err
    return prompt


def _as_message(model: LanguageModel, text: str, system: str | None) -> Prompt:
    messages = [] if system is None else [{"role": "system", "content": system}]
    return model.encode_chat([*messages, {"role": "user", "content": text}])


def _write(text: str) -> None:
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _as_json(generation: Generation, model: LanguageModel) -> dict[str, Any]:
    return {
        "text": generation.text,
        "tokens": generation.tokens,
        "finish_reason": generation.finish_reason,
        "metrics": asdict(generation.metrics),
        "backend": model.backend,
        "backend_reason": model.backend_reason,
    }
