"""Run the ARM wheels on emulated CPUs, and compare with this machine: ``test_arm.py WHEEL...``

For each wheel and CPU arm_checks.py runs in an emulated Debian. Integers must be those that this
x86-64 machine computes, bit by bit, and so must the tokens of a language model; floats must be
close to its own, and the same on every ARM CPU. ai-edge-litert's own paths run beside ours, each in
a process of its own. Results are kept under build/emulated, by what they depend on.

``--quick`` runs one CPU on small models; ``--write FILE`` puts the table into a page.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emulation
import numpy as np
from emulation import EMULATED, ROOT, CannotBeHadError, System

CPUS = {
    "aarch64": ("cortex-a53", "cortex-a72", "cortex-a76", "max,sme=off"),
    "armv7l": ("cortex-a7",),
}
# Those without an instruction that the official library of the GPU wants, which is opened for the
# CPU too.
WITHOUT_LSE = ("cortex-a53", "cortex-a72")
# Those whose kernels add in the same order.
SAME_FLOATS = ("cortex-a53", "cortex-a72", "cortex-a76")
SMALL_MODELS = [
    ROOT / "tests" / "data" / f"{name}.tflite"
    for name in (
        *("int8_add", "uint8_add", "int8_per_channel_conv", "int8_dynamic_dense", "int16x8_dense"),
        *("int4_weights_dense", "int2_weights_dense", "conv", "mlp", "float16_weights_dense"),
    )
]
MOBILENETS = [
    ROOT.parent / "shared" / "models" / "mobilenet" / f"mobilenet_v2_1.0_224_{kind}.tflite"
    for kind in ("f32", "int8", "int16x8", "int4_weights")
]
OFFICIAL_PATHS = ("Interpreter", "CompiledModel")
HERE = Path(__file__).resolve().parent
# XNNPACK adds in another order here than on ARM.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
# Weights of 4 bits go with activations rounded to 8 bits on the way.
ROUNDED_TOLERANCE = {"rtol": 0.02, "atol": 0.05}
START, END = "<!-- arm table -->", "<!-- /arm table -->"


@dataclass(frozen=True)
class Result:
    """What a CPU made of the checks."""

    report: dict[str, Any]
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """A line of the table: how each way of running models ended."""

    python: str
    cpu: str
    interpreter: str = "no wheel"
    compiled_model: str = "no wheel"
    ours: str = ""
    with_litert_lm: str = "no wheel"
    faults: tuple[str, ...] = ()


def key_of(*parts: object) -> str:
    """Return a name for what depends on these alone."""
    return hashlib.sha256(json.dumps(list(map(str, parts))).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_result(folder: Path) -> Result:
    """Read what arm_checks.py left."""
    with np.load(folder / "outputs.npz") as outputs:
        return Result(json.loads((folder / "report.json").read_text()), dict(outputs))


def compute_here(models: list[Path]) -> Result:
    """Run the checks on this machine, with the package that is installed here."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, HERE / "arm_checks.py", folder, *models]
        subprocess.run(command, check=True)
        return read_result(Path(folder))


