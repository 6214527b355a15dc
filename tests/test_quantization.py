"""Quantized models: values as they are, and ``quantize=True`` against the formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert.options import Backend

# Scale and zero point of x, y and z, and the dtype, as the models were made.
ADDS = {
    "int8_add": ((0.05, 3), (0.1, -5), (0.15, 1), np.int8),
    "uint8_add": ((0.05, 131), (0.1, 120), (0.15, 128), np.uint8),
}


def quantize(values: np.ndarray, scale: float, zero_point: int, dtype: type) -> np.ndarray:
    """The formula of the LiteRT quantization specification."""
    limits = np.iinfo(dtype)
    quantized = np.rint(values.astype(np.float64) / np.float32(scale)) + zero_point
    return np.clip(quantized, limits.min, limits.max).astype(dtype)


def dequantize(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return ((values.astype(np.float64) - zero_point) * np.float32(scale)).astype(np.float32)


def reals(*shape: int) -> np.ndarray:
    """Values within and beyond what the models' parameters can hold."""
    return np.linspace(-9, 9, int(np.prod(shape)), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", ADDS)
def test_info_has_the_parameters(data: Path, backend: Backend, name: str) -> None:
    with litert.Model(data / f"{name}.tflite", backend=backend) as model:
        signature = model.signatures["serving_default"]
    infos = [signature.inputs["x"], signature.inputs["y"], signature.outputs["z"]]
    for info, (scale, zero_point) in zip(infos, ADDS[name][:3], strict=True):
        assert info.quantization == litert.Quantization(float(np.float32(scale)), zero_point)
        assert info.dtype == ADDS[name][3]


def test_info_of_a_float_tensor_has_none(data: Path, backend: Backend) -> None:
    with litert.Model(data / "quantize_dequantize.tflite", backend=backend) as model:
        signature = model.signatures["serving_default"]
    assert signature.inputs["x"].quantization is None
    assert signature.outputs["q"].quantization == litert.Quantization(float(np.float32(0.05)), 7)


def test_info_per_channel_has_one_scale_a_channel(data: Path, backend: Backend) -> None:
    with litert.Model(data / "per_channel_io.tflite", backend=backend) as model:
        quantization = model.signatures["serving_default"].inputs["x"].quantization
    assert quantization is not None
    assert quantization.scale == pytest.approx((0.1, 0.2, 0.4))
    assert quantization.zero_point == (0, 0, 0)
    assert quantization.axis == 1


# Values as they are


@pytest.mark.parametrize("name", [*ADDS, "int8_per_channel_conv", "int16x8_dense"])
def test_run_quantized_values_equal_interpreter(data: Path, backend: Backend, name: str) -> None:
    path = data / f"{name}.tflite"
    rng = np.random.default_rng(7)
    with litert.Model(path, backend=backend) as model:
        ((_, signature),) = model.signatures.items()
        inputs = {
            key: rng.integers(*info.type.integer_range, info.shape, info.dtype, endpoint=True)
            for key, info in signature.inputs.items()
        }
        outputs = model.run(inputs)
    for key, expected in run_interpreter(path, inputs).items():
        np.testing.assert_array_equal(outputs[key], expected, strict=True)


def test_run_floats_without_quantize_are_refused(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "int8_add.tflite", backend=backend) as model,
        pytest.raises(
            litert.TensorTypeError,
            match=r"tensor 'x': expected int8\[1, 8\], got float32\[1, 8\]; pass quantize=True",
        ),
    ):
        model.run({"x": reals(1, 8), "y": reals(1, 8)})


# quantize=True


@pytest.mark.parametrize("name", ADDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_run_quantize_equals_the_formula(
    data: Path, backend: Backend, name: str, dtype: type
) -> None:
    path = data / f"{name}.tflite"
    of_x, of_y, of_z, quantized_dtype = ADDS[name]
    x, y = reals(1, 8).astype(dtype), reals(1, 8)[:, ::-1].astype(dtype)
    with litert.Model(path, backend=backend) as model:
        z = model.run({"x": x, "y": y}, quantize=True)["z"]

    inputs = {
        "x": quantize(x, *of_x, quantized_dtype),
        "y": quantize(y, *of_y, quantized_dtype),
    }
    expected = dequantize(run_interpreter(path, inputs)["z"], *of_z)
    assert (z.shape, z.dtype) == ((1, 8), np.float32)
    np.testing.assert_allclose(z, expected, rtol=1e-6)


def test_run_quantize_takes_quantized_values_too(data: Path, backend: Backend) -> None:
    x = np.arange(8, dtype=np.int8)[None]
    with litert.Model(data / "int8_add.tflite", backend=backend) as model:
        quantized = model.run({"x": x, "y": x})["z"]
        z = model.run({"x": x, "y": x}, quantize=True)["z"]
    np.testing.assert_allclose(z, dequantize(quantized, *ADDS["int8_add"][2]), rtol=1e-6)


def test_run_quantize_leaves_float_tensors_alone(data: Path, backend: Backend) -> None:
    x = reals(2, 3)
    with litert.Model(data / "quantize_dequantize.tflite", backend=backend) as model:
        plain = model.run({"x": x})
        converted = model.run({"x": x}, quantize=True)
    assert plain["q"].dtype == np.int8
    np.testing.assert_array_equal(plain["q"], quantize(x, 0.05, 7, np.int8))
    np.testing.assert_allclose(converted["q"], plain["y"], rtol=1e-6)
    np.testing.assert_array_equal(converted["y"], plain["y"], strict=True)


def test_run_quantize_per_channel_uses_each_scale(data: Path, backend: Backend) -> None:
    scale = np.array([0.1, 0.2, 0.4], np.float32)
    x = np.array([[1, 1, 1], [-2.04, 100, -100]], np.float32)
    with litert.Model(data / "per_channel_io.tflite", backend=backend) as model:
        y = model.run({"x": x}, quantize=True)["y"]
    expected = np.clip(np.rint(x / scale), -128, 127) * scale
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_run_quantize_with_a_signature_key(data: Path, backend: Backend) -> None:
    zeros = np.zeros((1, 8), np.float32)
    with litert.Model(data / "int8_add.tflite", backend=backend) as model:
        z = model.run({"x": zeros, "y": zeros}, signature="serving_default", quantize=True)["z"]
    np.testing.assert_array_equal(z, zeros)


def test_run_quantize_python_floats(data: Path, backend: Backend) -> None:
    with litert.Model(data / "int8_add.tflite", backend=backend) as model:
        z = model.run({"x": [[1.0] * 8], "y": [[2.0] * 8]}, quantize=True)["z"]
    np.testing.assert_allclose(z, 3, atol=0.08)


def test_run_quantize_wrong_shape_is_a_shape_error(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "int8_add.tflite", backend=backend) as model,
        pytest.raises(litert.TensorShapeError, match=r"tensor 'x': expected int8\[1, 8\]"),
    ):
        model.run({"x": reals(1, 7), "y": reals(1, 8)}, quantize=True)


def test_run_mobilenet_int8_quantize_agrees_with_float(
    shared_model: Callable[[str], Path], backend: Backend
) -> None:
    image = np.random.default_rng(7).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    results = []
    for precision in ("f32", "int8"):
        path = shared_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite")
        with litert.Model(path, backend=backend) as model:
            (result,) = model.run(image, quantize=True).values()
        results.append(result)
    assert [result.dtype for result in results] == [np.float32, np.float32]
    assert np.abs(results[0] - results[1]).mean() < 0.1 * np.abs(results[0]).max()
