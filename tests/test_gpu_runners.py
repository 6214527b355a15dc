"""Runs, runners and their memory on the GPU, in any order and from several threads.

The library fails, or answers with what was there before, where a tensor's kind of memory changes
between runs; so all of it here is host memory, and runs of every kind may be mixed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from in_threads import in_threads

pytestmark = pytest.mark.usefixtures("software_gpu")

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture
def model(data: Path) -> Iterator[litert.Model]:
    """A model on the GPU: x float32[1, 8] -> probs float32[1, 3]."""
    with litert.Model(data / "mlp.tflite", accelerator="gpu") as opened:
        yield opened


@pytest.fixture
def reference(data: Path) -> Iterator[litert.Model]:
    """The same on the CPU."""
    with litert.Model(data / "mlp.tflite") as opened:
        yield opened


def x_of(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 8)).astype(np.float32)


def assert_close(computed: Array, expected: Array) -> None:
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)


def test_runs_take_turns_with_runners_of_own_and_given_memory(
    model: litert.Model, reference: litert.Model
) -> None:
    expected = [reference.run(x_of(seed))["probs"] for seed in range(3)]
    bound = litert.empty_aligned((1, 8), np.float32)
    with model.bind() as first, model.bind() as second:
        second.bind_input("x", bound)
        for _ in range(3):
            assert_close(model.run(x_of(0))["probs"], expected[0])
            first.inputs["x"][...] = x_of(1)
            first.run()
            bound[...] = x_of(2)
            second.run()
            assert_close(first.outputs["probs"], expected[1])
            assert_close(second.outputs["probs"], expected[2])


def test_views_of_a_runner_stay_in_place(model: litert.Model, reference: litert.Model) -> None:
    with model.bind() as runner:
        x, probs = runner.inputs["x"], runner.outputs["probs"]
        for seed in range(5):
            x[...] = x_of(seed)
            runner.run()
            assert_close(probs, reference.run(x_of(seed))["probs"])


def test_input_bound_anew_is_the_one_that_is_read(
    model: litert.Model, reference: litert.Model
) -> None:
    arrays = [litert.empty_aligned((1, 8), np.float32) for _ in range(3)]
    with model.bind() as runner:
        for seed, array in enumerate(arrays):
            array[...] = x_of(seed)
            runner.bind_input("x", array)
            runner.run()
            assert_close(runner.outputs["probs"], reference.run(array)["probs"])


def test_input_without_the_alignment_is_refused(model: litert.Model) -> None:
    array = litert.empty_aligned((1, 9), np.float32)[:, 1:]
    with model.bind() as runner, pytest.raises(litert.TensorLayoutError, match="tensor 'x'"):
        runner.bind_input("x", array)


def test_cache_that_goes_round_in_one_memory_is_updated(data: Path) -> None:
    path = data / "kv_step.tflite"
    with litert.Model(path, accelerator="gpu") as model, litert.Model(path) as reference:
        signature = next(iter(reference.signatures.values()))
        caches = [name for name in signature.outputs if name in signature.inputs]
        assert caches
        with model.bind() as runner, reference.bind() as expected:
            for _ in range(3):
                for one in (runner, expected):
                    for name in set(signature.inputs) - set(caches):
                        one.inputs[name][...] = 1
                    one.run()
                    for name in caches:
                        one.inputs[name][...] = one.outputs[name]
                for name, array in expected.outputs.items():
                    assert_close(runner.outputs[name], array)


def test_runner_after_close_raises(model: litert.Model) -> None:
    runner = model.bind()
    runner.close()
    runner.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()
    assert model.run(x_of(0))["probs"].shape == (1, 3)


def test_views_outlive_the_model(data: Path) -> None:
    model = litert.Model(data / "mlp.tflite", accelerator="gpu")
    runner = model.bind()
    runner.inputs["x"][...] = 1
    runner.run()
    probs = runner.outputs["probs"]
    kept = probs.copy()
    del runner
    model.close()
    del model
    np.testing.assert_array_equal(probs, kept)


def test_closed_model_tells_nothing(data: Path) -> None:
    model = litert.Model(data / "mlp.tflite", accelerator="gpu")
    model.close()
    for use in (model.bind, lambda: model.placement, lambda: asyncio.run(model.arun(x_of(0)))):
        with pytest.raises(litert.ClosedError, match="the model is closed"):
            use()


def test_aruns_at_once_are_right(model: litert.Model, reference: litert.Model) -> None:
    async def all_runs() -> list[dict[str, Array]]:
        return await asyncio.gather(*(model.arun(x_of(seed)) for seed in range(8)))

    for seed, result in enumerate(asyncio.run(all_runs())):
        assert_close(result["probs"], reference.run(x_of(seed))["probs"])


def test_model_and_runners_of_many_threads_are_right(
    model: litert.Model, reference: litert.Model
) -> None:
    expected = [reference.run(x_of(seed))["probs"] for seed in range(8)]

    def check(number: int) -> None:
        with model.bind() as runner:
            for _ in range(5):
                runner.inputs["x"][...] = x_of(number)
                runner.run()
                assert_close(runner.outputs["probs"], expected[number])
                assert_close(model.run(x_of(number))["probs"], expected[number])

    in_threads(check)


def test_models_that_many_threads_load_and_run_are_right(
    data: Path, reference: litert.Model
) -> None:
    expected = [reference.run(x_of(seed))["probs"] for seed in range(8)]

    def check(number: int) -> None:
        with litert.Model(data / "mlp.tflite", accelerator="gpu") as model:
            for _ in range(5):
                assert_close(model.run(x_of(number))["probs"], expected[number])

    in_threads(check)


def test_models_on_the_cpu_run_beside_one_on_the_gpu(
    model: litert.Model, reference: litert.Model
) -> None:
    expected = reference.run(x_of(0))["probs"]

    def check(number: int) -> None:
        for _ in range(20):
            one = model if number % 2 else reference
            assert_close(one.run(x_of(0))["probs"], expected)

    in_threads(check)
