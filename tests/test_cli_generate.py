"""``litert-native generate``: what it prints, when, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import litert
from litert.cli.interrupt import on_interrupt
from litert.cli.main import main
from litert.cli.metrics_text import duration, rate
from litert.printing import harmless
from litert.samples import speller_model_path

pytest.importorskip("tokenizers", reason="text needs the extra llm")
pytest.importorskip("minijinja", reason="chat templates need the extra llm")

SOURCE = Path(litert.__file__).resolve().parents[1]  # of the package that is tested
MODEL = str(speller_model_path())
PROMPT = "spell 42"
GREEDY = ("--temperature", "0", "--max-tokens", "12", "--ignore-eos")
# Tokens of any kind: a model at its best may have nothing more to say.
HOT = ("--temperature", "3", "--top-k", "0", "--top-p", "1", "--seed", "1", "--ignore-eos")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "weights"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))


@pytest.fixture
def greedy() -> litert.Generation:
    """What the model says after the prompt with the options ``GREEDY``."""
    with litert.LanguageModel(MODEL) as model:
        return model.generate(PROMPT, temperature=0, max_tokens=12, ignore_eos=True)


@pytest.fixture
def hot_text() -> str:
    """What the model says with the options ``HOT``, up to 24 tokens."""
    with litert.LanguageModel(MODEL) as model:
        return model.generate(
            PROMPT, temperature=3, top_k=0, top_p=1, seed=1, ignore_eos=True, max_tokens=24
        ).text


class Recorder(io.StringIO):
    """Stands in for stdout: keeps what was there at each flush, and calls ``at_flush`` then."""

    def __init__(self, at_flush: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.flushed: list[str] = []
        self._at_flush = at_flush

    def flush(self) -> None:
        self.flushed.append(self.getvalue())
        self._at_flush()


def generate(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what the command prints."""
    assert main(["generate", MODEL, *arguments]) == 0
    return capsys.readouterr().out


def generate_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(generate(capsys, PROMPT, "--json", *arguments))
    return result


def test_generate_prints_the_text(capsys, greedy):
    assert generate(capsys, PROMPT, *GREEDY) == f"{greedy.text}\n"


def test_generate_reads_the_prompt_from_stdin(capsys, monkeypatch, greedy):
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPT))
    assert generate(capsys, "-", *GREEDY) == f"{greedy.text}\n"


def test_generate_with_chat_applies_the_template(capsys):
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": PROMPT}]
    with litert.LanguageModel(MODEL) as model:
        expected = model.chat(messages, temperature=0, max_tokens=12).text
    arguments = ("--chat", "--system", "Answer.", "--temperature", "0", "--max-tokens", "12")
    assert generate(capsys, PROMPT, *arguments) == f"{expected}\n"


def test_generate_flushes_each_piece(monkeypatch, hot_text):
    recorder = Recorder()
    monkeypatch.setattr(sys, "stdout", recorder)
    assert main(["generate", MODEL, PROMPT, *HOT, "--max-tokens", "24"]) == 0
    seen = sorted(set(recorder.flushed), key=len)
    assert len(seen) > 4
    assert all(hot_text.startswith(piece) for piece in seen[:-1])
    assert seen[-1] == f"{hot_text}\n"


def test_generate_as_json_tells_tokens_reason_and_metrics(capsys, greedy, backend):
    told = generate_json(capsys, *GREEDY, "--backend", backend)
    assert told["text"] == greedy.text
    assert told["tokens"] == list(greedy.tokens)
    assert told["finish_reason"] == "length"
    assert told["backend"] == backend
    assert told["metrics"]["generated_tokens"] == 12
    assert told["metrics"]["prompt_tokens"] == greedy.metrics.prompt_tokens
    assert told["metrics"]["time_to_first_token_s"] > 0


def test_generate_with_metrics_adds_one_line_on_stderr(capsys):
    assert main(["generate", MODEL, PROMPT, "--metrics", *GREEDY]) == 0
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"prompt \d+ tokens · generated 12 tokens · first token [\d.]+ m?s · "
        r"prefill [\d,.]+ tok/s · decode [\d,.]+ tok/s · length\n",
        line,
    )


