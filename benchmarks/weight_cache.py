"""What the weight cache saves: loads of a 94 MB convolution model, each in a process of its own.

python benchmarks/weight_cache.py [--rounds N] [--model FILE]

Interleaved rounds of three kinds of loads: without a cache, the one that builds it, and with the
finished file; then two processes with the finished file at once, for what the second one costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = 512
LAYERS = 10

# Tells when it is ready, loads, runs once, tells, and then its memory until its input ends.
CHILD = """
import json, sys, time
import numpy as np
import litert
from litert.library import load_library

def memory():
    found = {}
    for line in open("/proc/self/smaps_rollup"):
        name, _, value = line.partition(":")
        if name in ("Anonymous", "Pss"):
            found[name] = int(value.split()[0]) * 1024
    return found

path, folder = sys.argv[1], sys.argv[2] or None
load_library()
import litert.backends.native
with litert.Model(sys.argv[3]) as small:  # what only the first load of a process does
    pass
print("ready", flush=True)
sys.stdin.readline()
before = memory()
start = time.perf_counter()
with open(path, "rb") as file:
    import mmap
    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).close()
mapped = time.perf_counter()
model = litert.Model(path, cpu=litert.CpuOptions(num_threads=1, weight_cache=folder))
loaded = time.perf_counter()
(name, info), = next(iter(model.signatures.values())).inputs.items()
model.run(np.zeros(info.shape, np.float32))
done = time.perf_counter()
after = memory()
print(json.dumps({
    "mapping_ms": 1000 * (mapped - start), "load_ms": 1000 * (loaded - mapped),
    "first_run_ms": 1000 * (done - loaded),
    "anonymous": after["Anonymous"] - before["Anonymous"], "pss": after["Pss"] - before["Pss"],
}), flush=True)
for _ in sys.stdin:
    print(json.dumps(memory()), flush=True)
"""


def write_model(path: Path) -> None:
    """Write ten convolutions of 3x3 over 512 channels: 94 MB of float32 weights."""
    sys.path.insert(0, str(ROOT / "tests" / "data"))
    from model_kinds.builder import Model, Op, schema

    model = Model()
    graph = model.graph()
    generator = np.random.default_rng(0)
    image = hidden = graph.tensor("image", [1, 8, 8, CHANNELS])
    bias = np.zeros(CHANNELS, np.float32)
    for layer in range(LAYERS):
        weights = generator.standard_normal((CHANNELS, 3, 3, CHANNELS), np.float32) * 0.02
        hidden = graph.op1(
            Op.CONV_2D,
            [hidden, graph.const(f"w{layer}", weights), graph.const(f"b{layer}", bias)],
            graph.tensor(f"h{layer}", [1, 8, 8, CHANNELS]),
            schema.Conv2DOptionsT(strideW=1, strideH=1),
        )
    graph.serve({"image": image}, {"features": hidden})
    path.write_bytes(model.to_bytes())


def start(model: Path, folder: str) -> subprocess.Popen[str]:
    small = ROOT / "tests" / "data" / "mlp.tflite"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(model), folder, str(small)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    return child


def told(child: subprocess.Popen[str]) -> dict[str, float]:
    """Let a child load the model, or tell its memory again; returns what it has measured."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise SystemExit("a process that loads the model has failed; see above")
    found: dict[str, float] = json.loads(line)
    return found


def finish(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    child.wait()


def measure(model: Path, folder: str) -> dict[str, float]:
    child = start(model, folder)
    found = told(child)
    finish(child)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the weight cache saves.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", type=Path, help="another model than the one that is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        model = args.model or Path(place, "convolutions.tflite")
        if args.model is None:
            write_model(model)
        kinds: dict[str, list[dict[str, float]]] = {"no cache": [], "building": [], "warm": []}
        warm = Path(place, "warm")
        measure(model, str(warm))
        for _ in range(args.rounds):
            kinds["no cache"].append(measure(model, ""))
            building = Path(place, "building")
            shutil.rmtree(building, ignore_errors=True)
            kinds["building"].append(measure(model, str(building)))
            kinds["warm"].append(measure(model, str(warm)))
        size = os.path.getsize(model)
        report(kinds, measure_further(model, str(warm)), size, args.rounds)


def measure_further(model: Path, folder: str) -> float:
    """Return what a second process adds to the memory of both, in bytes.

    Of both, since the pages that they share count half in each.
    """
    first, second = start(model, folder), start(model, folder)
    told(first)
    alone = told(first)["Pss"]
    own = told(second)["pss"]
    growth = own + told(first)["Pss"] - alone
    finish(second)
    finish(first)
    return growth


def report(
    kinds: dict[str, list[dict[str, float]]], further: float, size: int, rounds: int
) -> None:
    print(
        f"model of {size / 1e6:.0f} MB, one thread, medians (quartile range) of {rounds} processes"
    )
    print(f"{'':<10}{'load, ms':>18}{'first run, ms':>18}{'anonymous, MB':>16}")
    for kind, rows in kinds.items():
        cells = [spread([row[key] for row in rows]) for key in ("load_ms", "first_run_ms")]
        anonymous = statistics.median(row["anonymous"] for row in rows) / 1e6
        print(f"{kind:<10}{cells[0]:>18}{cells[1]:>18}{anonymous:>16.1f}")
    middle = {
        kind: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for kind, rows in kinds.items()
    }
    over = middle["warm"]["load_ms"] - middle["warm"]["mapping_ms"]
    share = middle["warm"]["anonymous"] / middle["no cache"]["anonymous"]
    print(f"warm load over a mapping of the file: {over:.2f} ms (bar 5)")
    print(f"warm / no cache, anonymous memory: {share:.3f} (bar 0.2)")
    print(f"a further process, memory (Pss) over the weights: {further / size:.3f} (bar 0.05)")


def spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({high - low:.2f})"


if __name__ == "__main__":
    main()
