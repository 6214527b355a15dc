"""Damaged models through load and run, in worker processes that may die.

Each seed stands for one damaged file: a small model of tests/data with some bytes flipped, cut
off, or replaced by a piece of another model. It is opened with ``backend="auto"`` and run; if that
was the native core, once more with the reference. Outputs of native runs lie before guard pages.

    python tests/fuzz_models.py 0 20000         run these seeds, print what came of them
    python tests/fuzz_models.py --save 17 FILE  write the file that seed 17 stands for
    python tests/fuzz_models.py --file FILE     run one such file in this process
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import queue
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import litert

DATA = Path(__file__).resolve().parent / "data"

# A model that asks for more gets a MemoryError, before it takes the machine's whole memory.
ADDRESS_SPACE_BYTES = 8 << 30
INPUT_BYTES = 1 << 24
# A damaged loop bound or shape can make a run of days: then the model is cancelled, and if that
# does not help, the worker is ended.
CANCEL_AFTER_S = 2.0
HANG_AFTER_S = 30.0

# Marks outcomes that no file may have.
_FAULT = "FAULT"


def damage(seed: int) -> tuple[str, bytes]:
    """Return the name of a model and its damaged bytes; the same for the same seed."""
    rng = random.Random(seed)
    files = _small_models()
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    kind = rng.choices(("flip", "cut", "splice"), weights=(6, 1, 1))[0]
    if kind == "flip":
        # Mostly one byte: of files with many flips the library's verifier refuses nearly all.
        for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 4, 8))):
            place = rng.randrange(len(data))
            near = (data[place] + rng.choice((-1, 1))) % 256
            data[place] = rng.choice((near, 0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == "cut":
        del data[rng.randrange(len(data)) :]
    else:
        other = rng.choice(files).read_bytes()
        size = rng.randint(1, min(64, len(other), len(data)))
        source = rng.randrange(len(other) - size + 1)
        target = rng.randrange(len(data) - size + 1)
        data[target : target + size] = other[source : source + size]
    return path.name, bytes(data)


def _small_models() -> list[Path]:
    largest = 16384
    return [path for path in sorted(DATA.glob("*.tflite")) if 64 < path.stat().st_size <= largest]


@dataclass
class Report:
    """What came of the files: how often each outcome, and which seeds came to a bad end."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{count:7d}  {outcome}" for outcome, count in self.outcomes.most_common()]
        lines += [f"seed {seed} ({damage(seed)[0]}): {how}" for seed, how in self.faults.items()]
        return "\n".join(lines)


def fuzz(seeds: range) -> Report:
    """Run the seeds in a worker, and in a new one whenever it dies."""
    report = Report()
    todo = seeds
    while todo:
        with tempfile.TemporaryFile() as noise, _worker(todo, noise) as (worker, lines):
            stopped_at = _follow(worker, lines, todo, report)
            fault = report.faults.get(stopped_at)
            if fault is not None:
                report.faults[stopped_at] = f"{fault}: {_tail(noise)}"
        todo = range(stopped_at + 1, seeds.stop)
    return report


def _follow(
    worker: subprocess.Popen[str], lines: queue.Queue[str | None], seeds: range, report: Report
) -> int:
    """Collect outcomes until the worker has done all or is dead; return the last seed it took."""
    for seed in seeds:
        try:
            line = lines.get(timeout=HANG_AFTER_S)
        except queue.Empty:
            worker.kill()
            report.faults[seed] = f"no answer within {HANG_AFTER_S} s"
            return seed
        if line is None:
            report.faults[seed] = f"the process ended with {worker.wait()}"
            return seed
        told_seed, outcomes = line.rstrip("\n").split("\t", 1)
        assert int(told_seed) == seed, line
        # A fault's text, which differs from file to file, is in the list of faults.
        report.outcomes.update(re.sub(f"{_FAULT}.*", _FAULT, o) for o in outcomes.split("\t"))
        if _FAULT in outcomes:
            report.faults[seed] = outcomes
    return seeds.stop - 1


