"""A million runs, a thousand loads: memory does not grow."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from interleave import Timed, timed, timed_loop
from peers import NATIVE, NativePeer, random_inputs

import litert
from conftest import find_model

NUM_RUNS = 1_000_000
NUM_LOADS = 1_000
NUM_PARTS = 10
# What the allocator may keep in hand; a leak of one byte a run would be twice that.
LIMIT_BYTES = 512 * 1024


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run_cases() -> dict[str, tuple[Timed, int]]:
    path = find_model("tiny/mlp.tflite")
    inputs = random_inputs(path)
    native = NativePeer(path, inputs)

    def load_run_close() -> None:
        with litert.Model(path, num_threads=1, backend="native") as model:
            model.run(inputs)

    return {
        "1,000,000 runner.run()": (timed(native.in_place), NUM_RUNS),
        "1,000,000 model.run(dict)": (timed_loop(native.loop_on_arrays), NUM_RUNS),
        "1,000 times load, run, close": (timed(load_run_close), NUM_LOADS),
    }


@pytest.mark.parametrize("index", range(3), ids=("runner.run", "model.run", "load"))
def test_memory_does_not_grow(benchmark, record, index):
    name, (run, count) = list(run_cases().items())[index]
    run(count // 10)
    gc.collect()
    before = resident_bytes()
    samples = [run(count // NUM_PARTS) / (count // NUM_PARTS) for _ in range(NUM_PARTS)]
    gc.collect()
    growth = resident_bytes() - before
    assert growth <= LIMIT_BYTES
    record(name, NATIVE, samples)
    benchmark.extra_info["growth_bytes"] = growth
    benchmark.extra_info["growth_limit_bytes"] = LIMIT_BYTES
