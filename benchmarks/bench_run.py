"""One run of a tiny model: inputs in place, and arrays in, arrays out. 1 thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from c_loop import CLoop
from interleave import Samples, measure, timed, timed_loop
from peers import (
    COMPILED_MODEL,
    INTERPRETER,
    NATIVE,
    SIGNATURE_RUNNER,
    CompiledModelPeer,
    InterpreterPeer,
    NativePeer,
    SignatureRunnerPeer,
    assert_same,
    random_inputs,
)

from conftest import Bar, find_model

MODELS = ("mlp", "elementwise_float32")
BOUND_LOOP = "C++ loop"
KEPT_LOOP = "C++ loop, inputs left bound"
IN_PLACE = (NATIVE, BOUND_LOOP, KEPT_LOOP, COMPILED_MODEL, INTERPRETER)
ON_ARRAYS = (NATIVE, INTERPRETER, SIGNATURE_RUNNER, COMPILED_MODEL)

IN_PLACE_BARS = (Bar(COMPILED_MODEL, 0.38), Bar(KEPT_LOOP, 0.15e-6, "difference"))
ON_ARRAYS_BARS = (
    Bar(INTERPRETER, 0.55),
    Bar(SIGNATURE_RUNNER, 0.33),
    Bar(COMPILED_MODEL, 0.20),
)
NOTES = {
    (True, NATIVE): "runner.run()",
    (True, COMPILED_MODEL): "run_by_index",
    (True, INTERPRETER): "invoke alone",
    (False, NATIVE): "model.run(dict)",
    (False, INTERPRETER): "set_tensor, invoke, get_tensor",
    (False, SIGNATURE_RUNNER): "runner(**inputs)",
    (False, COMPILED_MODEL): "write, run_by_index, read",
}


@dataclass(frozen=True)
class Measured:
    """Samples of one model, by peer."""

    model: str
    in_place: dict[str, Samples]
    on_arrays: dict[str, Samples]


@pytest.fixture(scope="module", params=MODELS)
def measured(request: pytest.FixtureRequest) -> Measured:
    path = find_model(f"tiny/{request.param}.tflite")
    inputs = random_inputs(path)
    native = NativePeer(path, inputs)
    native.in_place()
    peers: dict[str, Any] = {
        INTERPRETER: InterpreterPeer(path, inputs),
        SIGNATURE_RUNNER: SignatureRunnerPeer(path, inputs),
        COMPILED_MODEL: CompiledModelPeer(path, inputs),
    }
    for peer in peers.values():
        assert_same(native.outputs(), peer.outputs())
    assert_same(native.outputs(), native.model.run(inputs))
    # The same memory as the runner's.
    loop = CLoop(path, list(native.runner.inputs.values()), list(native.runner.outputs.values()))
    for array in native.runner.outputs.values():
        array[...] = 0
    loop.run(1)
    assert_same(native.outputs(), peers[INTERPRETER].outputs())
    in_place = measure(
        {
            NATIVE: timed(native.in_place),
            BOUND_LOOP: loop.run,
            KEPT_LOOP: loop.run_kept,
            COMPILED_MODEL: timed_loop(peers[COMPILED_MODEL].loop_in_place),
            INTERPRETER: timed(peers[INTERPRETER].in_place),
        }
    )
    on_arrays = measure(
        {NATIVE: timed_loop(native.loop_on_arrays)}
        | {name: timed_loop(peer.loop_on_arrays) for name, peer in peers.items()}
    )
    return Measured(request.param, in_place, on_arrays)


@pytest.mark.parametrize("peer", IN_PLACE)
def test_run_in_place(measured, record, peer):
    bars = IN_PLACE_BARS if peer == NATIVE else ()
    samples = measured.in_place[peer]
    note = NOTES.get((True, peer), "")
    record(f"run {measured.model}, inputs in place", peer, samples, bars=bars, note=note)


@pytest.mark.parametrize("peer", ON_ARRAYS)
def test_run_on_arrays(measured, record, peer):
    bars = ON_ARRAYS_BARS if peer == NATIVE else ()
    samples = measured.on_arrays[peer]
    note = NOTES[False, peer]
    record(f"run {measured.model}, arrays in and out", peer, samples, bars=bars, note=note)
