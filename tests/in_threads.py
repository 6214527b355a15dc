"""Doing the same from several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

NUM_THREADS = 8


def in_threads(work: Callable[[int], object], num_threads: int = NUM_THREADS) -> list[Any]:
    """Call ``work(number)`` in threads that start together; return the results."""
    barrier = threading.Barrier(num_threads)

    def start(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(start, range(num_threads)))
