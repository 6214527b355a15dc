"""Time peers in turns, so that what else the machine does hits them alike."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import repeat

# Makes so many calls and returns the seconds they took.
Timed = Callable[[int], float]
Samples = list[float]

_MAX_CALLS = 1_000_000
_MIN_ROUNDS = 7


def timed(call: Callable[[], object]) -> Timed:
    """Make what ``measure`` takes of a function. The loop costs some 10 ns a call."""

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in repeat(None, count):
            call()
        return time.perf_counter() - start

    return run


def timed_loop(loop: Callable[[int], object]) -> Timed:
    """Make what ``measure`` takes of a function that does its work so many times."""

    def run(count: int) -> float:
        start = time.perf_counter()
        loop(count)
        return time.perf_counter() - start

    return run


def measure(
    peers: Mapping[str, Timed],
    *,
    rounds: int = 401,
    round_s: float = 0.0005,
    budget_s: float = math.inf,
) -> dict[str, Samples]:
    """Return seconds per call, one for each round, by peer.

    A round is one turn of each peer, A B C; each turn makes as many calls as take ``round_s``, and
    at least one. A turn much shorter than the scheduler's slice (3 ms and more) is mostly left
    alone, so that the median stands even where other processes want the CPU. Garbage is collected
    before, and not while measuring. There are fewer rounds where all would take longer than
    ``budget_s``, but never fewer than a handful.
    """
    counts = {name: _calibrate(run, round_s) for name, run in peers.items()}
    if budget_s < math.inf:
        one_round_s = sum(run(counts[name]) for name, run in peers.items())
        rounds = min(rounds, max(_MIN_ROUNDS, int(budget_s / one_round_s)))
    samples: dict[str, Samples] = {name: [] for name in peers}
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in peers.items():
                samples[name].append(run(counts[name]) / counts[name])
    finally:
        if was_enabled:
            gc.enable()
    return samples


def _calibrate(run: Timed, round_s: float) -> int:
    """Return how many calls take ``round_s``; warms up on the way."""
    count = 1
    while True:
        # The best of three: too few calls would leave every turn cold.
        seconds = min(run(count) for _ in range(3 if round_s else 1))
        if seconds >= round_s or count >= _MAX_CALLS:
            return max(1, min(_MAX_CALLS, round(count * round_s / seconds)))
        count *= 2


def median(samples: Samples) -> float:
    """Return the median."""
    return statistics.median(samples)


def quartiles(samples: Samples) -> tuple[float, float]:
    """Return the first and the third quartile."""
    if len(samples) < 2:
        return samples[0], samples[0]
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    return first, third
