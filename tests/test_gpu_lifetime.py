"""Models on the GPU over their whole life: many runs, several at once, and their end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import litert
from in_threads import in_threads

pytestmark = pytest.mark.usefixtures("software_gpu")

Features = npt.NDArray[np.float32]


@pytest.fixture
def path(data: Path) -> Path:
    return data / "conv.tflite"


def on_gpu(path: Path) -> litert.Model:
    return litert.Model(path, accelerator="gpu")


def image(seed: int) -> Features:
    return np.random.default_rng(seed).random((1, 16, 16, 3), np.float32)


def expected(path: Path, seed: int) -> Features:
    with litert.Model(path) as reference:
        return reference.run(image(seed))["features"]


def assert_close(computed: Features, wanted: Features) -> None:
    np.testing.assert_allclose(computed, wanted, rtol=1e-4, atol=1e-5)


# Many runs


def test_two_hundred_runs_of_a_runner_follow_their_inputs(path: Path) -> None:
    wanted = [expected(path, seed) for seed in range(4)]
    with on_gpu(path) as model, model.bind() as runner:
        for number in range(200):
            runner.inputs["image"][...] = image(number % 4)
            runner.run()
            assert_close(runner.outputs["features"], wanted[number % 4])


def test_runs_and_runners_take_turns(path: Path) -> None:
    # The library fails where a tensor's kind of memory changes between runs.
    with on_gpu(path) as model, model.bind() as first, model.bind() as second:
        first.inputs["image"][...] = image(1)
        second.inputs["image"][...] = image(2)
        for _ in range(3):
            first.run()
            assert_close(model.run(image(3))["features"], expected(path, 3))
            second.run()
            assert_close(first.outputs["features"], expected(path, 1))
            assert_close(second.outputs["features"], expected(path, 2))


def test_results_are_not_changed_by_later_runs(path: Path) -> None:
    with on_gpu(path) as model:
        first = model.run(image(1))["features"]
        model.run(image(2))
    assert_close(first, expected(path, 1))


def test_signatures_take_turns(data: Path) -> None:
    x, y = np.full((1, 4), 3.0, np.float32), np.full((1, 4), 4.0, np.float32)
    with on_gpu(data / "add.tflite") as model:
        for _ in range(3):
            total = model.run({"x": x, "y": y}, signature="add")["sum"]
            np.testing.assert_allclose(total, 7.0)
            scaled = model.run({"x": x}, signature="scale")["scaled"]
            np.testing.assert_allclose(scaled, 7.5)


def test_wrong_input_leaves_the_model_usable(path: Path) -> None:
    with on_gpu(path) as model:
        with pytest.raises(litert.TensorShapeError, match="image"):
            model.run(np.ones((1, 3, 3, 3), np.float32))
        assert_close(model.run(image(1))["features"], expected(path, 1))


# Several at once


def test_models_in_many_threads_are_right(path: Path, data: Path) -> None:
    with litert.Model(data / "mlp.tflite") as reference:
        ones = np.ones((1, 8), np.float32)
        probs = reference.run(ones)["probs"]
    wanted = [expected(path, seed) for seed in range(8)]
    with on_gpu(path) as conv, on_gpu(data / "mlp.tflite") as mlp:

        def check(number: int) -> None:
            for _ in range(10):
                assert_close(conv.run(image(number))["features"], wanted[number])
                assert_close(mlp.run(ones)["probs"], probs)

        in_threads(check)


def test_loads_in_many_threads_are_right(path: Path) -> None:
    wanted = [expected(path, seed) for seed in range(4)]

    def check(number: int) -> None:
        accelerator = "cpu" if number % 2 else "gpu"
        with litert.Model(path, accelerator=accelerator) as model:
            assert_close(model.run(image(number))["features"], wanted[number])
            assert model.placement.accelerator == accelerator

    in_threads(check, num_threads=4)


def test_auto_measures_the_gpu_and_gives_right_results(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    for _ in range(2):
        with litert.Model(path, accelerator="auto") as model:
            assert_close(model.run(image(1))["features"], expected(path, 1))
            measured = [one for one in model.placement.reasons if one.startswith("measured, ")]
            assert len(measured) == 1
            assert " ms, gpu " in measured[0]


# Which device


def test_device_is_found_by_a_part_of_its_name(path: Path) -> None:
    gpu = litert.accelerators()[1]
    name = gpu.devices[0].split()[0].upper()
    with litert.Model(path, accelerator="gpu", gpu=litert.GpuOptions(device=name)) as model:
        assert any(gpu.devices[0] in reason for reason in model.placement.reasons)


# The end


def test_runner_ends_with_its_model(path: Path) -> None:
    model = on_gpu(path)
    runner = model.bind()
    view = runner.outputs["features"]
    runner.run()
    kept = view.copy()
    model.close()

    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()
    np.testing.assert_array_equal(view, kept)


def test_model_that_was_closed_is_loaded_again(path: Path) -> None:
    wanted = expected(path, 1)
    for _ in range(10):
        with on_gpu(path) as model:
            assert_close(model.run(image(1))["features"], wanted)


def test_loads_leave_neither_memory_nor_descriptors_behind(path: Path) -> None:
    def used() -> tuple[float, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6, len(os.listdir("/proc/self/fd"))

    used_before = (0.0, 0)
    for number in range(30):
        with on_gpu(path) as model:
            model.run(image(1))
        if number == 9:
            used_before = used()
    megabytes, descriptors = used()
    assert megabytes < used_before[0] + 10
    assert descriptors == used_before[1]


def test_closed_model_leaves_others_running(path: Path) -> None:
    first, second = on_gpu(path), on_gpu(path)
    first.close()
    assert_close(second.run(image(1))["features"], expected(path, 1))
    second.close()


def test_manager_runs_on_the_gpu(path: Path) -> None:
    with litert.LiteRTManager() as manager:
        assert manager.load_model(path, use_gpu=True)
        assert manager.model.placement.accelerator == "gpu"
        assert_close(manager.generate({"image": image(1)})["features"], expected(path, 1))


ENDS = {
    "replaced": """
        model = litert.Model(path, accelerator="gpu")
        model = litert.Model(path, accelerator="gpu")
        """,
    "two are left": """
        first, second = (litert.Model(path, accelerator="gpu") for _ in range(2))
        """,
    "in threads": """
        import threading

        def load(accelerator):
            model = litert.Model(path, accelerator=accelerator)
            model.bind().run()

        threads = [
            threading.Thread(target=load, args=(name,)) for name in ("gpu", "cpu", "gpu", "cpu")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
    "refused": """
        import contextlib

        with contextlib.suppress(litert.AcceleratorError):
            litert.Model(path.replace("conv", "copy_int64"), accelerator="gpu")
        with contextlib.suppress(litert.AcceleratorError):
            litert.Model(path.replace("conv", "mlp"), accelerator="gpu", strict=True)
        """,
}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_printed_up_to_the_end_of_the_process(path: Path, end: str) -> None:
    code = f"import litert\npath = {str(path)!r}\n{textwrap.dedent(ENDS[end])}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=120, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
