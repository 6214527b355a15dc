"""Ctrl-C while the core runs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Interruption:
    """Whether Ctrl-C was pressed; certain when the ``with`` is over."""

    was_pressed: bool = False


@contextmanager
def on_interrupt(end: Callable[[], None]) -> Iterator[Interruption]:
    """Call ``end`` at Ctrl-C, at once; a second Ctrl-C raises KeyboardInterrupt.

    Python runs handlers of signals only when the core returns, and a prefill may take seconds.
    But it writes to a file descriptor at once, and ``end`` is called by the thread that reads it.
    In the main thread only.

    Args:
        end: Called in another thread.
    """
    state = Interruption()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while numbers := os.read(reader, 64):
            if signal.SIGINT in numbers:
                state.was_pressed = True
                end()

    watcher = threading.Thread(target=watch, name="litert-interrupt", daemon=True)
    watcher.start()
    handler = signal.signal(signal.SIGINT, _leave_the_next_to_python)
    descriptor = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield state
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, handler)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _leave_the_next_to_python(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
