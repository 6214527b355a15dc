"""What wheels require and hold, and what the scripts that make them refuse."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"

requirements = pytest.importorskip("packaging.requirements")

LINUX = {"sys_platform": "linux", "implementation_name": "cpython", "python_version": "3.12"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module that builds the wheels."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    yield importlib.import_module("wheels")
    for name in ("wheels", "check_wheel"):
        sys.modules.pop(name, None)


@pytest.fixture
def check(script: ModuleType) -> ModuleType:
    """The module that checks a wheel."""
    return sys.modules["check_wheel"]


def project() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required_on(**environment: str) -> set[str]:
    """Return the names of what the package requires on a system."""
    parsed = [requirements.Requirement(text) for text in project()["dependencies"]]
    return {
        one.name for one in parsed if one.marker is None or one.marker.evaluate(LINUX | environment)
    }


# What is required


@pytest.mark.parametrize(
    "environment",
    [
        {"platform_machine": "x86_64"},
        {"platform_machine": "aarch64"},
        {"platform_machine": "x86_64", "python_version": "3.10"},
        {"platform_machine": "aarch64", "python_version": "3.14"},
        {"platform_machine": "arm64", "sys_platform": "darwin"},
        {"platform_machine": "AMD64", "sys_platform": "win32"},
    ],
)
def test_ai_edge_litert_is_required_where_it_has_a_wheel(environment):
    assert required_on(**environment) == {"numpy", "ai-edge-litert"}


@pytest.mark.parametrize(
    "environment",
    [
        {"platform_machine": "armv7l", "python_version": "3.13"},
        {"platform_machine": "i686"},
        {"platform_machine": "riscv64"},
        {"platform_machine": "x86_64", "python_version": "3.15"},
        {"platform_machine": "x86_64", "sys_platform": "darwin"},
        {"platform_machine": "ARM64", "sys_platform": "win32"},
        {"platform_machine": "x86_64", "implementation_name": "pypy"},
    ],
)
def test_nothing_is_required_that_has_no_wheel(environment):
    assert required_on(**environment) == {"numpy"}


def test_tflite_runtime_is_required_on_32_bit_arm():
    environment = {"platform_machine": "armv7l", "python_version": "3.11"}
    assert required_on(**environment) == {"numpy", "tflite-runtime"}


@pytest.mark.parametrize(
    ("extra", "packages"),
    [
        ("cli", {"rich"}),
        ("vision", {"pillow"}),
        ("llm", {"minijinja", "sentencepiece", "tokenizers"}),
        ("openvino", {"openvino"}),
    ],
)
def test_extra_brings_what_it_needs_and_nothing_else(extra, packages):
    parsed = map(requirements.Requirement, project()["optional-dependencies"][extra])
    assert {one.name for one in parsed} == packages


def test_extra_openvino_is_the_release_that_messages_name():
    from litert.accelerate.openvino import _EXTRA

    (text,) = project()["optional-dependencies"]["openvino"]
    assert str(requirements.Requirement(text).specifier) == f"=={_EXTRA}"


# What wheels there are


def test_targets_are_those_that_the_documentation_lists(script):
    tags = {target.tag for target in script.TARGETS}
    assert len(tags) == 16
    assert {"cp310-x86_64", "cp314t-aarch64", "cp311-armv7l", "cp313-armv7l"} <= tags


def test_package_knows_which_native_wheels_there_are(script):
    from litert.installation import _MINORS, _MINORS_ARM_32, _MINORS_FREE_THREADED

    def minors(processor: str, is_free_threaded: bool = False) -> set[int]:
        return {
            int(target.python.removeprefix("3.").removesuffix("t"))
            for target in script.TARGETS
            if target.processor == processor and target.is_free_threaded == is_free_threaded
        }

    for processor in ("x86_64", "aarch64"):
        assert set(_MINORS) == minors(processor)
        assert set(_MINORS_FREE_THREADED) == minors(processor, is_free_threaded=True)
    assert set(_MINORS_ARM_32) == minors("armv7l")


def test_target_of_free_threaded_python_has_its_own_abi(script):
    target = script.Target("3.14t", "aarch64")
    assert target.wheel_tag == "cp314-cp314t-linux_aarch64"
    assert target.suffix == ".cpython-314t-aarch64-linux-gnu.so"
    assert target.runtime == ["litert-lm-api>=0.17"]


def test_target_of_32_bit_arm_requires_what_has_a_wheel_there(script):
    assert script.Target("3.11", "armv7l").runtime == ["tflite-runtime>=2.14", "numpy<2"]
    assert script.Target("3.13", "armv7l").runtime == []


def test_set_runtime_replaces_what_brings_the_library(script, tmp_path):
    metadata = tmp_path / "METADATA"
    metadata.write_text(
        "Name: litert-native\nRequires-Dist: numpy>=1.23.5\n"
        "Requires-Dist: ai-edge-litert<3,>=2.1.6; python_version < '3.15'\n"
        "Requires-Dist: tflite-runtime>=2.14; platform_machine == 'armv7l'\n"
        "Requires-Dist: openvino==2026.3.1; extra == 'openvino'\n"
        "Requires-Dist: rich>=13; extra == 'cli'\n\nThe text: ai-edge-litert.\n"
    )
    script.set_runtime(metadata, ["litert-lm-api>=0.17"])
    assert metadata.read_text() == (
        "Name: litert-native\nRequires-Dist: litert-lm-api>=0.17\nRequires-Dist: numpy>=1.23.5\n"
        "Requires-Dist: rich>=13; extra == 'cli'\n\nThe text: ai-edge-litert.\n"
    )


def test_unknown_tag_is_refused_with_those_that_are_known(tmp_path):
    done = subprocess.run(
        [sys.executable, PACKAGING / "wheels.py", tmp_path / "dist", "cp27-aarch64"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("wheels.py: unknown cp27-aarch64; known: cp310-x86_64 ")
    assert not (tmp_path / "dist").exists()


# What is checked in a wheel


def make_wheel(
    folder: Path, check: ModuleType, name: str, extensions: dict[str, bytes], **files: bytes
) -> Path:
    """Write a wheel that is as it should be but for what is given."""
    path = folder / name
    with zipfile.ZipFile(path, "w") as wheel:
        for required in check.REQUIRED:
            wheel.writestr(required, b"")
        for number in range(check.NUM_LICENSES):
            wheel.writestr(f"litert_native-0.1.0.dist-info/licenses/{number}", b"")
        for extension, data in extensions.items():
            wheel.writestr(f"litert/{extension}", data)
        for other, data in files.items():
            wheel.writestr(other, data)
    return path


def elf(machine: int, content: bytes = b"") -> bytes:
    """Return the head of an ELF file for a processor."""
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + content


AARCH64 = "litert_native-0.1.0-cp311-cp311-manylinux_2_17_aarch64.whl"
MODULE = "_native.cpython-311-aarch64-linux-gnu.so"


def test_sound_wheels_have_no_faults(check, tmp_path):
    native = make_wheel(tmp_path, check, AARCH64, {MODULE: elf(183)})
    pure = make_wheel(tmp_path, check, "litert_native-0.1.0-py3-none-any.whl", {})
    assert check.find_faults(native) == []
    assert check.find_faults(pure) == []


@pytest.mark.parametrize(
    ("extensions", "fault"),
    [
        ({}, "one extension module is expected, found []"),
        ({MODULE: elf(62)}, f"litert/{MODULE} is for x86_64, not for manylinux_2_17_aarch64"),
        ({MODULE: elf(183, b"\0.symtab\0")}, f"litert/{MODULE} is not stripped"),
        (
            {"_native.cpython-312-aarch64-linux-gnu.so": elf(183)},
            "litert/_native.cpython-312-aarch64-linux-gnu.so is not for cp311",
        ),
    ],
)
def test_wheel_with_the_wrong_extension_has_a_fault(check, tmp_path, extensions, fault):
    assert check.find_faults(make_wheel(tmp_path, check, AARCH64, extensions)) == [fault]


def test_pure_wheel_with_an_extension_has_a_fault(check, tmp_path):
    name = "litert_native-0.1.0-py3-none-any.whl"
    faults = check.find_faults(make_wheel(tmp_path, check, name, {MODULE: elf(183)}))
    assert faults == [f"litert/{MODULE} does not belong into a wheel for every Python"]


def test_wheel_with_a_foreign_file_has_a_fault(check, tmp_path):
    wheel = make_wheel(tmp_path, check, AARCH64, {MODULE: elf(183)}, **{"litert/notes.doc": b""})
    assert check.find_faults(wheel) == ["litert/notes.doc does not belong here"]
