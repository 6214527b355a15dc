"""The most memory that a model needs, measured in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from litert.errors import LiteRTError

_STATUS = Path("/proc/self/status")
_NUM_RUNS = 3
# The modules of this process, wherever it found them, and not those of the current folder.
_ENTRY = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from litert.peak_memory import main; main(*sys.argv[2:])"
)


def measure_peak_memory(
    path: str | os.PathLike[str], *, signature: str, num_threads: int, backend: str
) -> int | None:
    """Load and run a model in a new process and return the memory that this took at most.

    One process cannot tell what each of several models takes: memory that one has freed is used
    again by the next.

    Args:
        path: A .tflite file.
        signature: The signature's key.
        num_threads: Threads of a run.
        backend: ``"native"`` or ``"reference"``.

    Returns:
        Bytes beyond what Python, this package and the library have resident before, pages of the
        file included; None where that cannot be measured.
    """
    if not _STATUS.exists() or not sys.executable:
        return None
    arguments = [os.path.abspath(path), signature, str(num_threads), backend]
    finished = subprocess.run(
        [sys.executable, "-I", "-c", _ENTRY, json.dumps(sys.path), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^peak (\d+)$", finished.stdout, re.MULTILINE)
    return int(found[1]) if finished.returncode == 0 and found else None


def main(path: str, signature: str, num_threads: str, backend: str) -> None:
    """Measure in this process, which has done nothing else, and print the bytes."""
    from litert.model import Model

    _import_backend(backend)
    _forget_peak()
    before = _status_bytes("VmRSS")
    with Model(path, num_threads=int(num_threads), backend=backend) as model:  # type: ignore[arg-type]
        runner = model.bind(signature)
        for _ in range(_NUM_RUNS):
            runner.run()
        print(f"peak {max(_status_bytes('VmHWM') - before, 0)}")


def _import_backend(backend: str) -> None:
    import numpy as np  # noqa: F401

    if backend == "reference":
        from litert.backends._interpreter import import_interpreter

        import_interpreter()
        return
    from litert.library import load_library

    load_library()
    import litert.backends.native  # noqa: F401


def _forget_peak() -> None:
    """Have the kernel count the peak from here on; imports may have had a higher one."""
    # Where that is not allowed: the peak of imports is hardly above what they keep.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise LiteRTError(f"{_STATUS}: expected a line {field}")
    return int(found[1]) * 1024
