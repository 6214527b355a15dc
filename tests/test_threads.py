"""One model, one runner, loading and closing: from many threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert
from in_threads import NUM_THREADS, in_threads

Array = npt.NDArray[Any]


def mlp_input(number: int) -> Array:
    return np.random.default_rng(number).standard_normal((1, 8)).astype(np.float32)


def slow_inputs(n: int) -> dict[str, Array]:
    """Inputs of slow_loop: some 12 us for each ``n``."""
    x = np.random.default_rng(0).standard_normal((32, 128)).astype(np.float32)
    return {"n": np.array([n], np.int32), "x": x}


def assert_all_equal(arrays: Iterable[Array], expected: Array) -> None:
    for array in arrays:
        np.testing.assert_array_equal(array, expected)


def test_one_model_in_eight_threads_gives_each_its_own_result(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        (output,) = model.signatures["serving_default"].outputs
        expected = [model.run(mlp_input(number))[output] for number in range(NUM_THREADS)]

        def run_often(number: int) -> list[Array]:
            return [model.run(mlp_input(number))[output] for _ in range(200)]

        for number, results in enumerate(in_threads(run_often)):
            assert_all_equal(results, expected[number])


def test_threads_with_other_shapes_get_their_own_shapes(data: Path, backend: Any) -> None:
    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:

        def inputs(number: int) -> Array:
            shape = (number + 1, 4)
            return np.random.default_rng(number).standard_normal(shape).astype(np.float32)

        expected = [model.run(inputs(number))["y"] for number in range(NUM_THREADS)]

        def run_often(number: int) -> list[Array]:
            return [model.run(inputs(number))["y"] for _ in range(50)]

        for number, results in enumerate(in_threads(run_often)):
            assert_all_equal(results, expected[number])


def test_threads_on_other_signatures_do_not_meet(data: Path, backend: Any) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        ones = np.ones((1, 4), np.float32)
        scaled = model.run({"x": ones}, signature="scale")["scaled"]

        def run_often(number: int) -> list[Array]:
            value = ones * number
            if number % 2:
                return [model.run({"x": ones}, signature="scale")["scaled"] for _ in range(100)]
            return [model.run({"x": value, "y": value})["sum"] for _ in range(100)]

        for number, results in enumerate(in_threads(run_often)):
            assert_all_equal(results, scaled if number % 2 else ones * 2 * number)


def test_runners_of_one_model_in_eight_threads_keep_their_memory(data: Path, backend: Any) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        (output,) = model.signatures["serving_default"].outputs
        expected = [model.run(mlp_input(number))[output] for number in range(NUM_THREADS)]

        def run_often(number: int) -> list[Array]:
            results = []
            with model.bind() as runner:
                (view,) = runner.inputs.values()
                view[...] = mlp_input(number)
                for _ in range(200):
                    runner.run()
                    results.append(runner.outputs[output].copy())
            return results

        for number, results in enumerate(in_threads(run_often)):
            assert_all_equal(results, expected[number])


def test_runner_in_use_refuses_a_second_run(data: Path, backend: Any) -> None:
    with (
        litert.Model(data / "slow_loop.tflite", backend=backend) as model,
        model.bind() as runner,
    ):
        for name, array in slow_inputs(30_000).items():
            runner.inputs[name][...] = array

        def run(_: int) -> str:
            try:
                runner.run()
            except litert.ExecutionError as err:
                return str(err)
            return "ran"

        refused, ran = sorted(in_threads(run, 2), key=lambda outcome: outcome == "ran")
        assert "in use" in refused
        assert ran == "ran"


def test_runner_in_use_refuses_new_memory_and_closing(data: Path, backend: Any) -> None:
    with (
        litert.Model(data / "slow_loop.tflite", backend=backend) as model,
        model.bind() as runner,
        ThreadPoolExecutor(1) as pool,
    ):
        memory = litert.empty_aligned((32, 128))
        runner.inputs["n"][...] = 30_000
        future = pool.submit(runner.run)
        time.sleep(0.05)  # of a run that takes seven times as long
        with pytest.raises(litert.ExecutionError, match="in use"):
            runner.bind_input("x", memory)
        with pytest.raises(litert.ExecutionError, match="in use"):
            runner.close()
        future.result()


def test_runner_hammered_by_threads_never_mixes_data(data: Path) -> None:
    with litert.Model(data / "add.tflite", backend="native") as model, model.bind() as runner:
        runner.inputs["x"][...] = 1
        runner.inputs["y"][...] = 2

        def run_often(_: int) -> int:
            refused = 0
            for _ in range(2_000):
                try:
                    runner.run()
                except litert.ExecutionError:
                    refused += 1
            return refused

        assert sum(in_threads(run_often)) < NUM_THREADS * 2_000
        runner.run()
        np.testing.assert_array_equal(runner.outputs["sum"], np.full((1, 4), 3, np.float32))


def test_loading_and_closing_in_threads_gives_right_results(data: Path, backend: Any) -> None:
    ones = np.ones((1, 4), np.float32)

    def load_often(number: int) -> list[Array]:
        results = []
        for _ in range(20):
            with litert.Model(data / "add.tflite", backend=backend) as model:
                results.append(model.run({"x": ones, "y": ones * number})["sum"])
        return results

    for number, results in enumerate(in_threads(load_often)):
        assert_all_equal(results, ones + ones * number)


def test_closing_during_runs_ends_them_with_closed_errors(data: Path, backend: Any) -> None:
    model = litert.Model(data / "slow_loop.tflite", backend=backend)
    inputs = slow_inputs(3)
    expected = model.run(inputs)["y"]
    has_run = threading.Semaphore(0)

    def run_until_closed() -> list[Array]:
        results = []
        try:
            while True:
                results.append(model.run(inputs)["y"])
                has_run.release()
        except litert.ClosedError:
            return results

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        futures = [pool.submit(run_until_closed) for _ in range(NUM_THREADS)]
        for _ in range(3 * NUM_THREADS):
            has_run.acquire()
        model.close()
        for future in futures:
            assert_all_equal(future.result(), expected)


def test_closing_the_model_under_a_running_runner_waits_for_the_run(
    data: Path, backend: Any
) -> None:
    model = litert.Model(data / "slow_loop.tflite", backend=backend)
    runner = model.bind()
    for name, array in slow_inputs(3).items():
        runner.inputs[name][...] = array
    runner.run()
    expected = runner.outputs["y"].copy()
    has_run = threading.Event()

    def run_until_closed() -> None:
        while True:
            runner.run()
            has_run.set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_until_closed)
        has_run.wait()
        model.close()
        with pytest.raises(litert.ClosedError, match="closed"):
            future.result()
    np.testing.assert_array_equal(runner.outputs["y"], expected)


def test_closing_from_many_threads_is_closing_once(data: Path, backend: Any) -> None:
    model = litert.Model(data / "mlp.tflite", backend=backend)
    model.run(mlp_input(0))
    in_threads(lambda _: model.close())
    with pytest.raises(litert.ClosedError, match="closed"):
        model.run(mlp_input(0))
