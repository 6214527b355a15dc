"""Build the small C++ programs of the benchmarks as they run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parent
_INCLUDE = _FOLDER.parent / "third_party" / "litert" / "include"


class BuildError(Exception):
    """A program cannot be built; the message says why."""


def build_library(source: str, folder: Path, *flags: str) -> Path:
    """Build a shared library from one file of this folder.

    Args:
        source: The file's name.
        folder: Where the library goes.
        flags: More for the compiler, after the source.

    Raises:
        BuildError: There is no compiler, or it fails.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise BuildError(f"{source} needs a C++ compiler")
    built = folder / Path(source).with_suffix(".so").name
    _run(
        *(*compiler.split(), "-std=c++20", "-O3", "-shared", "-fPIC", "-pthread"),
        *("-isystem", str(_INCLUDE), str(_FOLDER / source), "-o", str(built), *flags),
    )
    return built


def build_target(target: str, folder: Path) -> Path:
    """Build a target of this folder's CMakeLists.txt against the core, without Python.

    Raises:
        BuildError: There is no CMake, or it fails.
    """
    cmake = shutil.which("cmake")
    if cmake is None:
        raise BuildError(f"{target} needs CMake: pip install cmake ninja")
    _run(
        *(cmake, "-S", str(_FOLDER.parent), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"),
        *("-DLITERT_NATIVE_PYTHON=OFF", "-DLITERT_NATIVE_BENCHMARKS=ON"),
    )
    _run(cmake, "--build", str(folder), "--target", target, "--parallel")
    return folder / "benchmarks" / target


def _run(*command: str) -> None:
    done = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed: {' '.join(done.stdout.split()[-60:])}")
