"""A run of MobileNetV2 inside of ``model.profile()``, and outside, on one thread."""

from __future__ import annotations

import numpy as np
import pytest
from interleave import Samples, measure, timed
from peers import assert_same, random_inputs

import litert
from conftest import Bar, find_model

INSIDE = "inside of profile()"
OUTSIDE = "outside"
BARS = (Bar(OUTSIDE, 1.2),)


@pytest.fixture(scope="module")
def samples() -> dict[str, Samples]:
    path = find_model("mobilenet/mobilenet_v2_1.0_224_f32.tflite")
    inputs = random_inputs(path)
    with (
        litert.Model(path, num_threads=1) as recorded,
        litert.Model(path, num_threads=1) as plain,
    ):
        with recorded.profile() as profile:
            assert_same(recorded.run(inputs), plain.run(inputs))
            measured = measure(
                {
                    INSIDE: timed(lambda: recorded.run(inputs)),
                    OUTSIDE: timed(lambda: plain.run(inputs)),
                },
                rounds=101,
            )
        assert profile.num_runs > 101
        assert not profile.is_full
        assert np.isclose(sum(row.share for row in profile.placement), 1)
    return measured


@pytest.mark.parametrize("peer", [INSIDE, OUTSIDE])
def test_recorded_run(samples, record, peer):
    bars = BARS if peer == INSIDE else ()
    record("profiled run of mobilenet_v2_1.0_224_f32", peer, samples[peer], bars=bars)
