"""Keep what the runtime writes on C's ``stderr`` off the terminal.

The runtime says ``INFO: Created TensorFlow Lite XNNPACK delegate for CPU.`` once a process,
through the ``FILE*`` that C calls ``stderr``, whatever its log level. While a capture is open that
variable points to a stream over a fixed piece of memory. File descriptor 2, Python's
``sys.stderr`` and whatever writes to them directly are not touched, so other threads lose nothing
but what C or C++ code of theirs writes through ``stderr`` in those moments, and that is found in
the log. The memory (64 KiB; what does not fit is lost) is never moved or freed, so a thread that
fetched the pointer just before the capture ended writes into memory that is still there. What the
runtime says before it aborts the process in a capture is lost.

Only with glibc, whose ``stderr`` is a variable by its documentation; elsewhere captures are empty.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("litert")

_CAPACITY_BYTES = 1 << 16
_UNBUFFERED = 2  # _IONBF
_ROUTINE = ("Created TensorFlow Lite XNNPACK delegate for CPU.",)


class _StderrCapture:
    """The one capture of the process. Thread-safe: overlapping captures share the stream."""

    def __init__(self, libc: ctypes.PyDLL) -> None:
        libc.fmemopen.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        libc.fmemopen.restype = ctypes.c_void_p
        libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        libc.ftell.argtypes = libc.rewind.argtypes = [ctypes.c_void_p]
        libc.ftell.restype = ctypes.c_long
        libc.rewind.restype = None
        self._libc = libc
        self._stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        self._memory = ctypes.create_string_buffer(_CAPACITY_BYTES)
        self._stream = libc.fmemopen(self._memory, _CAPACITY_BYTES, b"w")
        if not self._stream:
            raise MemoryError("no stream over memory")
        # Like the real stderr: a line is there once it is written, without a flush.
        libc.setvbuf(self._stream, None, _UNBUFFERED, 0)
        self._drained = 0
        self._original: int | None = None
        self._open: list[list[str]] = []
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._restore_in_child)

    def begin(self) -> list[str]:
        """Point ``stderr`` to the memory; return the pieces of text, filled until ``end``."""
        pieces: list[str] = []
        with self._lock:
            if self._open:
                self._drain()
            else:
                self._original = self._stderr.value
                self._stderr.value = self._stream
            self._open.append(pieces)
        return pieces

    def end(self, pieces: list[str]) -> None:
        """Point ``stderr`` back unless another capture is open."""
        with self._lock:
            is_last = len(self._open) == 1
            if is_last:
                self._stderr.value = self._original
            self._drain()
            # By identity: lists of equal text are equal.
            self._open = [other for other in self._open if other is not pieces]
            # A thread that writes between the drain and this loses its line; with captures that
            # overlap without end there is no quieter moment.
            if is_last or self._drained > _CAPACITY_BYTES // 2:
                self._libc.rewind(self._stream)
                self._drained = 0

    def _drain(self) -> None:
        """Hand what was written since the last time to every open capture."""
        stop = int(self._libc.ftell(self._stream))
        new = ctypes.string_at(ctypes.addressof(self._memory) + self._drained, stop - self._drained)
        self._drained = stop
        for pieces in self._open:
            pieces.append(new.decode("utf-8", errors="replace"))

    def _restore_in_child(self) -> None:
        # Another thread may have been in a capture; it does not exist in the child.
        self._lock = threading.Lock()
        if self._open:
            self._open = []
            self._stderr.value = self._original


def _make_capture() -> _StderrCapture | None:
    """Make the process's capture, None where the C library is not glibc."""
    if os.name != "posix":
        return None
    # PyDLL keeps the GIL: these calls take less than a microsecond.
    libc = ctypes.PyDLL(None)
    return _StderrCapture(libc) if hasattr(libc, "gnu_get_libc_version") else None


_CAPTURE = _make_capture()


@contextmanager
def captured_library_output() -> Iterator[list[str]]:
    """Collect what C code writes to ``stderr`` inside the ``with`` block.

    The lines go to ``logging.getLogger("litert")`` at DEBUG, without the routine ones. Captures
    in several threads at once are safe; each then also sees the others' lines.

    Yields:
        A list that holds the lines once the block has ended.

    Example:
        >>> with captured_library_output() as lines:
        ...     pass
        >>> lines
        []
    """
    lines: list[str] = []
    if _CAPTURE is None:
        yield lines
        return
    pieces = _CAPTURE.begin()
    try:
        yield lines
    finally:
        _CAPTURE.end(pieces)
        text = "".join(pieces)
        lines += [line for line in text.splitlines() if line and not line.endswith(_ROUTINE)]
        for line in lines:
            _log.debug("library: %s", line)