def compute_there(system: System, cpu: str, models: list[Path], library: str = "") -> Result | str:
    """Run the checks on an emulated CPU; return what went wrong where something did."""
    script = HERE / "arm_checks.py"
    key = key_of(cpu, library, system.root, system.site, digest(script), *map(digest, models))
    folder = EMULATED / "results" / key
    if not (folder / "report.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        variables = {"LITERT_LIBRARY": library} if library else {}
        done = system.run(script, str(folder), *map(str, models), cpu=cpu, **variables)
        if done.returncode:
            return describe_end(done)
    return read_result(folder)


def describe_end(done: subprocess.CompletedProcess[str]) -> str:
    """Say how a process ended."""
    if done.returncode == 0:
        return "ok"
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


def try_official(system: System, cpu: str, path: str, model: Path) -> str:
    """Run a model on one of the official paths; return how that ended."""
    script = HERE / "official_path.py"
    kept = EMULATED / "results" / key_of(cpu, system.root, system.site, path, digest(script), model)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(describe_end(system.run(script, path, str(model), cpu=cpu)))
    return kept.read_text()


def compare(there: Result, here: Result) -> list[str]:
    """Return where a CPU computes something else than this machine, beyond what is allowed."""
    is_native = there.report["digits"].startswith("native")
    faults = []
    if set(there.outputs) != set(here.outputs):
        faults.append(
            f"outputs {sorted(set(there.outputs) ^ set(here.outputs))} are on one side only"
        )
    for name in sorted(set(there.outputs) & set(here.outputs)):
        ours, expected = there.outputs[name], here.outputs[name]
        if ours.dtype.kind in "iu" and is_native:
            is_right = np.array_equal(ours, expected)
        elif ours.dtype.kind in "iu":
            # The reference backend of an older release rounds by itself.
            is_right = bool(np.abs(ours.astype(int) - expected.astype(int)).max() <= 3)
        else:
            tolerance = ROUNDED_TOLERANCE if is_rounded(name) else TOLERANCE
            is_right = np.allclose(ours, expected, **tolerance)
        if not is_right:
            apart = np.abs(ours.astype(float) - expected.astype(float)).max()
            faults.append(f"{name} is up to {apart:g} from this machine's")
    if is_native and there.report["tokens"] != here.report["tokens"]:
        faults.append("the language model's tokens are not this machine's")
    return faults


def is_rounded(name: str) -> bool:
    """Whether an output is one of a model with integer weights."""
    return "int" in name.partition("/")[0]


def compare_bytes(there: Result, other: Result) -> list[str]:
    """Return which float models do not give the same bytes on two ARM CPUs, or with two libraries.

    Those with weights of 2 to 8 bits are left out: a CPU with dot products has other kernels for
    them, whose sums of floats differ in the last bit.
    """
    return [
        f"{name} is {there.outputs[name]!r:.40} and elsewhere {other.outputs[name]!r:.40}"
        for name in there.outputs
        if not is_rounded(name) and there.outputs[name].tobytes() != other.outputs[name].tobytes()
    ]


def test_64_bit(
    wheel: Path, version: str, here: Result, models: list[Path], cpus: tuple[str, ...]
) -> list[Row]:
    """Run a wheel for aarch64, beside the official paths, and with litert-lm's library."""
    system = emulation.prepare(version, "aarch64", [str(wheel)])
    litert_lm = (
        emulation.install(version, "aarch64", ["litert-lm-api"]) / "litert_lm" / "liblitert-lm.so"
    )
    rows = []
    first: Result | None = None
    for cpu in cpus:
        lacks_lse = cpu in WITHOUT_LSE
        faults = []
        official = [try_official(system, cpu, path, models[0]) for path in OFFICIAL_PATHS]
        # What docs/arm.md says of them; where a release does better, it has to be said there.
        if official != ["ok", "SIGILL" if lacks_lse else "ok"]:
            faults.append(f"the official paths end with {' and '.join(official)}")
        there = compute_there(system, cpu, models)
        other = compute_there(system, cpu, models[-1:], str(litert_lm))
        if isinstance(there, str) or isinstance(other, str):
            ends = [end if isinstance(end, str) else "ok" for end in (there, other)]
            rows.append(Row(version, cpu, *official, *ends, (*faults, *ends)))
            continue
        faults += compare(there, here)
        first = first or there
        if cpu in SAME_FLOATS:
            faults += compare_bytes(there, first)
        is_native, is_other_native = (
            result.report["digits"].startswith("native") for result in (there, other)
        )
        if not is_native or is_other_native == lacks_lse:
            faults.append(
                f"ran as {there.report['digits']}; with the other {other.report['digits']}"
            )
        if is_other_native:
            faults += compare_bytes(other, there)
        with_other = "ok" if is_other_native else "refused, not loaded"
        rows.append(Row(version, cpu, *official, "ok, native", with_other, tuple(faults)))
    return rows


def test_32_bit(wheel: Path, version: str, here: Result, models: list[Path]) -> list[Row]:
    """Run a wheel for armv7l: with tflite-runtime where there is one, else import it."""
    has_runtime = version == "3.11"
    requirements = [str(wheel), *(["tflite-runtime==2.14.0"] if has_runtime else [])]
    system = emulation.prepare(version, "armv7l", requirements)
    (cpu,) = CPUS["armv7l"]
    if not has_runtime:
        with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
            script.write("from litert import _native\nassert not _native.is_library_open()\n")
            script.flush()
            end = describe_end(system.run(script.name, cpu=cpu))
        ours = "imports; there is nothing to run models with" if end == "ok" else end
        return [Row(version, cpu, ours=ours, faults=() if end == "ok" else (end,))]
    # tflite-runtime 2.14 is older than these kinds of weights; the last it takes, and gets wrong.
    newer = ("int2", "int4", "int16x8", "int8_dynamic")
    known = [path for path in models if not any(kind in path.name for kind in newer)]
    there = compute_there(system, cpu, known)
    if isinstance(there, str):
        return [Row(version, cpu, ours=there, faults=(there,))]
    expected = {name: here.outputs[name] for name in there.outputs}
    faults = compare(there, Result(here.report, expected))
    ours = "ok, reference (tflite-runtime)"
    if not there.report["digits"].startswith("reference"):
        faults.append(f"ran as {there.report['digits']}")
    return [Row(version, cpu, ours=ours, faults=tuple(faults))]


def wheel_system(wheel: Path) -> tuple[str, str]:
    """Return the version of Python and the processor that a wheel is for."""
    found = re.search(r"-cp3(\d+)-cp3\d+-.*_(aarch64|armv7l)\.whl$", wheel.name)
    if found is None:
        raise SystemExit(f"test_arm.py: {wheel.name} is no wheel for ARM")
    return f"3.{found[1]}", found[2]


def table(rows: list[Row]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        "| CPU (emulated) | Python | official Interpreter | official CompiledModel | litert-native "
        "| litert-native, litert-lm's library |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.cpu} | {row.python} | {row.interpreter} | {row.compiled_model} | {row.ours} "
            f"| {row.with_litert_lm} |"
            for row in rows
        ),
    ]


def main() -> int:
    """Print the table; return 1 for faults, 77 where the packages cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path, help="the page that has the table")
    args = parser.parse_args()
    models = [path for path in MOBILENETS if path.exists() and not args.quick] + SMALL_MODELS
    here = compute_here(models)
    rows: list[Row] = []
    try:
        for wheel in sorted(args.wheels):
            version, processor = wheel_system(wheel)
            if processor == "aarch64":
                cpus = ("cortex-a72",) if args.quick else CPUS["aarch64"]
                rows += test_64_bit(wheel, version, here, models, cpus)
            else:
                rows += test_32_bit(wheel, version, here, models)
    except CannotBeHadError as err:
        print(f"test_arm.py: skipped, since it cannot be had here: {err}", file=sys.stderr)
        return emulation.CANNOT_BE_HAD
    print(*table(rows), sep="\n")
    if args.write is not None:
        page = args.write.read_text()
        before, _, rest = page.partition(START)
        after = rest.partition(END)[2]
        args.write.write_text("\n".join([before + START, *table(rows), END + after]))
    faults = [f"{row.cpu}, Python {row.python}: {fault}" for row in rows for fault in row.faults]
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{len(models)} models, {len(rows)} systems, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
