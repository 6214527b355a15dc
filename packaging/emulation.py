"""A Debian system for another processor, in a folder, with Python and wheels, run by qemu.

Without root rights and without a trace in the system. Everything lies under build/emulated and is
kept: the second time nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMULATED = ROOT / "build" / "emulated"
CANNOT_BE_HAD = 77
# Debian's name of the processor, the emulator's, and a CPU that can do what most have.
PROCESSORS = {
    "x86_64": ("amd64", "x86_64", "max"),
    "aarch64": ("arm64", "aarch64", "cortex-a72"),
    "armv7l": ("armhf", "arm", "cortex-a7"),
}
# Which releases of Debian have which Python.
SUITES = {"3.11": ("bookworm",), "3.13": ("trixie", "forky"), "3.14": ("forky",)}
GLIBC_TAGS = ("2_17", "2_27", "2_28", "2_31", "2_34", "2_36")


class CannotBeHadError(Exception):
    """Something that has to come from a package index or a mirror does not."""


@dataclass(frozen=True)
class System:
    """A root folder with a Python, and what is installed for it."""

    python: str
    processor: str
    root: Path
    site: Path

    def run(
        self,
        script: Path | str,
        *args: str,
        cpu: str = "",
        timeout_s: float = 900,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python script on a CPU; it must not start processes, which nobody would emulate."""
        _, emulator, usual_cpu = PROCESSORS[self.processor]
        command = [
            *(str(EMULATED / "qemu" / "usr" / "bin" / f"qemu-{emulator}"), "-cpu"),
            *(cpu or usual_cpu, "-L", str(self.root)),
            *(str(self.root / "usr" / "bin" / f"python{self.python}"), str(script), *args),
        ]
        kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        paths = [str(self.site), variables.pop("PYTHONPATH", "")]
        environment = kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | variables
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )


def prepare(python: str, processor: str, requirements: list[str]) -> System:
    """Make the system with Debian's Python and these requirements of pip.

    Args:
        python: The version, such as ``3.11``.
        processor: ``x86_64``, ``aarch64`` or ``armv7l``.
        requirements: What pip is given; the path of a wheel brings what it depends on.

    Raises:
        CannotBeHadError: A package cannot be downloaded here.
    """
    unpack(("trixie", "forky"), "amd64", EMULATED / "qemu", "qemu-user")
    architecture = PROCESSORS[processor][0]
    packages = [f"python{python}", "libstdc++6", "libgcc-s1"]
    if processor == "armv7l" and python == "3.11":
        packages.append("python3-numpy")  # the index has none for this processor
    root = EMULATED / f"{python}-{processor}"
    unpack(SUITES[python], architecture, root, "--dependencies", *packages)
    link_alternatives(root)
    return System(python, processor, root, install(python, processor, requirements))


def unpack(suites: tuple[str, ...], architecture: str, folder: Path, *packages: str) -> None:
    """Unpack Debian packages of the first release that has them."""
    program = ROOT / "packaging" / "debian_packages"
    for suite in suites:
        done = subprocess.run(
            [program, suite, architecture, folder, *packages],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
    raise CannotBeHadError(f"Debian's {' '.join(packages)} for {architecture}: {done.stderr}")


def link_alternatives(root: Path) -> None:
    """Put BLAS and LAPACK where NumPy finds them, which the packages' own scripts would do."""
    for name in ("blas", "lapack"):
        for path in root.glob(f"usr/lib/*/{name}/lib{name}.so.3"):
            link = path.parent.parent / path.name
            if not link.exists():
                link.symlink_to(f"{name}/{path.name}")


def install(python: str, processor: str, requirements: list[str]) -> Path:
    """Install requirements into a folder of their own, as pip would on that system."""
    key = json.dumps([python, processor, [fingerprint(one) for one in requirements]])
    site = EMULATED / f"site-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (site / ".complete").exists():
        return site
    shutil.rmtree(site, ignore_errors=True)
    version = python.replace(".", "")
    tags = ["--implementation", "cp", "--python-version", python.removesuffix("t")]
    for abi in (f"cp{version}", "abi3", "none"):
        tags += ["--abi", abi]
    for platform in (
        f"manylinux2014_{processor}",
        *(f"manylinux_{tag}_{processor}" for tag in GLIBC_TAGS),
    ):
        tags += ["--platform", platform]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    # Markers are judged by this machine: where that would choose wrongly, nothing is added.
    alone = ["--no-deps"] if processor == "armv7l" else []
    if requirements:
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", "--target", site, *tags, *alone, *requirements],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotBeHadError(f"pip install {' '.join(requirements)}: {done.stderr}")
    site.mkdir(exist_ok=True)
    (site / ".complete").touch()
    return site


def fingerprint(requirement: str) -> str:
    """Tell wheels of the same name apart by what is in them."""
    path = Path(requirement)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else requirement
