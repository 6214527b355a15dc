"""Build and call the loop over the C API in c_loop.cc."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy.typing as npt
import pytest

import litert

_ROOT = Path(__file__).resolve().parents[1]


class _Memory(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("size_bytes", ctypes.c_size_t))


class CLoop:
    """The first signature of a model, run in C++ over memory of ours. One thread at a time.

    Args:
        path: A .tflite file with float32 tensors only.
        inputs: The memory of each input, in the order of the C API.
        outputs: The memory of each output.
    """

    def __init__(
        self, path: Path, inputs: list[npt.NDArray[object]], outputs: list[npt.NDArray[object]]
    ) -> None:
        self._library = _library()
        self._kept_alive = (path.read_bytes(), inputs, outputs)
        opened = self._library.c_loop_open(
            litert.library_info().path.encode(),
            *(self._kept_alive[0], len(self._kept_alive[0])),
            *(_memories(inputs), len(inputs), _memories(outputs), len(outputs)),
        )
        if not opened:
            raise RuntimeError(f"{path}: the C++ loop cannot open it")
        self._loop = ctypes.c_void_p(opened)

    def run(self, count: int) -> float:
        """Run with the inputs bound each time; returns seconds."""
        return self._run(count, keep_inputs=False)

    def run_kept(self, count: int) -> float:
        """Run with the inputs left bound, as ``run`` has bound them before."""
        return self._run(count, keep_inputs=True)

    def _run(self, count: int, *, keep_inputs: bool) -> float:
        seconds: float = self._library.c_loop_run(self._loop, count, int(keep_inputs))
        if seconds < 0:
            raise RuntimeError("a run of the C++ loop failed")
        return seconds


def _memories(arrays: list[npt.NDArray[object]]) -> ctypes.Array[_Memory]:
    return (_Memory * len(arrays))(*((array.ctypes.data, array.nbytes) for array in arrays))


@cache
def _library() -> ctypes.CDLL:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("the C++ loop needs a C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "c_loop.so"
        command = [
            *(*compiler.split(), "-std=c++20", "-O2", "-shared", "-fPIC"),
            f"-I{_ROOT / 'third_party' / 'litert' / 'include'}",
            *(str(Path(__file__).with_name("c_loop.cc")), "-o", str(built), "-ldl"),
        ]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(built))
    library.c_loop_open.restype = ctypes.c_void_p
    library.c_loop_open.argtypes = [
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
        *(ctypes.POINTER(_Memory), ctypes.c_size_t) * 2,
    ]
    library.c_loop_run.restype = ctypes.c_double
    library.c_loop_run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    return library
