"""``litert-native chat``: through pipes, on a terminal, and when the context is full."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from litert.cli.chat_screen import Screen
from litert.cli.conversation import Conversation
from litert.cli.main import main
from litert.samples import speller_model_path

pytest.importorskip("tokenizers", reason="text needs the extra llm")
pytest.importorskip("minijinja", reason="chat templates need the extra llm")

SOURCE = Path(litert.__file__).resolve().parents[1]  # of the package that is tested
MODEL = str(speller_model_path())
FIRST, SECOND = "spell 42", "spell 7"
OPTIONS = ("--temperature", "0", "--max-tokens", "16")
# Text until the context is full: a model at its best soon has nothing more to say.
ENDLESS = ("--temperature", "3", "--top-k", "0", "--top-p", "1", "--seed", "1", "--ignore-eos")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "weights"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))


@pytest.fixture(scope="module")
def model() -> Iterator[litert.LanguageModel]:
    with litert.LanguageModel(MODEL, weight_cache=None) as loaded:
        yield loaded


def reply_to(model: litert.LanguageModel, *said: str, system: str | None = None) -> str:
    """Return the reply to messages and replies that alternate."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    for number, text in enumerate(said):
        messages.append({"role": ("user", "assistant")[number % 2], "content": text})
    return model.chat(messages, temperature=0, max_tokens=16).text


