"""Open dimensions: resized by ``run``, fixed by ``bind(shapes=)``, and back and forth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert.options import Backend

DYNAMIC_BATCHES = ["dynamic_batch", "dynamic_batch_no_has_rank"]
# The runtime tells their output shapes wrongly after a resize, or writes past the output.
COMPUTED_SHAPES = [
    "dynamic_batch_reshape",
    "dynamic_batch_reshape_cast",
    "dynamic_batch_reshape_mul",
    "dynamic_batch_stale_shape",
]


def numbers(*shape: int) -> np.ndarray:
    """Distinct values, so that an element in the wrong place shows."""
    return np.linspace(-3, 3, int(np.prod(shape)), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", DYNAMIC_BATCHES)
def test_info_of_an_open_dimension_is_minus_one(data: Path, backend: Backend, name: str) -> None:
    with litert.Model(data / f"{name}.tflite", backend=backend) as model:
        signature = model.signatures["serving_default"]
    assert signature.inputs["x"].shape == (-1, 4)
    assert signature.inputs["x"].is_dynamic
    assert signature.outputs["y"].shape[0] == -1


@pytest.mark.parametrize("name", DYNAMIC_BATCHES + COMPUTED_SHAPES)
def test_run_batches_back_and_forth_equal_interpreter(
    data: Path, backend: Backend, name: str
) -> None:
    path = data / f"{name}.tflite"
    backend = "auto" if name in COMPUTED_SHAPES and backend == "native" else backend
    with litert.Model(path, backend=backend) as model:
        row = model.signatures["serving_default"].inputs["x"].shape[1:]
        for batch in (1, 2, 7, 2, 1, 64, 3):
            x = numbers(batch, *row)

            y = model.run({"x": x})["y"]

            expected = run_interpreter(path, {"x": x})["y"]
            np.testing.assert_array_equal(y, expected, strict=True, err_msg=f"batch {batch}")


def test_run_more_shapes_than_are_kept_ready(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        for length in (*range(1, 20), 3, 1):
            x = numbers(length)
            np.testing.assert_array_equal(model.run({"x": x, "y": x})["z"], x + x, strict=True)


@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 4, 2), (4, 3, 2), (1, 5, 2), (5, 1, 2)])
def test_run_two_open_dimensions(data: Path, backend: Backend, shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    with litert.Model(data / "dynamic_two_dims.tflite", backend=backend) as model:
        outputs = model.run({"x": x})
    np.testing.assert_array_equal(outputs["y"], 3 * x, strict=True)
    np.testing.assert_allclose(outputs["z"], (3 * x).sum(1), rtol=1e-5, atol=1e-5)


def test_run_first_at_another_shape_than_the_file_stores(data: Path, backend: Backend) -> None:
    x = numbers(5)
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        assert model.run({"x": x, "y": x})["z"].tolist() == (2 * x).tolist()


def test_run_one_input_broadcasts_over_the_other(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        for x, y in [(numbers(5), numbers(1)), (numbers(1), numbers(3)), (numbers(4), numbers(4))]:
            np.testing.assert_array_equal(model.run({"x": x, "y": y})["z"], x + y, strict=True)


# What is refused


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((2, 5), r"tensor 'x': expected float32\[-1, 4\], got float32\[2, 5\]"),
        ((4,), r"tensor 'x': expected float32\[-1, 4\], got float32\[4\]; add a batch axis"),
        ((1, 2, 4), r"tensor 'x': expected float32\[-1, 4\], got float32\[1, 2, 4\]"),
    ],
)
def test_run_shape_that_does_not_fit_leaves_the_model_usable(
    data: Path, backend: Backend, shape: tuple[int, ...], match: str
) -> None:
    path = data / "dynamic_batch.tflite"
    x = numbers(2, 4)
    with litert.Model(path, backend=backend) as model:
        with pytest.raises(litert.TensorShapeError, match=match):
            model.run({"x": np.zeros(shape, np.float32)})
        y = model.run({"x": x})["y"]
    np.testing.assert_array_equal(y, run_interpreter(path, {"x": x})["y"])


def test_run_shapes_that_do_not_fit_each_other_leave_the_model_usable(
    data: Path, backend: Backend
) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        for _ in range(2):
            with pytest.raises(litert.TensorShapeError, match=r"cannot take .*\[2\].*\[3\]"):
                model.run({"x": numbers(2), "y": numbers(3)})
            assert model.run({"x": numbers(2), "y": numbers(2)})["z"].tolist() == [-6, 6]


def test_bind_shapes_that_do_not_fit_each_other_leave_a_runner_usable(
    data: Path, backend: Backend
) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        runner = model.bind(shapes={"x": (2,), "y": (2,)})
        with pytest.raises(litert.TensorShapeError, match=r"cannot take .*\[2\].*\[3\]"):
            model.bind(shapes={"x": (2,), "y": (3,)})
        runner.inputs["x"][...] = [1, 2]
        runner.run()
        assert runner.outputs["z"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((0, 4), r"tensor 'x': expected positive dimensions, got \[0, 4\]"),
        ((-1, 4), r"tensor 'x': expected positive dimensions, got \[-1, 4\]"),
        ((2, 5), r"tensor 'x': expected float32\[-1, 4\], got float32\[2, 5\]"),
        ((8,), r"tensor 'x': expected float32\[-1, 4\], got float32\[8\]"),
        ((2.5, 4), r"x.*2\.5"),
        ((2**31 - 1, 4), r"x.*2147483647"),
        ((2**31, 4), r"x.*2147483648"),
        ((2**32 + 1, 4), r"x.*4294967297"),
        ((2**64, 4), r"x.*18446744073709551616"),
    ],
)
def test_bind_shape_that_does_not_fit_says_why(
    data: Path, backend: Backend, shape: tuple[int, ...], match: str
) -> None:
    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:
        with pytest.raises(litert.TensorShapeError, match=match):
            model.bind(shapes={"x": shape})
        assert model.run(numbers(2, 4))["y"].shape == (2, 3)


def test_run_empty_batch_is_refused_as_by_bind(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:
        with pytest.raises(
            litert.TensorShapeError, match=r"expected positive dimensions.*\[0, 4\]"
        ):
            model.run(np.empty((0, 4), np.float32))
        assert model.run(numbers(1, 4))["y"].shape == (1, 3)


def test_static_model_is_not_resized(data: Path, backend: Backend) -> None:
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        with pytest.raises(litert.TensorShapeError, match=r"float32\[1, 8\], got float32\[2, 8"):
            model.run({"x": numbers(2, 8)})
        with pytest.raises(litert.TensorShapeError, match=r"float32\[1, 8\], got float32\[2, 8"):
            model.bind(shapes={"x": (2, 8)})


# Runners


def test_bind_without_shapes_takes_those_of_the_file(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_batch.tflite", backend=backend) as model:
        assert model.bind().inputs["x"].shape == (1, 4)
        assert model.bind().outputs["y"].shape == (1, 3)


def test_bind_shapes_fix_the_open_dimensions(data: Path, backend: Backend) -> None:
    path = data / "dynamic_batch.tflite"
    with litert.Model(path, backend=backend) as model, model.bind(shapes={"x": (5, 4)}) as runner:
        x = numbers(5, 4)
        runner.inputs["x"][...] = x
        runner.run()
        expected = run_interpreter(path, {"x": x})["y"]
        np.testing.assert_array_equal(runner.outputs["y"], expected, strict=True)


def test_bind_some_shapes_leaves_the_other_inputs(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        runner = model.bind(shapes={"x": (3,)})
        assert runner.inputs["y"].shape == (1,)
        runner.inputs["x"][...], runner.inputs["y"][...] = [1, 2, 3], 10
        runner.run()
        assert runner.outputs["z"].tolist() == [11, 12, 13]


def test_runners_of_different_shapes_in_turn_keep_their_data(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        runners = [model.bind(shapes={"x": (n,), "y": (n,)}) for n in (1, 6, 3)]
        for runner in runners:
            runner.inputs["x"][...] = numbers(*runner.inputs["x"].shape)
        for step in range(3):
            for runner in [*runners, *reversed(runners)]:
                runner.inputs["y"][...] = step
                runner.run()
                x = numbers(*runner.inputs["x"].shape)
                np.testing.assert_array_equal(runner.outputs["z"], x + step, strict=True)


def test_runner_and_resizing_runs_in_turn_keep_their_data(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        runner = model.bind(shapes={"x": (4,), "y": (4,)})
        z = runner.outputs["z"]
        runner.inputs["x"][...] = numbers(4)
        for length in (1, 9, 4, 2):
            runner.inputs["y"][...] = length
            runner.run()
            result = model.run({"x": numbers(length), "y": numbers(length)})["z"]
            np.testing.assert_array_equal(z, numbers(4) + length)
            np.testing.assert_array_equal(result, 2 * numbers(length))


def test_bound_input_survives_resizes_by_others(data: Path, backend: Backend) -> None:
    with litert.Model(data / "dynamic_rank1.tflite", backend=backend) as model:
        runner = model.bind(shapes={"x": (16,), "y": (16,)})
        x = litert.empty_aligned(16)
        runner.bind_input("x", x)
        for value in (1, 2):
            x[...] = value
            model.run({"x": numbers(3), "y": numbers(3)})
            runner.run()
            assert runner.outputs["z"].tolist() == [value] * 16
        assert runner.inputs["x"].ctypes.data == x.ctypes.data


@pytest.mark.parametrize("name", COMPUTED_SHAPES)
def test_runner_of_a_computed_shape_equals_interpreter(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path) as model:
        row = model.signatures["serving_default"].inputs["x"].shape[1:]
        runners = {batch: model.bind(shapes={"x": (batch, *row)}) for batch in (1, 3, 2)}
        for batch, runner in [*runners.items(), *runners.items()]:
            x = numbers(batch, *row)
            runner.inputs["x"][...] = x
            runner.run()
            expected = run_interpreter(path, {"x": x})["y"]
            np.testing.assert_array_equal(runner.outputs["y"], expected, strict=True)