@pytest.mark.parametrize(
    "only_the_best", [("--top-k", "1"), ("--top-p", "0.000001"), ("--min-p", "1")]
)
def test_generate_with_one_token_to_choose_from_is_greedy(capsys, greedy, only_the_best):
    hot = ("--temperature", "3", "--max-tokens", "12", "--ignore-eos")
    assert generate(capsys, PROMPT, *hot, *only_the_best) == f"{greedy.text}\n"


def test_generate_depends_on_the_seed_alone(capsys):
    first, again, other = (
        generate_json(capsys, *HOT, "--max-tokens", "24", "--seed", seed)["tokens"]
        for seed in ("1", "1", "2")
    )
    assert first == again
    assert first != other


def test_generate_with_a_penalty_avoids_what_was_there(capsys):
    told = generate_json(capsys, *GREEDY, "--repetition-penalty", "1e9")
    assert len(set(told["tokens"])) == 12


def test_generate_ends_before_a_stop_string(capsys, hot_text):
    stop = hot_text[5:8]
    told = generate_json(capsys, *HOT, "--stop", "never there", "--stop", stop)
    assert told["text"] == hot_text[: hot_text.index(stop)]
    assert told["finish_reason"] == "stop"


def test_generate_ends_at_the_timeout(capsys):
    told = generate_json(capsys, "--timeout", "0", "--ignore-eos")
    assert told["finish_reason"] == "timeout"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.litertlm", PROMPT], "no such file"),
        ([MODEL, PROMPT, "--system", "Hi"], "add --chat"),
        ([MODEL, PROMPT, "--temperature", "-1"], "temperature: expected a number, 0 or more"),
        ([MODEL, PROMPT, "--threads", "0"], "num_threads: expected 1 to 1024, got 0"),
        ([MODEL, PROMPT, "--context-length", "1"], "context_length: expected an int, 2 or more"),
        ([MODEL, PROMPT, "--tokenizer", "nowhere.json"], "nowhere.json"),
        ([MODEL, "a \udcff"], "expected text in UTF-8"),
        ([MODEL, "word " * 400], "the context holds 256"),
    ],
)
def test_generate_refuses_in_one_line(capsys, arguments, message):
    status = main(["generate", *arguments])
    captured = capsys.readouterr()
    assert (status, captured.out) == (1, "")
    assert captured.err.startswith("litert-native: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_generate_at_an_interrupt_prints_what_there_is(monkeypatch):
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # the generation is told by another thread

    recorder = Recorder()
    recorder._at_flush = lambda: interrupt() if len(recorder.flushed) == 3 else None
    monkeypatch.setattr(sys, "stdout", recorder)
    status = main(["generate", MODEL, PROMPT, *HOT])
    assert status == 130
    assert recorder.getvalue().startswith(recorder.flushed[2])
    assert len(recorder.flushed) < 20  # of 256 tokens


def test_generate_into_a_closed_pipe_is_quiet():
    command = [sys.executable, "-m", "litert", "generate", MODEL, PROMPT, *HOT]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


# Ctrl-C


def test_interrupt_calls_at_once_and_leaves_the_handler():
    called = []
    before = signal.getsignal(signal.SIGINT)
    with on_interrupt(lambda: called.append(True)) as state:
        os.kill(os.getpid(), signal.SIGINT)
    assert called == [True]
    assert state.was_pressed
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_that_does_not_come_calls_nothing():
    called = []
    with on_interrupt(lambda: called.append(True)) as state:
        pass
    assert (called, state.was_pressed) == ([], False)


def test_second_interrupt_raises():
    def press_twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^$"), on_interrupt(lambda: None):
        press_twice()
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_calls_while_the_main_thread_is_in_a_library():
    called = []
    with on_interrupt(lambda: called.append(True)):
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000)  # without the GIL, deaf to signals
        assert called == [True]


# Words


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.00042, "0.4 ms"), (0.0851, "85 ms"), (1.236, "1.24 s"), (0, "0.0 ms")],
)
def test_duration_is_said_in_its_unit(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("tokens_per_s", "expected"), [(7.34, "7.3 tok/s"), (41.3, "41 tok/s"), (1250, "1,250 tok/s")]
)
def test_rate_is_rounded(tokens_per_s, expected):
    assert rate(tokens_per_s) == expected


def test_control_characters_cannot_steer_a_terminal():
    assert harmless("a\x1b[2J\r\x9b\n\té") == "a\\x1b[2J\\x0d\\x9b\n\té"
