"""``Model.cancel``: ends the run under way, and no other."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import litert
from litert.options import Backend


def cancel_soon(model: litert.Model) -> threading.Timer:
    """Cancel from another thread, once the run is surely under way."""
    timer = threading.Timer(0.1, model.cancel)
    timer.start()
    return timer


def test_cancel_ends_a_loop_and_the_next_run_is_right(data: Path) -> None:
    x = np.full((32, 128), 0.5, np.float32)
    with litert.Model(data / "slow_loop.tflite", backend="native") as model:
        expected = model.run({"n": np.array([3], np.int32), "x": x})["y"]
        for _ in range(2):
            timer = cancel_soon(model)
            started = time.perf_counter()
            with pytest.raises(litert.RunCancelledError, match="cancelled"):
                model.run({"n": np.array([2_000_000], np.int32), "x": x})
            assert time.perf_counter() - started < 5
            timer.join()
            y = model.run({"n": np.array([3], np.int32), "x": x})["y"]
            np.testing.assert_array_equal(y, expected)


def test_cancel_ends_a_runners_loop_and_its_next_run_is_right(data: Path) -> None:
    with (
        litert.Model(data / "slow_loop.tflite", backend="native") as model,
        model.bind() as runner,
    ):
        runner.inputs["n"][...] = 2_000_000
        timer = cancel_soon(model)
        with pytest.raises(litert.RunCancelledError, match="cancelled"):
            runner.run()
        timer.join()
        runner.inputs["n"][...] = 0
        runner.inputs["x"][...] = 3
        runner.run()
        assert (runner.outputs["y"] == 3).all()


def test_cancel_on_the_reference_lets_the_run_end(data: Path) -> None:
    x = np.full((32, 128), 0.5, np.float32)
    with litert.Model(data / "slow_loop.tflite", backend="reference") as model:
        timer = cancel_soon(model)
        outputs = model.run({"n": np.array([20_000], np.int32), "x": x})
        timer.join()
    assert outputs["n_out"].tolist() == [0]


@pytest.mark.parametrize("name", ["add", "while_loop"])
def test_cancel_without_a_run_leaves_the_next_one_alone(
    data: Path, backend: Backend, name: str
) -> None:
    with litert.Model(data / f"{name}.tflite", backend=backend) as model, model.bind() as runner:
        model.cancel()
        runner.run()
        model.cancel()
        signature = next(iter(model.signatures.values()))
        zeros = {key: np.zeros(info.shape, info.dtype) for key, info in signature.inputs.items()}
        outputs = model.run(zeros)
        for output, value in outputs.items():
            np.testing.assert_array_equal(value, runner.outputs[output])


def test_cancel_does_not_stand_for_a_later_failure(data: Path, backend: Backend) -> None:
    with litert.Model(data / "embedding_argmax.tflite", backend=backend) as model:
        model.cancel()
        with pytest.raises(litert.ExecutionError, match=r"(?i)gather|index"):
            model.run(np.full((1, 4), 1000, np.int32))
