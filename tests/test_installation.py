"""What is said about a missing extension or library: it fits the system and the wheel."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import litert
import litert.installation
import litert.system
from litert.installation import explain_missing_extension, wheel_tags
from litert.library import import_extension

GLIBC = ("glibc", "2.36")


@pytest.fixture
def package_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of the package's own."""
    monkeypatch.setattr(litert.installation, "_FOLDER", tmp_path)
    explain_missing_extension.cache_clear()
    yield tmp_path
    explain_missing_extension.cache_clear()


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    *,
    machine: str = "x86_64",
    version: tuple[int, int] = (3, 13),
    libc: tuple[str, str] = GLIBC,
    is_free_threaded: bool = False,
    implementation: str = "CPython",
    platform: str = "linux",
) -> None:
    """Make the system look like another one."""
    info = type("VersionInfo", (tuple,), {"major": version[0], "minor": version[1]})(version)
    monkeypatch.setattr(sys, "version_info", info)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.system", platform.capitalize)
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    monkeypatch.setattr("platform.python_implementation", lambda: implementation)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: int(is_free_threaded))


def pretend_wheel(monkeypatch: pytest.MonkeyPatch, *tags: str) -> None:
    """Make the package look installed from a wheel with these tags."""

    class Distribution:
        @staticmethod
        def read_text(name: str) -> str:
            assert name == "WHEEL"
            return "Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags)

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())


# The wheel


def test_wheel_tags_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ["cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux2014_x86_64"]
    pretend_wheel(monkeypatch, *tags)
    assert wheel_tags() == tags


def test_wheel_tags_of_a_source_folder_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", not_installed)
    assert wheel_tags() == []


# Why there is no extension


