"""Inputs and outputs of 2 MiB: nothing is copied."""

from __future__ import annotations

import numpy as np
import pytest
from c_loop import CLoop
from interleave import Samples, measure, timed, timed_loop
from peers import (
    COMPILED_MODEL,
    INTERPRETER,
    NATIVE,
    CompiledModelPeer,
    InterpreterPeer,
    NativePeer,
    assert_same,
    random_inputs,
)

import litert
from conftest import Bar, find_model

LOOP = "C++ loop"
PEERS = (NATIVE, LOOP, INTERPRETER, COMPILED_MODEL)
# The C++ loop's time, but for what two equal things differ by on a shared machine.
BARS = (Bar(LOOP, 1.05),)
NOTES = {
    NATIVE: "runner.run() on bound arrays",
    INTERPRETER: "set_tensor, invoke, get_tensor",
    COMPILED_MODEL: "write, run_by_index, read",
}


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@pytest.fixture(scope="module")
def samples() -> dict[str, Samples]:
    path = find_model("tiny/big_add_2mb.tflite")
    inputs = random_inputs(path)
    native = NativePeer(path, inputs)
    runner = native.runner
    # The caller's own memory is the runtime's: same addresses, before and after a run.
    own = {name: litert.empty_aligned(array.shape, array.dtype) for name, array in inputs.items()}
    for name, array in own.items():
        runner.bind_input(name, array)
        array[...] = inputs[name]
        assert address(runner.inputs[name]) == address(array)
    views = dict(runner.outputs)
    addresses = {name: address(view) for name, view in views.items()}
    runner.run()
    assert {name: address(view) for name, view in runner.outputs.items()} == addresses
    interpreter = InterpreterPeer(path, inputs)
    compiled = CompiledModelPeer(path, inputs)
    assert_same(views, interpreter.outputs())
    assert_same(views, compiled.outputs())
    # And what is written there is what the next run computes on.
    for array in own.values():
        array[...] = 1
    runner.run()
    assert all((view == len(own)).all() for view in views.values())
    loop = CLoop(path, list(own.values()), list(views.values()))
    return measure(
        {
            NATIVE: timed(runner.run),
            LOOP: loop.run,
            INTERPRETER: timed_loop(interpreter.loop_on_arrays),
            COMPILED_MODEL: timed_loop(compiled.loop_on_arrays),
        },
        round_s=0.01,
    )


@pytest.mark.parametrize("peer", PEERS)
def test_run_2_mib(samples, record, peer):
    bars = BARS if peer == NATIVE else ()
    note = NOTES.get(peer, "")
    record("run 2 MiB in, in and out", peer, samples[peer], bars=bars, note=note)
