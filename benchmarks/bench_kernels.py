"""MobileNetV2 on XNNPACK and on the library's builtin kernels: what the default is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from interleave import Samples, measure, timed
from peers import random_inputs

import litert
from conftest import Bar, find_model

XNNPACK, BUILTIN = "litert-native, XNNPACK", "builtin kernels"
KERNELS: dict[str, litert.options.Kernels] = {XNNPACK: "xnnpack", BUILTIN: "builtin"}
BUDGET_S = 12.0
ROUNDS = 101
# What the builtin kernels take over what XNNPACK does, at least.
BARS = (Bar(BUILTIN, 3.0, "speed"),)
# Real numbers of the output. The kernels round 8-bit values differently, layer after layer.
TOLERANCE = {"f32": 1e-5, "int8": 0.1}


@dataclass(frozen=True)
class Measured:
    """Samples of one precision, by kernels."""

    group: str
    samples: dict[str, Samples]


@pytest.fixture(scope="module", params=["f32", "int8"])
def measured(request: pytest.FixtureRequest) -> Measured:
    precision = request.param
    path = find_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite")
    inputs = random_inputs(path)
    models = {
        name: litert.Model(
            path, cpu=litert.CpuOptions(num_threads=1, kernels=kernels), backend="native"
        )
        for name, kernels in KERNELS.items()
    }
    outputs = {name: model.run(inputs, quantize=True) for name, model in models.items()}
    for name, array in outputs[XNNPACK].items():
        np.testing.assert_allclose(array, outputs[BUILTIN][name], atol=TOLERANCE[precision])
    runners = {name: model.bind() for name, model in models.items()}
    for runner in runners.values():
        for name, array in inputs.items():
            runner.inputs[name][...] = array
    runs = {name: timed(runner.run) for name, runner in runners.items()}
    return Measured(
        f"run MobileNetV2 {precision}, 1 thread, kernels",
        measure(runs, rounds=ROUNDS, round_s=0, budget_s=BUDGET_S),
    )


@pytest.mark.parametrize("peer", list(KERNELS))
def test_run_on_kernels(measured, record, peer):
    bars = BARS if peer == XNNPACK else ()
    record(measured.group, peer, measured.samples[peer], bars=bars)
