"""Finding and loading the LiteRT library: each wrong one says what is wrong with it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest

import litert
from litert.library import find_library

LOAD = """
import litert
try:
    litert.load_library()
except litert.LibraryError as err:
    print(err)
"""


# Loads whichever library is found, with some packages hidden as if they were not installed.
REPORT = """
import json, logging, sys
from dataclasses import asdict
from importlib.machinery import PathFinder
hidden, path = json.loads(sys.argv[1])
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if name in hidden else find_spec(name, *args)
class Handler(logging.Handler):
    def emit(self, record):
        lines.append([record.levelname, record.getMessage()])
lines = []
logging.getLogger("litert").setLevel(logging.INFO)
logging.getLogger("litert").addHandler(Handler())
import litert
try:
    litert.load_library(path)
    result = asdict(litert.library_info())
except litert.LibraryError as err:
    result = {"error": str(err)}
print(json.dumps(result | {"log": lines}))
"""


def load_with(
    folder: Path, *names: str, path: str | None = None, **environment: str
) -> dict[str, Any]:
    """Load a library in a new process, with no packages that have one but those in the folder.

    Args:
        folder: Comes first where modules are looked for.
        names: The modules in the folder that stay visible.
        path: What ``load_library`` is given.
        environment: Variables that are set there.
    """
    hidden = [name for name in ("ai_edge_litert", "litert_lm") if name not in names]
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    outer = {key: value for key, value in os.environ.items() if key != "LITERT_LIBRARY"}
    outer["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [sys.executable, "-c", REPORT, json.dumps([hidden, path])],
        env=outer | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def make_package(folder: Path, path: str, version: str = "") -> Path:
    """Make a package that brings a library and refuses to be imported; return the library."""
    library = folder / path
    library.parent.mkdir()
    (library.parent / "__init__.py").write_text("raise AssertionError\n")
    if version:
        (folder / f"{version}.dist-info").mkdir()
    return library


def make_ai_edge_litert(folder: Path) -> Path:
    return make_package(folder, "ai_edge_litert/libLiteRt.so", "ai_edge_litert-2.9.0")


def make_litert_lm(folder: Path) -> Path:
    return make_package(folder, "litert_lm/liblitert-lm.so", "litert_lm_api-0.18.1")


@pytest.fixture(scope="module")
def real_library() -> Path:
    """The library that works, whatever package it is of."""
    return Path(litert.library_info().path)


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


def find_compiler() -> str:
    """Return a C compiler, or skip the test."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    return compiler


def compile_library(folder: Path, source: str) -> str:
    """Compile a shared library, or skip the test."""
    compiler = find_compiler()
    path = folder / "libLiteRt.so"
    (folder / "fake.c").write_text(source)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(path), str(folder / "fake.c")], check=True
    )
    return str(path)


def compile_library_for_newer_glibc(folder: Path) -> str:
    """Compile a library that needs a release of glibc that there never was, or skip the test."""
    (folder / "stub.map").write_text("GLIBC_9.99 { global: from_later; };\n")
    (folder / "stub.c").write_text("void from_later(void) {}\n")
    source = "void from_later(void);\nvoid LiteRtCreateEnvironment(void) { from_later(); }\n"
    compiler = find_compiler()
    stub = folder / "libc.so.6"
    options = ["-shared", "-fPIC", "-nostdlib"]
    version = [f"-Wl,--version-script={folder / 'stub.map'}", "-Wl,-soname,libc.so.6"]
    subprocess.run(
        [compiler, *options, *version, "-o", str(stub), str(folder / "stub.c")], check=True
    )
    path = folder / "newer.so"
    (folder / "newer.c").write_text(source)
    subprocess.run(
        [compiler, *options, "-o", str(path), str(folder / "newer.c"), str(stub)], check=True
    )
    stub.unlink()
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


# The choice


def test_choice_is_told_with_its_package(tmp_path: Path, real_library: Path) -> None:
    library = make_ai_edge_litert(tmp_path)
    library.symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert")
    assert found["path"] == str(library)
    assert found["package"] == "ai-edge-litert 2.9.0"
    assert found["version"] == "2.9.0"
    assert found["reason"] == "found with ai-edge-litert"
    assert found["log"] == []


def test_choice_prefers_ai_edge_litert(tmp_path: Path, real_library: Path) -> None:
    library = make_ai_edge_litert(tmp_path)
    library.symlink_to(real_library)
    make_litert_lm(tmp_path).symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert", "litert_lm")
    assert found["path"] == str(library)


def test_choice_without_ai_edge_litert_is_that_of_litert_lm(
    tmp_path: Path, real_library: Path
) -> None:
    library = make_litert_lm(tmp_path)
    library.symlink_to(real_library)
    found = load_with(tmp_path, "litert_lm")
    assert found["path"] == str(library)
    assert found["package"] == "litert-lm-api 0.18.1"
    assert found["reason"] == "litert-lm-api's, since ai-edge-litert is not installed"


def test_choice_of_litert_lm_has_the_version_that_its_symbols_tell(
    tmp_path: Path, real_library: Path
) -> None:
    make_ai_edge_litert(tmp_path)
    make_litert_lm(tmp_path).symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert", "litert_lm")
    assert found["version"] in ("2.1.6", "2.2.0", "2.3.0")


