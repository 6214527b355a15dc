"""Load a model, run it once, close it; the library is open already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from interleave import Samples, measure, timed
from peers import INTERPRETER, NATIVE, assert_same, random_inputs

import litert
from conftest import Bar, find_model

MODELS = {"mlp": "tiny/mlp", "MobileNetV2 f32": "mobilenet/mobilenet_v2_1.0_224_f32"}
BARS = (Bar(INTERPRETER, 1.05),)
NOTES = {NATIVE: "Model, run(dict), close", INTERPRETER: "allocate, set, invoke, get"}


@dataclass(frozen=True)
class Measured:
    """Samples of one model, by peer."""

    group: str
    samples: dict[str, Samples]


@pytest.fixture(scope="module", params=MODELS)
def measured(request: pytest.FixtureRequest) -> Measured:
    path = str(find_model(f"{MODELS[request.param]}.tflite"))
    inputs = random_inputs(path)
    (array,) = inputs.values()

    def native() -> dict[str, np.ndarray]:
        with litert.Model(path, num_threads=1, backend="native") as model:
            return model.run(inputs)

    def interpreter() -> np.ndarray:
        opened = Interpreter(path)
        opened.allocate_tensors()
        opened.set_tensor(opened.get_input_details()[0]["index"], array)
        opened.invoke()
        return opened.get_tensor(opened.get_output_details()[0]["index"])

    ours = native()
    assert_same(ours, {next(iter(ours)): interpreter()})
    return Measured(
        f"load and first run, {request.param}",
        measure({NATIVE: timed(native), INTERPRETER: timed(interpreter)}, round_s=0, budget_s=6),
    )


@pytest.mark.parametrize("peer", [NATIVE, INTERPRETER])
def test_load_and_first_run(measured, record, peer):
    bars = BARS if peer == NATIVE else ()
    record(measured.group, peer, measured.samples[peer], bars=bars, note=NOTES[peer])
