"""Finding and loading the LiteRT library: each wrong one says what is wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import litert

LOAD = """
import litert
try:
    litert.load_library()
except litert.LibraryError as err:
    print(err)
"""


def load_error(library: str, code: str = LOAD) -> str:
    """Load a library in a new process and return what the error says."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LITERT_LIBRARY": library},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def compile_library(folder: Path, source: str) -> str:
    """Compile a shared library, or skip the test."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    path = folder / "libLiteRt.so"
    (folder / "fake.c").write_text(source)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(path), str(folder / "fake.c")], check=True
    )
    return str(path)


def test_info_names_path_and_version() -> None:
    info = litert.library_info()
    assert Path(info.path).name == "libLiteRt.so"
    assert Path(info.path).is_file()
    assert tuple(map(int, info.version.split(".")[:3])) >= (2, 1, 6)


def test_load_the_same_library_again_does_nothing() -> None:
    litert.load_library()
    litert.load_library(litert.library_info().path)
    assert litert.library_info() == litert.library_info()


def test_load_another_library_names_the_one_in_use(tmp_path: Path) -> None:
    path = litert.library_info().path
    copy = tmp_path / "libLiteRt.so"
    copy.symlink_to(path)
    with pytest.raises(litert.LibraryError, match=f"{copy}: {path} is already in use"):
        litert.load_library(copy)


def test_load_missing_file_names_the_variable() -> None:
    message = load_error("/nowhere/libLiteRt.so")
    assert message == "LITERT_LIBRARY: there is no file /nowhere/libLiteRt.so\n"


def test_load_what_is_no_library_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "libLiteRt.so"
    path.write_text("this is no library\n")
    message = load_error(str(path))
    assert message.startswith("cannot load the LiteRT library: ")
    assert str(path) in message


def test_load_too_old_library_says_which_is_needed(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "void LiteRtCreateEnvironment(void) {}\n")
    message = load_error(path)
    assert message.startswith(f"{path} has no symbol LiteRtCreateModelFromFd; ")
    assert "2.1.6 or later is needed" in message
    assert "pip install" in message


def test_load_library_that_lacks_a_symbol_names_it(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "void LiteRtCreateModelFromFd(void) {}\n")
    message = load_error(path)
    assert message.startswith(f"{path} has no symbol LiteRt")
    assert "LiteRtCreateModelFromFd" not in message


def test_load_after_a_failure_finds_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "libLiteRt.so"
    path.write_text("this is no library\n")
    code = f"{LOAD}\nimport os\ndel os.environ['LITERT_LIBRARY']\nprint(litert.library_info().path)"
    *_, found = load_error(str(path), code).splitlines()
    assert found == litert.library_info().path


def test_load_without_the_package_says_what_to_install() -> None:
    code = """
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if "edge" in name else find_spec(name, *args)
"""
    message = load_error("", code + LOAD)
    assert "libLiteRt.so was not found" in message
    assert "ai_edge_litert is not installed" in message
    assert "pip install 'ai-edge-litert>=2.1.6,<3'" in message


@pytest.mark.parametrize("value", ["0", "1"])
def test_inputs_bound_anew_at_each_run_compute_the_same(data: Path, value: str) -> None:
    code = """
import sys
import litert
with litert.Model(sys.argv[1]) as model, model.bind("scale") as runner:
    for value in (1, 2):
        runner.inputs["x"][...] = value
        runner.run()
        print(runner.outputs["scaled"][0, 0])
print(litert.library_info().keeps_inputs_bound)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(data / "add.tflite")],
        env={**os.environ, "LITERT_KEEP_INPUTS": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2.5", "5.0", str(value == "1")]
