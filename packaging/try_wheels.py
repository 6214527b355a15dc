"""Install each wheel into a fresh place and run a model: ``try_wheels.py FOLDER``.

A wheel for this processor goes into a virtual environment of its Python, where there is one (on the
PATH, of pyenv, or named in PYTHONS, paths joined by colons); others into an emulated Debian. Prints
a table with what each came to, and what could not be tried.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import emulation
from emulation import CannotBeHadError

HERE = Path(__file__).resolve().parent
# With the models that the package brings.
MAX_INSTALLED_BYTES = 3_000_000
NOT_TRIED = "not tried: "
RUN_PURE = """
import litert, warnings
from litert.samples import digits_model_path, load_digits
images, labels = load_digits()
with warnings.catch_warnings(record=True) as given:
    warnings.simplefilter("always")
    with litert.Model(digits_model_path()) as model:
        assert model.run(images[:1])["probabilities"].argmax() == labels[0]
        assert model.backend == "reference"
assert "py3-none-any" in str(given[0].message), given[0].message
"""


@dataclass(frozen=True)
class Tag:
    """What the name of a wheel says."""

    python: str  # such as 3.11 or 3.14t, or any
    processor: str  # such as aarch64, or any

    @staticmethod
    def of(wheel: Path) -> Tag:
        """Read the name."""
        _, _, python, abi, platforms = wheel.stem.split("-")
        if python == "py3":
            return Tag("any", "musl" if "musl" in platforms else "any")
        processor = next(name for name in emulation.PROCESSORS if platforms.endswith(name))
        return Tag(f"3.{abi.removeprefix('cp3')}", processor)


def find_python(version: str) -> Path | None:
    """Return an interpreter of this version that is installed here."""
    named = [Path(path) for path in os.environ.get("PYTHONS", "").split(":") if path]
    on_path = shutil.which(f"python{version}")
    pyenv = Path.home() / ".pyenv" / "versions"
    for path in (*named, *([Path(on_path)] if on_path else []), *pyenv.glob("3.*/bin/python")):
        asked = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2] + "
        asked += "('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))"
        done = subprocess.run([path, "-c", asked], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def try_here(wheel: Path, python: Path) -> str:
    """Install into a virtual environment with all that the wheel wants, and run both backends."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = Path(folder) / "bin" / "python"
        pip = [inside, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", wheel], check=True)
        subprocess.run([*pip, "check"], check=True)
        if wheel.name.endswith("-any.whl"):
            subprocess.run([inside, "-I", "-c", RUN_PURE], check=True, cwd=folder)
        else:
            script = HERE / "smoke_test.py"
            subprocess.run([inside, "-I", script], check=True, cwd=folder, stdout=sys.stderr)
        size = size_of(next(Path(folder).glob("lib/*/site-packages/litert")))
    assert size <= MAX_INSTALLED_BYTES, f"{size} bytes are installed"
    return f"ok, {size / 1e6:.2f} MB installed"


def size_of(folder: Path) -> int:
    """Return the size of the files that came with the wheel."""
    return sum(path.stat().st_size for path in folder.rglob("*.*") if path.suffix != ".pyc")


def try_emulated(wheel: Path, tag: Tag) -> str:
    """Install into an emulated Debian, and run the checks or, without a library, import."""
    requirements = [str(wheel)]
    can_run = tag.processor != "armv7l" or tag.python == "3.11"
    if tag.processor == "armv7l" and can_run:
        requirements.append("tflite-runtime==2.14.0")
    system = emulation.prepare(tag.python, tag.processor, requirements)
    with tempfile.TemporaryDirectory() as folder:
        if can_run:
            done = system.run(HERE / "arm_checks.py", folder)
        else:
            script = Path(folder) / "script.py"
            script.write_text("import litert\nfrom litert import _native\n")
            done = system.run(script)
    if done.returncode:
        raise AssertionError(done.stderr)
    return f"ok on an emulated {emulation.PROCESSORS[tag.processor][2]}" + (
        "" if can_run else ", imported"
    )


def try_wheel(wheel: Path) -> str:
    """Return what became of a wheel."""
    tag = Tag.of(wheel)
    if tag.processor == "musl":
        return f"{NOT_TRIED}no system with musl here; the files are those of the wheel for any"
    if tag.python == "any":
        return try_here(wheel, Path(sys.executable))
    python = find_python(tag.python) if tag.processor == platform.machine() else None
    if python is not None:
        return try_here(wheel, python)
    if tag.python in emulation.SUITES:
        return try_emulated(wheel, tag)
    return f"{NOT_TRIED}no Python {tag.python} for {tag.processor} here"


def main() -> int:
    """Print the table; return 1 if a wheel does not work."""
    num_failed = 0
    for wheel in sorted(Path(sys.argv[1]).glob("*.whl")):
        try:
            result = try_wheel(wheel)
        except CannotBeHadError as err:
            result = f"{NOT_TRIED}{err}"
        except (AssertionError, subprocess.CalledProcessError) as err:
            result, num_failed = f"FAILED: {err}", num_failed + 1
        print(f"| {wheel.name} | {result} |", flush=True)
    return 1 if num_failed else 0


if __name__ == "__main__":
    sys.exit(main())
