"""``litert-native chat``: talk with a language model."""

from __future__ import annotations

import argparse
import io
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from litert.cli.chat_screen import Screen
from litert.cli.conversation import Conversation, Forgotten
from litert.cli.interrupt import on_interrupt
from litert.cli.language_options import (
    add_generation_arguments,
    add_model_arguments,
    generation_arguments,
    open_model,
)
from litert.cli.metrics_text import SEPARATOR, duration, rate
from litert.errors import LiteRTError
from litert.language.model import default_num_threads
from litert.printing import count, printable

if TYPE_CHECKING:
    from litert.language.generation import Generation
    from litert.language.model import LanguageModel

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_INTERRUPTED = 130

_HELP = (
    "/reset        forget the conversation, but for the system message",
    "/system TEXT  set the system message; without TEXT remove it",
    "/tokens       show how full the context is",
    "/help         show this",
    "/exit         leave, as Ctrl-D does",
    "Ctrl-C        stop the reply; at the prompt leave",
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "chat",
        help="talk with a language model",
        description="Talk with a language model, by its own chat template. "
        "From a pipe each line is a message.",
    )
    add_model_arguments(parser)
    parser.add_argument("--system", metavar="TEXT", help="system message")
    add_generation_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read messages and show replies until the user leaves.

    Returns:
        The exit status: 0, 130 where Ctrl-C ended it, 1 where a message of a pipe had no reply.

    Raises:
        LiteRTError: The model cannot be loaded or has no chat template.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    with open_model(args, warmup=True) as model:
        conversation = Conversation(model, generation_arguments(args), args.system)
        chat = _Chat(conversation, Screen(), model.context_length)
        # At the prompt, so that readline leaves the terminal as it was.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            chat.screen.header(printable(Path(args.model).name), _header(args, model))
            chat.go_on()
        except KeyboardInterrupt:
            return _INTERRUPTED
        finally:
            signal.signal(signal.SIGINT, handler)
            conversation.close()
    return 1 if chat.has_failed and not chat.screen.is_terminal else 0


def _header(args: argparse.Namespace, model: LanguageModel) -> list[str]:
    backend = model.backend
    if backend != "native":
        backend = f"{backend} ({printable(model.backend_reason)})"
    threads = count(args.threads or default_num_threads(), "thread")
    return [
        SEPARATOR.join((backend, f"context of {count(model.context_length, 'token')}", threads)),
        "/help lists the commands, Ctrl-C stops a reply, Ctrl-D leaves",
    ]


class _Chat:
    """The conversation and the screen that shows it."""

    def __init__(self, conversation: Conversation, screen: Screen, context_length: int) -> None:
        self.screen = screen
        self.has_failed = False
        self._conversation = conversation
        self._context_length = context_length
        self._commands: dict[str, Callable[[str], None]] = {
            "/reset": self._reset,
            "/system": self._set_system,
            "/tokens": self._show_tokens,
            "/help": lambda _: screen.note(*_HELP),
        }

    def go_on(self) -> None:
        """Take messages and commands until the user leaves."""
        while (line := self.screen.read()) is not None:
            text = line.strip()
            if re.match(r"/[a-z]+(\s|$)", text):
                name, _, rest = text.partition(" ")
                if name in ("/exit", "/quit"):
                    return
                self._command(name, rest.strip())
            elif text:
                self._say(text)

    def _command(self, name: str, rest: str) -> None:
        command = self._commands.get(name)
        if command is None:
            self.screen.problem(f"there is no command {name}; /help lists those there are")
        else:
            command(rest)

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        self.screen.note("the conversation begins anew")

    def _set_system(self, text: str) -> None:
        self._conversation.system = text or None
        self.screen.note(f"the system message is {'set' if text else 'removed'}")

    def _show_tokens(self, _: str) -> None:
        self.screen.note(
            SEPARATOR.join((self._context(), count(self._conversation.num_turns, "turn")))
        )

    def _say(self, message: str) -> None:
        """Show the reply to a message. What fails is told, and the conversation goes on."""
        try:
            generation, was_stopped = self._reply(message)
        except LiteRTError as err:
            self.has_failed = True
            self.screen.problem(str(err))
            return
        if generation.text:
            self._conversation.keep(generation.text)
        self.screen.note(self._summary(generation))
        if was_stopped and not self.screen.is_terminal:
            raise KeyboardInterrupt

    def _reply(self, message: str) -> tuple[Generation, bool]:
        stream, forgotten = self._conversation.ask(message)
        if forgotten.num_turns:
            self.screen.note(self._tell(forgotten))
        with stream, on_interrupt(stream.cancel) as interruption, self.screen.reply():
            for chunk in stream:
                self.screen.write(chunk.text)
        return stream.generation, interruption.was_pressed

    def _tell(self, forgotten: Forgotten) -> str:
        tokens = count(forgotten.num_tokens, "token")
        number = forgotten.num_turns
        turns = "oldest turn is" if number == 1 else f"oldest {number} turns are"
        return (
            f"the conversation has {tokens}, too many for a context of {self._context_length:,} "
            f"and a reply: its {turns} dropped"
        )

    def _summary(self, generation: Generation) -> str:
        metrics = generation.metrics
        parts = [count(metrics.generated_tokens, "token")]
        if metrics.decode_tokens_per_s:
            parts.append(rate(metrics.decode_tokens_per_s))
        if metrics.generated_tokens:
            parts.append(f"first token {duration(metrics.time_to_first_token_s)}")
        parts.append(self._context())
        is_full = self._conversation.num_tokens >= self._context_length
        ends = {
            "length": "the context is full" if is_full else "stopped at --max-tokens",
            "cancelled": "stopped",
            "timeout": "out of time",
        }
        if generation.finish_reason in ends:
            parts.append(ends[generation.finish_reason])
        return SEPARATOR.join(parts)

    def _context(self) -> str:
        return f"context {self._conversation.num_tokens:,}/{self._context_length:,}"
