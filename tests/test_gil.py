"""Long calls let other Python threads run; short runs keep the GIL, as handing it over costs more.

Nothing here is timed. A second thread writes down when it runs; what it wrote in the middle of a
call shows whether that call had given the GIL away.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert

Array = npt.NDArray[Any]

# A run of slow_loop of some 28 ms, six times the interpreter's own switch interval.
LONG = 2_400

needs_a_gil = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has no GIL to keep"
)


class Ticker(threading.Thread):
    """Writes down the time as often as it gets the GIL."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self._is_stopping = False

    def run(self) -> None:
        while not self._is_stopping:
            self.times.append(time.perf_counter())

    def stop(self) -> None:
        self._is_stopping = True
        self.join()

    def ticks_between(self, start: float, stop: float) -> int:
        return sum(start < tick < stop for tick in self.times)


@contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def ticks_in_the_middle(call: Callable[[], object]) -> int:
    """Count how often another thread ran in the middle three fifths of ``call()``."""
    # Short, so that the wait for the GIL at the end of the call does not count as its middle.
    with switch_interval(1e-4):
        ticker = Ticker()
        ticker.start()
        while not ticker.times:
            time.sleep(1e-3)
        start = time.perf_counter()
        call()
        fifth = (time.perf_counter() - start) / 5
        ticker.stop()
    return ticker.ticks_between(start + fifth, start + 4 * fifth)


def slow_inputs(n: int) -> dict[str, Array]:
    x = np.random.default_rng(0).standard_normal((32, 128)).astype(np.float32)
    return {"n": np.array([n], np.int32), "x": x}


@pytest.fixture
def slow_model(data: Path, backend: Any) -> Iterator[litert.Model]:
    with litert.Model(data / "slow_loop.tflite", backend=backend) as model:
        model.run(slow_inputs(1))
        yield model


def test_long_run_of_a_model_releases_the_gil(slow_model: litert.Model) -> None:
    assert ticks_in_the_middle(lambda: slow_model.run(slow_inputs(LONG))) > 100


def test_long_run_of_a_runner_releases_the_gil(slow_model: litert.Model) -> None:
    with slow_model.bind() as runner:
        for name, array in slow_inputs(LONG).items():
            runner.inputs[name][...] = array
        assert ticks_in_the_middle(runner.run) > 100


@needs_a_gil
def test_release_gil_false_keeps_it_even_for_long_runs(data: Path) -> None:
    with litert.Model(data / "slow_loop.tflite", backend="native", release_gil=False) as model:
        assert ticks_in_the_middle(lambda: model.run(slow_inputs(LONG))) == 0
        with model.bind() as runner:
            runner.inputs["n"][...] = LONG
            assert ticks_in_the_middle(runner.run) == 0


def test_close_waits_for_a_run_without_the_gil(data: Path, backend: Any) -> None:
    model = litert.Model(data / "slow_loop.tflite", backend=backend)
    with _running(model):
        assert ticks_in_the_middle(model.close) > 100


def test_last_reference_to_a_runner_does_not_wait_for_a_run(data: Path) -> None:
    with litert.Model(data / "slow_loop.tflite", backend="native") as model:
        runners = [model.bind()]
        with _running(model) as thread:
            runners.clear()
            assert thread.is_alive()


@contextmanager
def _running(model: litert.Model) -> Iterator[threading.Thread]:
    """Hold the model in a long run of another thread for the time of the ``with`` block."""
    inputs = slow_inputs(10 * LONG)
    thread = threading.Thread(target=model.run, args=(inputs,))
    thread.start()
    # Once this thread runs again the other one has given the GIL away: it is in its run.
    time.sleep(0.03)
    yield thread
    thread.join()


def test_loading_releases_the_gil(shared_model: Callable[[str], Path]) -> None:
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_f32.tflite")
    litert.Model(path, backend="native").close()
    models: list[litert.Model] = []
    # A load takes a few milliseconds, in which a busy machine may not get to the other thread; one
    # that held the GIL would never let it in.
    ticks = [
        ticks_in_the_middle(lambda: models.append(litert.Model(path, backend="native")))
        for _ in range(10)
    ]
    assert max(ticks) > 0
    for model in models:
        model.close()


def is_gil_given_away(run: Callable[[], object], num_runs: int) -> bool:
    """Whether another thread that waits for the GIL gets it while ``run`` is called so often.

    The interpreter itself would hand it over only after the whole switch interval.
    """
    ticker = Ticker()
    with switch_interval(0.2):
        ticker.start()
        time.sleep(1e-3)  # returns only when the interval has passed: the other thread is running
        before = len(ticker.times)
        is_given_away = False
        for _ in range(num_runs):
            run()
            if len(ticker.times) != before:
                is_given_away = True
                break
    ticker.stop()
    return is_given_away


@needs_a_gil
def test_short_runs_of_a_runner_keep_the_gil(data: Path) -> None:
    with litert.Model(data / "mlp.tflite", backend="native") as model, model.bind() as runner:
        # The first runs are taken for long ones, until it shows that they are not.
        for _ in range(200):
            runner.run()
        assert not is_gil_given_away(runner.run, 1_000)


@needs_a_gil
def test_short_runs_of_a_model_keep_the_gil(data: Path) -> None:
    x = np.zeros((1, 8), np.float32)
    with litert.Model(data / "mlp.tflite", backend="native") as model:
        for _ in range(200):
            model.run(x)
        assert not is_gil_given_away(lambda: model.run(x), 1_000)


def test_release_gil_true_gives_it_away_even_in_short_runs(data: Path) -> None:
    with (
        litert.Model(data / "mlp.tflite", backend="native", release_gil=True) as model,
        model.bind() as runner,
    ):
        for _ in range(200):
            runner.run()
        # The other thread has to wake up before the GIL is taken back, which may take many runs.
        assert is_gil_given_away(runner.run, 200_000)