def talk(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    *arguments: str,
    status: int = 0,
) -> tuple[str, list[str]]:
    """Chat through pipes; return what stdout got, and the lines of stderr after the header."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    assert main(["chat", MODEL, *OPTIONS, *arguments]) == status
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()[3:]


# Through pipes


def test_chat_from_a_pipe_keeps_the_history(capsys, monkeypatch, model):
    first = reply_to(model, FIRST)
    second = reply_to(model, FIRST, first, SECOND)
    out, notes = talk(capsys, monkeypatch, [FIRST, "", SECOND])
    assert out == f"{first.lstrip()}\n{second.lstrip()}\n"
    assert len(notes) == 2
    assert re.match(
        r"\d+ tokens · [\d,.]+ tok/s · first token [\d.]+ m?s · context \d+/256", notes[0]
    )


def test_chat_without_a_last_line_break_takes_the_line(capsys, monkeypatch, model):
    monkeypatch.setattr(sys, "stdin", io.StringIO(FIRST))
    assert main(["chat", MODEL, *OPTIONS]) == 0
    assert capsys.readouterr().out == f"{reply_to(model, FIRST).lstrip()}\n"


def test_reset_forgets_all_but_the_system_message(capsys, monkeypatch, model):
    lines = [SECOND, "/reset", "/tokens", FIRST]
    out, notes = talk(capsys, monkeypatch, lines, "--system", "Spell.")
    assert out.endswith(f"{reply_to(model, FIRST, system='Spell.').lstrip()}\n")
    assert notes[1:3] == ["the conversation begins anew", "context 0/256 · 0 turns"]


def test_system_sets_and_removes_the_message(capsys, monkeypatch, model):
    lines = ["/system Spell.", FIRST, "/reset", "/system", FIRST]
    out, _ = talk(capsys, monkeypatch, lines)
    replies = reply_to(model, FIRST, system="Spell."), reply_to(model, FIRST)
    assert out == "".join(f"{reply.lstrip()}\n" for reply in replies)


def test_tokens_tells_how_full_the_context_is(capsys, monkeypatch):
    _, notes = talk(capsys, monkeypatch, [FIRST, "/tokens"])
    num_used = re.search(r"context (\d+)/256", notes[0])[1]
    assert notes[1] == f"context {num_used}/256 · 1 turn"


def test_exit_leaves(capsys, monkeypatch):
    assert talk(capsys, monkeypatch, ["/exit", FIRST]) == ("", [])


def test_help_lists_the_commands(capsys, monkeypatch):
    _, notes = talk(capsys, monkeypatch, ["/help"])
    assert [line.split()[0] for line in notes] == [
        *("/reset", "/system", "/tokens", "/help", "/exit", "Ctrl-C")
    ]


def test_unknown_command_is_named(capsys, monkeypatch):
    out, notes = talk(capsys, monkeypatch, ["/restart now"])
    assert (out, notes) == ("", ["there is no command /restart; /help lists those there are"])


def test_path_is_no_command(capsys, monkeypatch, model):
    out, _ = talk(capsys, monkeypatch, ["/etc/hosts"])
    assert out == f"{reply_to(model, '/etc/hosts').lstrip()}\n"


def test_message_that_does_not_fit_is_told_and_the_chat_goes_on(capsys, monkeypatch, model):
    out, notes = talk(capsys, monkeypatch, ["long " * 300, FIRST], status=1)
    assert out == f"{reply_to(model, FIRST).lstrip()}\n"
    assert "the context holds 256: at most 255 fit" in notes[0]


def test_full_context_drops_the_oldest_turns_and_says_so(capsys, monkeypatch):
    _, notes = talk(capsys, monkeypatch, [f"spell {number}" for number in range(30)])
    told = [line for line in notes if "dropped" in line]
    assert told
    assert re.fullmatch(
        r"the conversation has \d+ tokens, too many for a context of 256 and a reply: "
        r"its oldest (turn is|\d+ turns are) dropped",
        told[0],
    )
    assert len(notes) == 30 + len(told)


def test_reply_that_fills_the_context_says_so(capsys, monkeypatch):
    _, notes = talk(capsys, monkeypatch, [FIRST, FIRST], *ENDLESS, "--max-tokens", "999")
    assert notes[0].endswith("context 256/256 · the context is full")
    assert "its oldest turn is dropped" in notes[1]


def test_interrupt_through_pipes_ends_the_chat(monkeypatch):
    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            if not self.getvalue():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)  # the generation is told by another thread
            return super().write(text)

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{FIRST}\n{SECOND}\n"))
    monkeypatch.setattr(sys, "stdout", Interrupting())
    assert main(["chat", MODEL, *ENDLESS]) == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere.litertlm"], "no such file"), ([MODEL, "--top-p", "2"], "top_p: expected")],
)
def test_chat_refuses_in_one_line(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{FIRST}\n"))
    assert main(["chat", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err.splitlines()[-1]


def test_chat_without_the_extra_names_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "minijinja", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{FIRST}\n"))
    assert main(["chat", MODEL]) == 1
    assert "pip install 'litert-native[llm]'" in capsys.readouterr().err


# The conversation


def test_conversation_reads_only_what_is_new(model):
    conversation = Conversation(model, {"temperature": 0, "max_tokens": 8})
    first = conversation.ask(FIRST)[0].rest()
    conversation.keep(first.text)
    second = conversation.ask(SECOND)[0].rest()
    conversation.close()
    assert second.metrics.cached_tokens >= first.metrics.prompt_tokens


def test_refused_message_changes_nothing(model):
    conversation = Conversation(model, {"temperature": 0, "max_tokens": 8})
    conversation.keep(conversation.ask(FIRST)[0].rest().text)
    before = conversation.num_tokens, conversation.num_turns
    with pytest.raises(litert.ContextLengthError, match="the context holds 256"):
        conversation.ask("long " * 300)
    assert (conversation.num_tokens, conversation.num_turns) == before
    conversation.close()


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_conversation_goes_on_however_long_the_messages_are(model, lengths):
    conversation = Conversation(model, {"temperature": 0, "max_tokens": 4}, system="Spell.")
    for length in lengths:
        num_turns = conversation.num_turns
        stream, forgotten = conversation.ask("7 " * length)
        conversation.keep(stream.rest().text)
        assert conversation.num_turns == num_turns - forgotten.num_turns + 1
        assert conversation.num_tokens <= model.context_length
    conversation.close()


# On a terminal


class Terminal:
    """A chat on a terminal, slow enough to be interrupted."""

    SCRIPT = """
import sys, time
from litert.cli.chat_screen import Screen
from litert.cli.main import main
write = Screen.write
def write_slowly(screen, text):
    write(screen, text)
    time.sleep(0.02)