def test_choice_after_one_that_does_not_load_says_why_and_is_logged(
    tmp_path: Path, real_library: Path
) -> None:
    broken = make_ai_edge_litert(tmp_path)
    broken.write_text("this is no library\n")
    library = make_litert_lm(tmp_path)
    library.symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert", "litert_lm")
    assert found["path"] == str(library)
    start = "litert-lm-api's, since ai-edge-litert's does not load: cannot load the LiteRT library"
    assert found["reason"].startswith(start)
    assert str(broken) in found["reason"]
    assert found["log"] == [["INFO", f"the LiteRT library is {found['reason']}"]]


def test_choice_after_one_that_lacks_a_symbol_says_so(tmp_path: Path, real_library: Path) -> None:
    path = compile_library(tmp_path, "void LiteRtCreateEnvironment(void) {}\n")
    make_ai_edge_litert(tmp_path).symlink_to(path)
    make_litert_lm(tmp_path).symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert", "litert_lm")
    assert "has no symbol LiteRtCreateModelFromFd" in found["reason"]
    assert found["package"] == "litert-lm-api 0.18.1"


def test_choice_by_variable_is_told(tmp_path: Path, real_library: Path) -> None:
    found = load_with(tmp_path, LITERT_LIBRARY=str(real_library))
    assert (found["path"], found["package"]) == (str(real_library), "")
    assert found["reason"] == "LITERT_LIBRARY"


def test_choice_by_path_comes_before_the_variable(tmp_path: Path, real_library: Path) -> None:
    copy = tmp_path / "mine.so"
    copy.symlink_to(real_library)
    found = load_with(tmp_path, path=str(copy), LITERT_LIBRARY=str(real_library))
    assert (found["path"], found["package"]) == (str(copy), "")
    assert found["reason"] == "load_library"


def test_choice_by_variable_that_does_not_load_is_not_replaced(
    tmp_path: Path, real_library: Path
) -> None:
    make_ai_edge_litert(tmp_path).symlink_to(real_library)
    broken = tmp_path / "broken.so"
    broken.write_text("this is no library\n")
    found = load_with(tmp_path, "ai_edge_litert", LITERT_LIBRARY=str(broken))
    assert found["error"].startswith("cannot load the LiteRT library: ")
    assert str(broken) in found["error"]


def test_choice_by_path_that_does_not_load_is_not_replaced(
    tmp_path: Path, real_library: Path
) -> None:
    make_ai_edge_litert(tmp_path).symlink_to(real_library)
    found = load_with(tmp_path, "ai_edge_litert", path="/nowhere/libLiteRt.so")
    assert "/nowhere/libLiteRt.so" in found["error"]


# Nothing to choose from


def test_no_library_says_what_is_missing_and_what_to_install(tmp_path: Path) -> None:
    error = load_with(tmp_path)["error"]
    assert error == (
        "no LiteRT library was found that loads: ai-edge-litert is not installed; litert-lm-api is "
        "not installed; pip install 'ai-edge-litert>=2.1.6,<3'"
    )


def test_no_library_in_the_package_names_the_missing_file(tmp_path: Path) -> None:
    library = make_ai_edge_litert(tmp_path)
    error = load_with(tmp_path, "ai_edge_litert")["error"]
    assert f"ai-edge-litert's is missing: there is no file {library}" in error
    assert "pip install --force-reinstall 'ai-edge-litert>=2.1.6,<3'" in error


def test_no_library_that_loads_lists_every_reason(tmp_path: Path) -> None:
    libraries = [make_ai_edge_litert(tmp_path), make_litert_lm(tmp_path)]
    for library in libraries:
        library.write_text("this is no library\n")
    error = load_with(tmp_path, "ai_edge_litert", "litert_lm")["error"]
    assert (
        f"ai-edge-litert's does not load: cannot load the LiteRT library: {libraries[0]}" in error
    )
    assert f"litert-lm-api's does not load: cannot load the LiteRT library: {libraries[1]}" in error
    assert error.endswith("; pip install --force-reinstall 'ai-edge-litert>=2.1.6,<3'")


def test_library_for_a_newer_c_library_says_what_helps(tmp_path: Path) -> None:
    library = make_ai_edge_litert(tmp_path)
    library.symlink_to(compile_library_for_newer_glibc(tmp_path))
    error = load_with(tmp_path, "ai_edge_litert")["error"]
    assert "version `GLIBC_9.99' not found" in error
    assert (
        f"this system's C library ({' '.join(platform.libc_ver())}) is too old for ai-edge-litert's"
        in error
    )
    assert error.endswith(
        "pip install litert-lm-api, whose library needs glibc 2.27, or use a newer system"
    )


def test_libraries_for_a_newer_c_library_leave_a_newer_system(tmp_path: Path) -> None:
    path = compile_library_for_newer_glibc(tmp_path)
    make_ai_edge_litert(tmp_path).symlink_to(path)
    make_litert_lm(tmp_path).symlink_to(path)
    error = load_with(tmp_path, "ai_edge_litert", "litert_lm")["error"]
    assert error.endswith(
        " is too old for ai-edge-litert's and litert-lm-api's: use a newer system"
    )


def test_find_library_finds_the_one_of_litert_lm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_litert_lm(tmp_path)
    library.touch()
    monkeypatch.delenv("LITERT_LIBRARY", raising=False)
    find_spec = PathFinder.find_spec
    monkeypatch.setattr(
        PathFinder,
        "find_spec",
        lambda name: find_spec(name, [str(tmp_path)]),
    )
    assert find_library() == str(library)


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
