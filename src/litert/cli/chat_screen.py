"""What a conversation looks like: on a terminal, and through pipes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from litert.cli.word_wrap import WordWrap
from litert.printing import harmless

if TYPE_CHECKING:
    from rich.console import Console

_MARKER = "> "
_INDENT = "  "
_MAX_WIDTH = 100  # longer lines are hard to read


class Screen:
    """Shows a conversation and reads what the user says.

    On a terminal: a marker where the user writes, replies wrapped at words, and colours by ``rich``
    where that is installed and ``NO_COLOR`` is not set. Through pipes: a line is a message, stdout
    has the replies and nothing else, notes go to stderr.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._console = _make_console() if self.is_terminal else None
        self._marker = _hidden_from_readline(self._styled(_MARKER, "bold cyan"))
        self._wrap = WordWrap(_MAX_WIDTH)
        self._is_blank = True  # nothing of the reply has been shown
        if self.is_terminal:
            _use_readline()

    def header(self, title: str, lines: Iterable[str]) -> None:
        """Show what this is."""
        if not self.is_terminal:
            self._note_plainly([title, *lines])
            return
        print(self._styled(title, "bold"))
        for line in lines:
            print(self._styled(line, "bright_black"))

    def read(self) -> str | None:
        """Return what the user says, None at the end.

        Raises:
            KeyboardInterrupt: At Ctrl-C.
        """
        if not self.is_terminal:
            line = sys.stdin.readline()
            return line.rstrip("\n") if line else None
        print()
        try:
            return input(self._marker)
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()
            raise

    @contextlib.contextmanager
    def reply(self) -> Iterator[None]:
        """Begin a reply, and end it."""
        self._is_blank = True
        if not self.is_terminal:
            yield
            print(flush=True)
            return
        width = min(shutil.get_terminal_size().columns - 1, _MAX_WIDTH)
        self._wrap = WordWrap(width, _INDENT)
        print()
        with _without_echo():
            yield
            print(self._wrap.flush(), flush=True)

    def write(self, text: str) -> None:
        """Show the next piece of the reply."""
        if self._is_blank:
            text = text.lstrip()
            self._is_blank = not text
        if self.is_terminal:
            text = self._wrap.push(harmless(text))
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(self, *lines: str) -> None:
        """Say something that is no reply."""
        self._show(lines, "bright_black")

    def problem(self, text: str) -> None:
        """Say what went wrong."""
        self._show([text], "red")

    def _show(self, lines: Iterable[str], style: str) -> None:
        if not self.is_terminal:
            self._note_plainly(lines)
            return
        width = min(shutil.get_terminal_size().columns - 1, _MAX_WIDTH)
        print()
        for line in lines:
            wrap = WordWrap(width, _INDENT)
            print(self._styled(wrap.push(harmless(line)) + wrap.flush(), style))

    def _note_plainly(self, lines: Iterable[str]) -> None:
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    def _styled(self, text: str, style: str) -> str:
        if self._console is None:
            return text
        with self._console.capture() as capture:
            self._console.print(
                text,
                style=style,
                markup=False,
                highlight=False,
                emoji=False,
                soft_wrap=True,
                end="",
            )
        return capture.get()


def _make_console() -> Console | None:
    # rich takes NO_COLOR for the colours alone and goes on with bold.
    if os.environ.get("NO_COLOR"):
        return None
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None  # the extra is not installed
    return Console()


def _use_readline() -> None:
    """Let ``input`` edit lines and remember them."""
    with contextlib.suppress(ModuleNotFoundError):  # without it, edited as the terminal does
        import readline  # noqa: F401


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """Keep what is typed meanwhile, Ctrl-C too, out of the text; the next prompt shows it."""
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _hidden_from_readline(text: str) -> str:
    """Mark colours as what takes no columns, or readline would count them."""
    return re.sub("(\x1b\\[[0-9;]*m)", "\x01\\1\x02", text)