Screen.write = write_slowly
sys.exit(main(sys.argv[1:]))
"""

    def __init__(self, *arguments: str, columns: int = 100, **variables: str) -> None:
        import fcntl
        import pty
        import termios

        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 30, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment |= {"PYTHONPATH": str(SOURCE), "TERM": "xterm-256color", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, "chat", MODEL, "--temperature", "0", *arguments],
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(terminal)
        self._seen = ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=60)
        os.close(self._controller)

    def read_until(self, expected: str) -> str:
        """Return what came since the last call, up to ``expected``."""
        while expected not in self._seen:
            try:
                ready, _, _ = select.select([self._controller], [], [], 60)
                assert ready, f"{expected!r} did not come after {self._seen!r}"
                chunk = os.read(self._controller, 4096)
            except OSError:
                raise AssertionError(f"{expected!r} did not come after {self._seen!r}") from None
            self._seen += chunk.decode().replace("\r\n", "\n")
        end = self._seen.index(expected) + len(expected)
        found, self._seen = self._seen[:end], self._seen[end:]
        return found

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def leave(self, key: str = "\x04") -> int:
        """Press Ctrl-D, or another key, and return the exit status.

        Pressed again while nothing happens: a signal that comes after readline has shown the prompt
        and before it waits for keys is noticed by Python at the next key only.
        """
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # the other end is closed
                self.type(key)
            if self._has_ended_within(1):
                return self.process.wait(timeout=60)
        raise AssertionError(f"still there after {key!r}")

    def _has_ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([self._controller], [], [], 0.05)[0]:
                continue
            try:
                if not os.read(self._controller, 4096):
                    return True
            except OSError:
                return True
        return False


def _take_terminal() -> None:
    """Make stdin the terminal that sends Ctrl-C to this process."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Open terminals, and close them after the test."""
    with contextlib.ExitStack() as opened:

        def open_one(*arguments: str, columns: int = 100, **variables: str) -> Terminal:
            terminal = Terminal(*arguments, columns=columns, **variables)
            opened.callback(terminal.close)
            return terminal

        yield open_one


def without_colours(text: str) -> str:
    return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]|[\x01\x02]", "", text)


def test_terminal_shows_header_reply_and_speed(open_terminal, model):
    terminal = open_terminal("--max-tokens", "16", NO_COLOR="1")
    header = terminal.read_until("> ")
    for expected in (f"{Path(MODEL).name}\n", "native · context of 256 tokens · ", "Ctrl-D leaves"):
        assert expected in header
    terminal.type(f"{FIRST}\n")
    reply = without_colours(terminal.read_until(" tok/s"))
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    assert lines[0] == FIRST
    assert " ".join(lines[1:-1]) == " ".join(reply_to(model, FIRST).split())
    assert re.fullmatch(r"\d+ tokens · [\d,.]+ tok/s", lines[-1])
    terminal.read_until("> ")
    assert terminal.leave() == 0


def test_terminal_breaks_lines_at_words(open_terminal, model):
    terminal = open_terminal("--max-tokens", "16", columns=20, NO_COLOR="1")
    terminal.read_until("> ")
    terminal.type(f"{FIRST} and\n")
    terminal.read_until(f"{FIRST} and\n")
    lines = without_colours(terminal.read_until("context")).splitlines()
    assert max(map(len, lines)) < 20
    words = " ".join(lines).split()
    reply = reply_to(model, f"{FIRST} and").split()
    assert words[: len(reply)] == reply
    terminal.read_until("> ")
    assert terminal.leave() == 0


def test_interrupt_on_a_terminal_stops_the_reply_alone(open_terminal):
    terminal = open_terminal(*ENDLESS, NO_COLOR="1")
    terminal.read_until("> ")
    terminal.type(f"{FIRST}\n")
    terminal.read_until(f"{FIRST}\n")
    time.sleep(0.3)
    terminal.type("\x03")
    shown = terminal.read_until("stopped\n")
    assert "^C" not in shown
    terminal.read_until("> ")
    terminal.type("/tokens\n")
    assert "1 turn" in terminal.read_until("1 turn")
    terminal.read_until("> ")
    assert terminal.leave() == 0


def test_interrupt_at_the_prompt_leaves(open_terminal):
    terminal = open_terminal(NO_COLOR="1")
    terminal.read_until("> ")
    assert terminal.leave("\x03") == 130


def test_terminal_has_colours_unless_they_are_unwanted(open_terminal):
    pytest.importorskip("rich")

    def is_coloured(**variables: str) -> bool:
        terminal = open_terminal(**variables)
        header = terminal.read_until("> ")
        assert terminal.leave() == 0
        return re.search("\x1b\\[[0-9;]*m", header) is not None

    assert is_coloured()
    assert not is_coloured(NO_COLOR="1")


def test_screen_without_a_terminal_writes_replies_alone_to_stdout(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
    screen = Screen()
    screen.header("title", ["line"])
    assert (screen.read(), screen.read()) == ("Hi", None)
    with screen.reply():
        screen.write("\n ")
        screen.write(" Paris")
    screen.note("note")
    screen.problem("problem")
    captured = capsys.readouterr()
    assert captured.out == "Paris\n"
    assert captured.err == "title\nline\nnote\nproblem\n"
