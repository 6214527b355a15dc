"""Fail where our own code takes more instructions a call than the committed baseline.

Times are noise on shared machines, instructions are not: Callgrind counts the same to the last few
digits in every run. Counted are the extension module and, apart, the Python interpreter with NumPy;
never the LiteRT library and libc, whose code differs by version and CPU.

    python benchmarks/instruction_gate.py           compare
    python benchmarks/instruction_gate.py --renew   write the baseline of this Python and compiler

Exit status: 1 above the limit or where counting fails, 2 without valgrind or without a baseline.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from callgrind import instructions_by_object

BASELINE = Path(__file__).with_name("instruction_baseline.json")
DATA = Path(__file__).parents[1] / "tests" / "data"
LIMIT = 0.05
# Below this many a percentage says nothing.
SLACK = 5.0

Counts = dict[str, dict[str, float]]

# The child calls it for nothing but to be seen by Callgrind, which then dumps what it counted.
_MARKER = "getsid"
# What is counted, and over how many calls.
_CALLS = {
    "runner.run": 200,
    "model.run, 1 input": 200,
    "model.run, 2 inputs": 200,
    "load and close": 5,
}


class GateUnavailableError(Exception):
    """There is nothing to count with or to compare with here; the message says what is missing."""


class CountingError(Exception):
    """Callgrind is there and failed; the message holds what it said."""


def cases() -> dict[str, Callable[[int], None]]:
    """Return, for each name in _CALLS, a function that makes so many calls."""
    import numpy as np

    import litert

    def opened(name: str) -> litert.Model:
        # Bytes: the length of a path would be counted. A fixed answer to whether the GIL is
        # released: Callgrind's slowness would look like long runs.
        return litert.Model((DATA / name).read_bytes(), num_threads=1, release_gil=False)

    def calls_of(function: Callable[..., object], *args: object) -> Callable[[int], None]:
        def call(count: int) -> None:
            for _ in repeat(None, count):
                function(*args)

        return call

    def load_and_close() -> None:
        opened("mlp.tflite").close()

    one, two = opened("mlp.tflite"), opened("elementwise_float32.tflite")
    inputs = [
        {
            info.name: np.ones(info.shape, info.dtype)
            for info in next(iter(model.signatures.values())).inputs.values()
        }
        for model in (one, two)
    ]
    return {
        "runner.run": calls_of(one.bind().run),
        "model.run, 1 input": calls_of(one.run, inputs[0]),
        "model.run, 2 inputs": calls_of(two.run, inputs[1]),
        "load and close": calls_of(load_and_close),
    }


def run_cases() -> None:
    """Make the calls between markers; this is what runs under Callgrind."""
    gc.disable()
    chosen = cases()
    for name, count in _CALLS.items():
        call = chosen[name]
        call(count)
        for calls in (count, 2 * count):
            os.getsid(0)
            call(calls)
        os.getsid(0)


def count_instructions() -> Counts:
    """Return the instructions a call, by case and by whose they are.

    Raises:
        GateUnavailableError: Callgrind is missing.
        CountingError: It failed, or the calls under it did.
    """
    missing = [tool for tool in ("valgrind", "setarch") if shutil.which(tool) is None]
    if missing:
        raise GateUnavailableError(f"needs {' and '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("setarch", "-R", "valgrind", "--tool=callgrind", f"--dump-before={_MARKER}*"),
            f"--callgrind-out-file={folder}/out",
            # Not -I: that would drop PYTHONHASHSEED.
            *(sys.executable, "-S", "-s", __file__, "--child"),
        ]
        finished = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=False
        )
        if finished.returncode != 0:
            raise CountingError(
                f"valgrind ended with status {finished.returncode}: {finished.stderr[-2000:]}"
            )
        return _read_dumps(Path(folder))


def baseline_key() -> str:
    """Name what the extension's counts depend on: CPU architecture, compiler, Python."""
    from litert import _native

    compilers = re.findall(
        rb"(GCC): \([^)]*\) ([\d.]+)|(clang) version ([\d.]+)", Path(_native.__file__).read_bytes()
    )
    names = sorted({b" ".join(filter(None, found)).decode() for found in compilers})
    python = ".".join(platform.python_version_tuple()[:2])
    return ", ".join([platform.machine(), *names, f"Python {python}"])


def interpreter_key() -> str:
    """Name what the interpreter's counts depend on."""
    import numpy as np

    return f"{platform.python_version()} by {platform.python_compiler()}, numpy {np.__version__}"


def compare(counted: Counts) -> list[str]:
    """Return a line for each count that is above its limit.

    Raises:
        GateUnavailableError: There is no baseline for this Python and compiler.
    """
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    baseline = baselines.get(baseline_key())
    if baseline is None:
        raise GateUnavailableError(f"no baseline for {baseline_key()}; {how_to_renew()}")
    parts = ["extension"]
    if baseline["interpreter"] == interpreter_key():
        parts.append("interpreter")
    return [
        f"{case}: {counted[case][part]:.0f} instructions in the {part}, {allowed[part]:.0f} before"
        for case, allowed in baseline["cases"].items()
        for part in parts
        if counted[case][part] > allowed[part] * (1 + LIMIT) + SLACK
    ]


def renew(counted: Counts) -> None:
    """Write the baseline for this Python and compiler; the others stay."""
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    baselines[baseline_key()] = {"interpreter": interpreter_key(), "cases": counted}
    BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")


def how_to_renew() -> str:
    """Return the command that writes the baseline."""
    return f"to set it run: python {BASELINE.parent.name}/{Path(__file__).name} --renew"


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        # -S leaves out site-packages; with these it is as complete as here.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _read_dumps(folder: Path) -> Counts:
    # Three markers a case. Dump 1 ends at the first; the last part has no number.
    dumps = [instructions_by_object(folder / f"out.{i + 1}") for i in range(3 * len(_CALLS))]
    counted: Counts = {}
    for i, (name, count) in enumerate(_CALLS.items()):
        once, twice = dumps[3 * i + 1], dumps[3 * i + 2]
        twice.subtract(once)
        sums = {"extension": 0, "interpreter": 0}
        for path, instructions in twice.items():
            part = _part_of(path)
            if part is not None:
                sums[part] += instructions
        counted[name] = {part: round(total / count, 1) for part, total in sums.items()}
    return counted


def _part_of(path: str) -> str | None:
    name = Path(path).name
    if name.startswith("_native."):
        return "extension"
    if "python" in name or "/numpy/" in path:
        return "interpreter"
    return None


def _show(counted: Counts) -> None:
    width = max(map(len, counted))
    print(f"{'instructions a call':<{width}}  extension  interpreter")
    for name, sums in counted.items():
        print(f"{name:<{width}}  {sums['extension']:>9.0f}  {sums['interpreter']:>11.0f}")


def main() -> int:
    """Compare or renew; the exit status is 1 for a failure, 2 where nothing can be compared."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--renew", action="store_true", help="write the baseline")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_cases()
        return 0
    try:
        counted = count_instructions()
        _show(counted)
        if args.renew:
            renew(counted)
            return 0
        above = compare(counted)
    except GateUnavailableError as err:
        print(err, file=sys.stderr)
        return 2
    except CountingError as err:
        print(err, file=sys.stderr)
        return 1
    for line in above:
        print(line, file=sys.stderr)
    if above:
        print(f"more than {LIMIT:.0%} above the baseline; {how_to_renew()}", file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
