"""Measure what a token costs beside the model: build loop_overhead.cc and run it.

python benchmarks/loop_overhead.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

from native_build import build_target

BUILD = Path(__file__).resolve().parents[1] / "build" / "benchmarks"


def measure(rounds: int) -> dict[str, list[float]]:
    """Return microseconds per token, one number a round, by kind of sampling.

    Raises:
        BuildError: The program cannot be built.
    """
    program = build_target("loop_overhead", BUILD)
    run = subprocess.run([program, str(rounds)], check=True, capture_output=True, text=True)
    measured: dict[str, list[float]] = json.loads(run.stdout)
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    for name, samples in measure(parser.parse_args().rounds).items():
        print(f"{name}: {statistics.median(samples):.3g} us per token")
