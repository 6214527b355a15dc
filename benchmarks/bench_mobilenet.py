"""MobileNetV2 in seven precisions, with 1 and 2 threads: as fast as the fastest official path."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from interleave import Samples, measure, timed
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

from conftest import Bar, find_model

PRECISIONS = (
    *("f32", "f16", "int8", "int8_dynamic", "int8_weight_only", "int16x8", "int4_weights"),
)
BUDGET_S = 6.0
BARS = (Bar(INTERPRETER, 1.02), Bar(COMPILED_MODEL, 1.02))


@dataclass(frozen=True)
class Measured:
    """Samples of one precision and number of threads, by peer."""

    group: str
    samples: dict[str, Samples]


@pytest.fixture(
    scope="module",
    params=list(itertools.product(PRECISIONS, (1, 2))),
    ids=lambda param: f"{param[0]}_threads{param[1]}",
)
def measured(request: pytest.FixtureRequest) -> Measured:
    precision, num_threads = request.param
    path = find_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite")
    inputs = random_inputs(path)
    native = NativePeer(path, inputs, num_threads)
    native.in_place()
    interpreter = InterpreterPeer(path, inputs, num_threads)
    assert_same(native.outputs(), InterpreterPeer(path, inputs).outputs())
    # With more threads the Interpreter also spreads the operators that XNNPACK leaves, which adds
    # in another order (int4 weights); the compiled model does not.
    for name, array in interpreter.outputs().items():
        np.testing.assert_allclose(native.outputs()[name], array, rtol=1e-4, atol=1e-6)
    runs = {NATIVE: timed(native.in_place), INTERPRETER: timed(interpreter.in_place)}
    try:
        compiled = CompiledModelPeer(path, inputs, num_threads)
    except ValueError:
        pass  # it has no int16
    else:
        assert_same(native.outputs(), compiled.outputs())
        runs[COMPILED_MODEL] = timed(compiled.in_place)
    threads = "1 thread" if num_threads == 1 else f"{num_threads} threads"
    return Measured(
        f"run MobileNetV2 {precision}, {threads}",
        measure(runs, round_s=0, budget_s=BUDGET_S),
    )


@pytest.mark.parametrize("peer", [NATIVE, INTERPRETER, COMPILED_MODEL])
def test_run_mobilenet(measured, record, peer):
    if peer not in measured.samples:
        pytest.skip(f"{peer} cannot run it: a dtype that it lacks")
    bars = [bar for bar in BARS if bar.peer in measured.samples] if peer == NATIVE else []
    note = {NATIVE: "runner.run()", INTERPRETER: "invoke", COMPILED_MODEL: "run_by_index"}[peer]
    record(measured.group, peer, measured.samples[peer], bars=tuple(bars), note=note)
