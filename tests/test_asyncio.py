"""``arun``: off the event loop, in order, and safe to cancel."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert

Array = npt.NDArray[Any]


def slow_inputs(n: int) -> dict[str, Array]:
    """Inputs of slow_loop: some 12 us for each ``n``."""
    x = np.random.default_rng(0).standard_normal((32, 128)).astype(np.float32)
    return {"n": np.array([n], np.int32), "x": x}


@pytest.fixture
def slow_model(data: Path, backend: Any) -> Iterator[litert.Model]:
    with litert.Model(data / "slow_loop.tflite", backend=backend) as model:
        yield model


def test_arun_gives_what_run_gives(data: Path, backend: Any) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        x = np.arange(4, dtype=np.float32).reshape(1, 4)
        scaled = asyncio.run(model.arun({"x": x}, signature="scale"))
        np.testing.assert_array_equal(
            scaled["scaled"], model.run({"x": x}, signature="scale")["scaled"]
        )


def test_arun_raises_what_run_raises(data: Path, backend: Any) -> None:
    with (
        litert.Model(data / "mlp.tflite", backend=backend) as model,
        pytest.raises(litert.TensorShapeError, match="batch axis"),
    ):
        asyncio.run(model.arun(np.zeros(8, np.float32)))


def test_calls_made_together_run_in_order_each_with_its_result(data: Path, backend: Any) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        ones = np.ones((1, 4), np.float32)
        finished = []

        async def call(number: int) -> Array:
            result = await model.arun({"x": ones, "y": ones * number})
            finished.append(number)
            return result["sum"]

        async def call_all() -> list[Array]:
            return await asyncio.gather(*map(call, range(20)))

        for number, result in enumerate(asyncio.run(call_all())):
            np.testing.assert_array_equal(result, ones + ones * number)
        assert finished == list(range(20))


def test_event_loop_goes_on_during_a_run(slow_model: litert.Model) -> None:
    async def count_while_running() -> int:
        run = asyncio.create_task(slow_model.arun(slow_inputs(20_000)))
        ticks = 0
        while not run.done():
            await asyncio.sleep(1e-3)
            ticks += 1
        await run
        return ticks

    assert asyncio.run(count_while_running()) > 10


def test_cancelled_await_gives_control_back_before_the_run_ends(slow_model: litert.Model) -> None:
    inputs = slow_inputs(3)
    expected = slow_model.run(inputs)["y"]

    async def cancel_and_go_on() -> bool:
        run = asyncio.create_task(slow_model.arun(slow_inputs(30_000)))
        await asyncio.sleep(0.03)
        # Calls of one model run in order, so this one ends only after the cancelled run.
        next_run = asyncio.create_task(slow_model.arun(inputs))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        is_back_before_the_end = not next_run.done()
        np.testing.assert_array_equal((await next_run)["y"], expected)
        return is_back_before_the_end

    assert asyncio.run(cancel_and_go_on())


def test_call_cancelled_before_its_turn_is_dropped(slow_model: litert.Model) -> None:
    async def cancel_the_second() -> None:
        first = asyncio.create_task(slow_model.arun(slow_inputs(10_000)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(slow_model.arun(slow_inputs(10_000_000)))
        await asyncio.sleep(0.01)
        second.cancel()
        await first
        # Were the second one still in the queue, this would take two minutes.
        await asyncio.wait_for(slow_model.arun(slow_inputs(1)), timeout=30)

    asyncio.run(cancel_the_second())


def test_timeout_leaves_the_model_usable(slow_model: litert.Model) -> None:
    inputs = slow_inputs(3)
    expected = slow_model.run(inputs)["y"]

    async def time_out() -> dict[str, Array]:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow_model.arun(slow_inputs(20_000)), timeout=0.03)
        return await slow_model.arun(inputs)

    np.testing.assert_array_equal(asyncio.run(time_out())["y"], expected)


def test_memory_of_cancelled_runs_is_not_reused(data: Path, backend: Any) -> None:
    """Each round drops its arrays while the run may still read them; the next one fills others."""
    rng = np.random.default_rng(0)

    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:

        async def cancel_one() -> None:
            x = rng.standard_normal((100_000, 4)).astype(np.float32)
            run = asyncio.create_task(model.arun(x))
            await asyncio.sleep(0)
            run.cancel()
            del x
            with contextlib.suppress(asyncio.CancelledError):  # unless the run is over by now
                await run

        async def cancel_many() -> None:
            for round_number in range(10):
                await cancel_one()
                gc.collect()
                ones = np.full((100_000, 4), round_number, np.float32)
                result = (await model.arun(ones))["y"]
                np.testing.assert_array_equal(result, np.broadcast_to(result[0], result.shape))

        asyncio.run(cancel_many())
        x = rng.standard_normal((100_000, 4)).astype(np.float32)
        np.testing.assert_array_equal(model.run(x)["y"][:1], model.run(x[:1])["y"])


def test_model_can_be_closed_under_a_cancelled_run(data: Path, backend: Any) -> None:
    async def cancel_and_close() -> None:
        model = litert.Model(data / "slow_loop.tflite", backend=backend)
        run = asyncio.create_task(model.arun(slow_inputs(10_000)))
        await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        model.close()
        with pytest.raises(litert.ClosedError, match="closed"):
            await model.arun(slow_inputs(1))

    asyncio.run(cancel_and_close())


def test_runner_arun_computes_off_the_loop(slow_model: litert.Model) -> None:
    with slow_model.bind() as runner:
        runner.inputs["n"][...] = 3
        runner.inputs["x"][...] = slow_inputs(3)["x"]
        asyncio.run(runner.arun())
        np.testing.assert_array_equal(runner.outputs["y"], slow_model.run(slow_inputs(3))["y"])


def test_busy_runner_refuses_a_second_arun(slow_model: litert.Model) -> None:
    with slow_model.bind() as runner:
        runner.inputs["n"][...] = 20_000

        async def run_twice() -> list[BaseException | None]:
            return await asyncio.gather(runner.arun(), runner.arun(), return_exceptions=True)

        refused, ran = sorted(asyncio.run(run_twice()), key=lambda outcome: outcome is None)
        assert ran is None
        assert isinstance(refused, litert.ExecutionError)
        assert "in use" in str(refused)


async def until_free(runner: litert.Runner) -> None:
    """Run as soon as the run under way has ended."""
    while True:
        try:
            return runner.run()
        except litert.ExecutionError:
            await asyncio.sleep(1e-3)


def test_cancelled_runner_is_busy_until_its_run_ends(slow_model: litert.Model) -> None:
    async def cancel_and_run() -> None:
        with slow_model.bind() as runner:
            runner.inputs["n"][...] = 20_000
            run = asyncio.create_task(runner.arun())
            await asyncio.sleep(0.03)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            with pytest.raises(litert.ExecutionError, match="in use"):
                runner.run()
            await until_free(runner)
            runner.inputs["n"][...] = 3
            runner.inputs["x"][...] = slow_inputs(3)["x"]
            runner.run()
            np.testing.assert_array_equal(runner.outputs["y"], slow_model.run(slow_inputs(3))["y"])

    asyncio.run(cancel_and_run())


def test_cancel_stops_a_loop_and_the_next_run_is_right(data: Path) -> None:
    with litert.Model(data / "slow_loop.tflite", backend="native") as model:
        inputs = slow_inputs(3)
        expected = model.run(inputs)["y"]

        async def run_and_cancel() -> dict[str, Array]:
            # Would take half an hour.
            run = asyncio.create_task(model.arun(slow_inputs(100_000_000)))
            await asyncio.sleep(0.03)
            model.cancel()
            with pytest.raises(litert.RunCancelledError, match="cancelled"):
                await run
            return await model.arun(inputs)

        np.testing.assert_array_equal(asyncio.run(run_and_cancel())["y"], expected)


def test_cancel_stops_a_runner_and_its_next_run_is_right(data: Path) -> None:
    with litert.Model(data / "slow_loop.tflite", backend="native") as model, model.bind() as runner:
        runner.inputs["x"][...] = slow_inputs(3)["x"]

        async def run_and_cancel() -> None:
            runner.inputs["n"][...] = 100_000_000
            run = asyncio.create_task(runner.arun())
            await asyncio.sleep(0.03)
            model.cancel()
            with pytest.raises(litert.RunCancelledError, match="cancelled"):
                await run
            runner.inputs["n"][...] = 3
            await runner.arun()

        asyncio.run(run_and_cancel())
        np.testing.assert_array_equal(runner.outputs["y"], model.run(slow_inputs(3))["y"])


def test_cancel_without_a_run_does_nothing_to_the_next(data: Path, backend: Any) -> None:
    with litert.Model(data / "slow_loop.tflite", backend=backend) as model:
        expected = model.run(slow_inputs(3))["y"]
        model.cancel()
        np.testing.assert_array_equal(model.run(slow_inputs(3))["y"], expected)
