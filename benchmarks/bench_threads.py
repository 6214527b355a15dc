"""A pure-Python thread beside long runs: what it keeps of its speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from interleave import Samples, measure
from peers import (
    COMPILED_MODEL,
    INTERPRETER,
    NATIVE,
    CompiledModelPeer,
    InterpreterPeer,
    NativePeer,
    assert_same,
)

from conftest import Bar, find_model

ALONE = "alone"
PEERS = (NATIVE, INTERPRETER, COMPILED_MODEL, ALONE)
# Of the model's loop: some 28 ms.
NUM_STEPS = 2400
WINDOW_S = 0.5
ROUNDS = 9
STEPS = 1000
BARS = (
    Bar(ALONE, 0.9, "speed"),
    Bar(INTERPRETER, None, "speed"),
    Bar(COMPILED_MODEL, None, "speed"),
)


def seconds_per_step(beside: Callable[[], object] | None) -> float:
    """Return the seconds that a thread takes for some plain Python while this one runs a model."""
    ended = threading.Event()
    done = 0
    elapsed = 0.0

    def count() -> None:
        nonlocal done, elapsed
        start = time.perf_counter()
        while not ended.is_set():
            for _ in range(STEPS):
                pass
            done += 1
        elapsed = time.perf_counter() - start

    thread = threading.Thread(target=count)
    thread.start()
    end = time.perf_counter() + WINDOW_S
    if beside is None:
        time.sleep(WINDOW_S)
    else:
        while time.perf_counter() < end:
            beside()
    ended.set()
    thread.join()
    return elapsed / done


@pytest.fixture(scope="module")
def samples() -> dict[str, Samples]:
    path = find_model("tiny/slow_loop.tflite")
    inputs = {"n": np.array([NUM_STEPS], np.int32), "x": np.full((32, 128), 0.5, np.float32)}
    peers = {
        NATIVE: NativePeer(path, inputs),
        INTERPRETER: InterpreterPeer(path, inputs),
        COMPILED_MODEL: CompiledModelPeer(path, inputs),
    }
    for peer in peers.values():
        peer.in_place()
        assert_same(peers[NATIVE].outputs(), peer.outputs())
    runs: dict[str, Callable[[], object] | None] = {
        name: peer.in_place for name, peer in peers.items()
    }
    runs[ALONE] = None

    def repeated(beside: Callable[[], object] | None) -> Callable[[int], float]:
        return lambda count: sum(seconds_per_step(beside) for _ in range(count))

    # A window is one call, whatever it returns.
    return measure(
        {name: repeated(beside) for name, beside in runs.items()}, rounds=ROUNDS, round_s=0
    )


@pytest.mark.parametrize("peer", PEERS)
def test_python_thread_beside_runs(samples, record, peer):
    bars = BARS if peer == NATIVE else ()
    record("a Python thread beside 28 ms runs", peer, samples[peer], bars=bars)
