"""Captures of C's ``stderr``."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading

import pytest

from litert._quiet import captured_library_output

libc = ctypes.CDLL(None)
if not hasattr(libc, "gnu_get_libc_version"):
    pytest.skip("captures work with glibc only", allow_module_level=True)
libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]


def say(text: str) -> None:
    libc.fputs(text.encode(), ctypes.c_void_p.in_dll(libc, "stderr"))


def test_capture_collects_lines_and_logs_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "litert"), captured_library_output() as lines:
        say("ERROR: one\n\ntwo\n")
    assert lines == ["ERROR: one", "two"]
    assert caplog.messages == ["library: ERROR: one", "library: two"]


def test_capture_drops_the_delegate_line() -> None:
    with captured_library_output() as lines:
        say("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    assert lines == []


def test_capture_of_a_failing_block_has_its_lines() -> None:
    def fail() -> None:
        say("before\n")
        raise ValueError("inside")

    lines: list[str] | None = None
    try:
        with captured_library_output() as lines:
            fail()
    except ValueError:
        pass
    assert lines == ["before"]


def test_capture_leaves_stderr_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_library_output() as lines:
        say("inside\n")
        os.write(2, b"descriptor\n")
        print("python", file=sys.stderr)
    say("after\n")
    libc.fflush(None)
    assert lines == ["inside"]
    assert capfd.readouterr().err == "descriptor\npython\nafter\n"


def test_capture_inside_another_gives_both_their_lines() -> None:
    with captured_library_output() as outer:
        say("first\n")
        with captured_library_output() as inner:
            say("second\n")
        say("third\n")
    assert inner == ["second"]
    assert outer == ["first", "second", "third"]


def test_capture_of_more_than_fits_ends_early() -> None:
    with captured_library_output() as lines:
        for _ in range(2000):
            say("x" * 99 + "\n")
    assert 600 < len(lines) < 700
    with captured_library_output() as lines:
        say("next\n")
    assert lines == ["next"]


def test_captures_in_threads_lose_nothing() -> None:
    lost: list[str] = []

    def work(name: str) -> None:
        for number in range(500):
            with captured_library_output() as lines:
                say(f"{name} {number}\n")
            if not any(f"{name} {number}" in line for line in lines):
                lost.append(f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The stream is rewound now and then; only a line written in that very moment may go.
    assert len(lost) <= 2


def test_fork_inside_a_capture_restores_stderr_in_the_child() -> None:
    code = """
import ctypes, os
from litert._quiet import captured_library_output

libc = ctypes.CDLL(None)
libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
with captured_library_output():
    child = os.fork()
    if child == 0:
        libc.fputs(b"from the child", ctypes.c_void_p.in_dll(libc, "stderr"))
        os._exit(0)
    os.waitpid(child, 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "from the child")