def test_pure_wheel_where_no_native_one_fits_says_how_to_build(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_wheel(monkeypatch, "py3-none-any")
    pretend(monkeypatch, version=(3, 15), machine="aarch64")
    assert explain_missing_extension("") == (
        "this is the pure-Python wheel of litert-native (py3-none-any), which has no native core; "
        "pip took it since no native wheel fits CPython 3.15 on linux aarch64; with a C++20 "
        "compiler this builds one: "
        "pip install --force-reinstall --no-binary litert-native litert-native"
    )


def test_pure_wheel_where_a_native_one_fits_says_to_upgrade_pip(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_wheel(monkeypatch, "py3-none-any")
    pretend(monkeypatch)
    reason = explain_missing_extension("")
    assert "though there is a native wheel for CPython 3.13 on linux x86_64" in reason
    assert "pip install --upgrade pip" in reason
    assert reason.endswith("pip install --force-reinstall litert-native")


def test_pure_wheel_on_another_system_says_what_the_core_is_for(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_wheel(monkeypatch, "py3-none-any")
    pretend(monkeypatch, platform="darwin", machine="arm64", libc=("", ""))
    reason = explain_missing_extension("")
    assert reason.endswith(
        "no native wheel fits CPython 3.13 on darwin arm64: the native core is for Linux"
    )


@pytest.mark.parametrize(
    ("system", "has_wheel"),
    [
        ({"version": (3, 10)}, True),
        ({"version": (3, 14), "machine": "aarch64"}, True),
        ({"version": (3, 15)}, False),
        ({"version": (3, 14), "is_free_threaded": True}, True),
        ({"version": (3, 12), "is_free_threaded": True}, False),
        ({"version": (3, 11), "machine": "armv7l"}, True),
        ({"version": (3, 12), "machine": "armv7l"}, False),
        ({"version": (3, 13), "machine": "armv6l"}, False),
        ({"version": (3, 13), "machine": "riscv64"}, False),
        ({"version": (3, 11), "implementation": "PyPy"}, False),
        ({"libc": ("", "")}, False),
    ],
    ids=str,
)
def test_native_wheels_are_known(
    monkeypatch: pytest.MonkeyPatch, system: dict[str, object], has_wheel: bool
) -> None:
    pretend(monkeypatch, **system)  # type: ignore[arg-type]
    assert litert.installation._has_native_wheel() == has_wheel


def test_extension_of_another_python_is_named(package_folder: Path) -> None:
    (package_folder / "_native.cpython-27-x86_64-linux-gnu.so").touch()
    reason = explain_missing_extension("No module named 'litert._native'")
    assert reason.startswith("there is no extension module litert._native for ")
    assert ", only _native.cpython-27-x86_64-linux-gnu.so; reinstall litert-native" in reason


def test_extension_in_no_folder_is_missing(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_wheel(monkeypatch, "cp313-cp313-linux_x86_64")
    pretend(monkeypatch)
    assert explain_missing_extension("") == (
        "there is no extension module litert._native for CPython 3.13; reinstall litert-native "
        "with this Python"
    )


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (
            "undefined symbol: foo",
            "undefined symbol: foo; reinstall litert-native with this Python",
        ),
        ("version `GLIBC_2.38' not found", "C library (glibc 2.36) is too old for it, use a newer"),
        ("loads in the main interpreter alone", "loads in the main interpreter alone"),
    ],
)
def test_extension_that_does_not_load_says_why(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch, failure: str, advice: str
) -> None:
    (package_folder / f"_native{EXTENSION_SUFFIXES[0]}").touch()
    monkeypatch.setattr("platform.libc_ver", lambda: GLIBC)
    reason = explain_missing_extension(failure)
    assert reason.startswith("the extension module litert._native does not load: ")
    assert advice in reason


def test_missing_extension_is_explained_by_the_library(
    package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litert._extension", None)
    pretend_wheel(monkeypatch, "py3-none-any")
    with pytest.raises(litert.LibraryError, match="this is the pure-Python wheel"):
        import_extension()


def test_missing_extension_is_explained_by_the_fallback(tmp_path: Path, data: Path) -> None:
    script = """
import sys
from pathlib import Path
import litert.installation
litert.installation._FOLDER = Path(sys.argv[2])
litert.installation.wheel_tags = lambda: ["py3-none-any"]
sys.modules["litert._native"] = None
try:
    litert.Model(sys.argv[1], backend="native")
except litert.LibraryError as err:
    print(err)
"""
    command = [sys.executable, "-c", script, str(data / "add.tflite"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("this is the pure-Python wheel of litert-native")


# What to install for the library


@pytest.mark.parametrize(
    ("system", "advice"),
    [
        ({}, "pip install 'ai-edge-litert>=2.1.6,<3'"),
        ({"machine": "aarch64"}, "pip install 'ai-edge-litert>=2.1.6,<3'"),
        ({"platform": "darwin", "libc": ("", "")}, "pip install 'ai-edge-litert>=2.1.6,<3'"),
        ({"is_free_threaded": True}, "pip install litert-lm-api"),
        ({"machine": "armv7l", "version": (3, 11)}, "tflite-runtime (pip install tflite-runtime)"),
        ({"machine": "armv7l"}, "(for Python 3.11 or older: pip install tflite-runtime)"),
        ({"libc": ("", "")}, "no package has a library for x86_64 with this C library"),
        ({"machine": "riscv64"}, "no package has a library for riscv64 with glibc 2.36"),
    ],
    ids=str,
)
def test_library_to_install_fits_the_system(
    monkeypatch: pytest.MonkeyPatch, system: dict[str, object], advice: str
) -> None:
    pretend(monkeypatch, **system)  # type: ignore[arg-type]
    assert advice in litert.system.how_to_get_library()


def test_library_where_litert_lm_is_no_way_out_needs_the_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, is_free_threaded=True)
    assert "use a Python with the GIL" in litert.system.how_to_get_library(is_lm_tried=True)


@pytest.mark.parametrize(
    ("system", "need"),
    [
        ({}, "ai-edge-litert: pip install 'ai-edge-litert>=2.1.6,<3'"),
        (
            {"is_free_threaded": True},
            "ai-edge-litert, but it has no wheel for free-threaded Python",
        ),
        ({"machine": "armv7l", "version": (3, 11)}, "tflite-runtime (pip install tflite-runtime)"),
    ],
    ids=str,
)
def test_interpreter_to_install_fits_the_system(
    monkeypatch: pytest.MonkeyPatch, system: dict[str, object], need: str
) -> None:
    pretend(monkeypatch, **system)  # type: ignore[arg-type]
    assert litert.system.how_to_get_interpreter() == need


@pytest.mark.parametrize(
    ("kernel", "expected"), [("aarch64", "armv7l"), ("x86_64", "i686"), ("armv8l", "armv8l")]
)
def test_machine_of_a_32_bit_python_is_not_that_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, kernel: str, expected: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: kernel)
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert litert.system.machine() == expected


@pytest.mark.parametrize(
    ("machine", "libc", "is_old"),
    [
        ("aarch64", ("glibc", "2.31"), True),
        ("aarch64", ("glibc", "2.34"), False),
        ("x86_64", ("glibc", "2.31"), False),
        ("aarch64", ("", ""), False),
    ],
)
def test_c_library_too_old_for_ai_edge_litert_is_told(
    monkeypatch: pytest.MonkeyPatch, machine: str, libc: tuple[str, str], is_old: bool
) -> None:
    pretend(monkeypatch, machine=machine, libc=libc)
    assert litert.system.is_old_for_ai_edge_litert() == is_old


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.3.0", (2, 3, 0)), ("2.10.0rc1", (2, 10)), ("", ()), ("x", ())]
)
def test_version_numbers_are_the_plain_ones(version: str, numbers: tuple[int, ...]) -> None:
    assert litert.system.version_numbers(version) == numbers
