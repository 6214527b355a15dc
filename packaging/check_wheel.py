"""Check what a wheel holds: ``check_wheel.py WHEEL``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MAX_SIZE_BYTES = 1_500_000

REQUIRED = [
    "litert/__init__.py",
    "litert/_native.pyi",
    "litert/backends/native.py",
    "litert/cli/main.py",
    "litert/py.typed",
    "litert/samples/digits.tflite",
    "litert/samples/digits_samples.npz",
    "litert/samples/speller.litertlm",
    "litert/samples/speller_questions.json",
]
SUFFIXES = {".json", ".litertlm", ".md", ".npz", ".py", ".pyi", ".so", ".tflite", ".typed"}
NUM_LICENSES = 3
# By e_machine of the ELF header.
PROCESSORS = {40: "armv7l", 62: "x86_64", 183: "aarch64"}


def find_faults(path: Path) -> list[str]:
    """Return what is wrong with the wheel at ``path``, a line each."""
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
        extensions = [name for name in names if name.endswith(".so")]
        binaries = {name: wheel.read(name) for name in extensions}
    metadata = [name for name in names if ".dist-info/" in name]
    faults = [f"{name} is missing" for name in REQUIRED if name not in names]
    faults += [
        f"{name} does not belong here"
        for name in set(names) - set(metadata)
        if not name.startswith("litert/") or Path(name).suffix not in SUFFIXES
    ]
    num_licenses = sum("/licenses/" in name for name in metadata)
    if num_licenses != NUM_LICENSES:
        faults.append(f"{num_licenses} licences in place of {NUM_LICENSES}")
    faults += _find_extension_faults(path.name, binaries)
    size_bytes = path.stat().st_size
    if size_bytes > MAX_SIZE_BYTES:
        faults.append(f"{size_bytes} bytes are more than {MAX_SIZE_BYTES}")
    return faults


def _find_extension_faults(wheel_name: str, binaries: dict[str, bytes]) -> list[str]:
    """Compare the extension modules of a wheel with its tag."""
    _, _, python, abi, platforms = wheel_name.removesuffix(".whl").split("-")
    if python == "py3":
        return [f"{name} does not belong into a wheel for every Python" for name in binaries]
    if len(binaries) != 1:
        return [f"one extension module is expected, found {sorted(binaries)}"]
    ((name, data),) = binaries.items()
    faults = []
    if b".symtab\0" in data:
        faults.append(f"{name} is not stripped")
    if f".cpython-{abi.removeprefix('cp')}-" not in name:
        faults.append(f"{name} is not for {abi}")
    machine = int.from_bytes(data[18:20], "little")
    if not all(platform.endswith(PROCESSORS[machine]) for platform in platforms.split(".")):
        faults.append(f"{name} is for {PROCESSORS[machine]}, not for {platforms}")
    return faults


def main() -> int:
    """Print the faults; return 1 if there are any."""
    path = Path(sys.argv[1])
    faults = find_faults(path)
    for fault in faults:
        print(f"{path.name}: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