@contextlib.contextmanager
def _worker(
    seeds: range, noise: IO[bytes]
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """Start a worker; its lines arrive in a queue, which ends with None."""
    command = [sys.executable, __file__, "--worker", str(seeds.start), str(seeds.stop)]
    environment = os.environ | {"LITERT_GUARD_BUFFERS": "1"}
    worker = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=noise, text=True, env=environment
    )
    assert worker.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(worker.stdout, lines), daemon=True)
    reader.start()
    try:
        yield worker, lines
    finally:
        worker.kill()
        worker.wait()
        reader.join()
        worker.stdout.close()


def _tail(noise: IO[bytes]) -> str:
    noise.seek(0)
    return noise.read().decode("utf-8", errors="replace")[-300:].strip()


def _read_lines(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _work(seeds: range) -> None:
    """Write a line for each seed: the seed and its outcomes, separated by tabs."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    for seed in seeds:
        print(seed, *_outcomes(damage(seed)[1]), sep="\t", flush=True)


def _outcomes(data: bytes) -> Iterator[str]:
    """Yield what came of a file, one outcome for each backend that had it."""
    native, outputs = _load_and_run(data, "auto")
    yield native
    if native.startswith("native"):
        reference, expected = _load_and_run(data, "reference")
        is_equal = outputs == expected
        yield f"  {reference}" + ("" if is_equal else f", other outputs than native ({native})")


def _load_and_run(data: bytes, backend: str) -> tuple[str, list[bytes]]:
    """Return the backend with what came of the file, and the outputs until then."""
    import litert

    outputs: list[bytes] = []
    stage = f"{backend} load"
    try:
        with litert.Model(data, backend=backend) as model:  # type: ignore[arg-type]
            stage = f"{model.backend} run"
            with _watchdog(model):
                return f"{stage}: {_run_all(model, outputs)}", outputs
    except (litert.LiteRTError, MemoryError) as err:
        return f"{stage}: {type(err).__name__}", outputs
    except Exception as err:
        # Reported, never swallowed: whatever is wrong with a file, the error must be litert's.
        return f"{stage}: {_FAULT} {type(err).__name__}: {err}".replace("\n", " "), outputs


@contextlib.contextmanager
def _watchdog(model: litert.Model) -> Iterator[None]:
    timer = threading.Timer(CANCEL_AFTER_S, model.cancel)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _run_all(model: litert.Model, outputs: list[bytes]) -> str:
    """Run every signature at every shape to try; append the outputs' bytes."""
    import numpy as np

    from random_inputs import random_inputs, shapes_to_try

    rng = np.random.default_rng(0)
    for key, signature in model.signatures.items():
        for shapes in shapes_to_try(model, key):
            sizes = (
                math.prod(shape) * signature.inputs[name].dtype.itemsize
                for name, shape in shapes.items()
            )
            if sum(sizes) > INPUT_BYTES:
                return "inputs too large to try"
            results = model.run(random_inputs(signature, shapes, rng), signature=key)
            outputs += [array.tobytes() for array in results.values() if not array.dtype.hasobject]
    return "ok"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worker", action="store_true", help="run the seeds in this process")
    parser.add_argument("--save", nargs=2, metavar=("SEED", "FILE"), help="write one damaged file")
    parser.add_argument("--file", metavar="FILE", help="run one file in this process")
    parser.add_argument("seeds", nargs="*", type=int, metavar="START STOP")
    options = parser.parse_args()
    if options.save:
        Path(options.save[1]).write_bytes(damage(int(options.save[0]))[1])
        return 0
    if options.file:
        print(*_outcomes(Path(options.file).read_bytes()), sep="\n")
        return 0
    seeds = range(*options.seeds)
    if options.worker:
        _work(seeds)
        return 0
    report = fuzz(seeds)
    print(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
