"""``TensorInfo``, ``Signature`` and ``Quantization``: what they say, and the formulas."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import litert
from litert import Quantization, TensorInfo
from litert.options import Backend

INT8 = TensorInfo("x", (2, 3), "int8", Quantization(0.5, 10))
PER_CHANNEL = TensorInfo("w", (2, 3), "int8", Quantization((0.1, 0.2, 0.4), (0, 5, -5), axis=1))
INTEGERS = ["int2", "int4", "uint4", "int8", "uint8", "int16", "int32", "int64"]


def test_info_says_what_the_tensor_is(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        info = model.signatures["add"].inputs["x"]
    assert info == TensorInfo("x", (1, 4), "float32")
    assert info.dtype == np.float32
    assert not info.is_dynamic
    assert str(info) == "float32[1, 4]"


@pytest.mark.parametrize(
    "name", ["add", "odd_names", "many_io", "dynamic_two_dims", "per_channel_io", "no_signature"]
)
def test_signatures_are_the_same_on_both_backends(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with (
        litert.Model(path, backend="native") as native,
        litert.Model(path, backend="reference") as reference,
    ):
        assert dict(native.signatures) == dict(reference.signatures)
        for key, signature in native.signatures.items():
            assert list(signature.inputs) == list(reference.signatures[key].inputs)
            assert list(signature.outputs) == list(reference.signatures[key].outputs)


def test_info_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        INT8.name = "y"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        litert.Signature("k", {}, {}).key = "y"  # type: ignore[misc]


def test_info_is_equal_hashable_and_picklable() -> None:
    copy = pickle.loads(pickle.dumps(PER_CHANNEL))
    assert copy == PER_CHANNEL
    assert len({copy, PER_CHANNEL, INT8}) == 2


def test_quantize_rounds_half_to_even_and_saturates() -> None:
    values = [0.25, 0.75, -0.25, 1e9, -1e9, np.inf]
    assert INT8.quantize(values).tolist() == [10, 12, 10, 127, -128, 127]
    assert INT8.quantize(values).dtype == np.int8


def test_quantize_not_a_number_is_the_zero_point() -> None:
    assert INT8.quantize([np.nan]).tolist() == [10]


def test_dequantize_is_the_formula() -> None:
    result = INT8.dequantize([10, 12, -128, 127])
    assert result.tolist() == [0.0, 1.0, -69.0, 58.5]
    assert result.dtype == np.float32


def test_per_channel_uses_each_channels_parameters() -> None:
    assert PER_CHANNEL.quantize([[1, 1, 1], [-1, -1, -1]]).tolist() == [[10, 10, -3], [-10, 0, -7]]
    np.testing.assert_allclose(
        PER_CHANNEL.dequantize([[10, 10, 10], [0, 5, -5]]), [[1, 1, 6], [0, 0, 0]], rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(3, 2), (2,), (2, 4), ()])
def test_per_channel_of_another_number_of_channels_is_a_shape_error(shape: tuple[int, ...]) -> None:
    for convert in (PER_CHANNEL.quantize, PER_CHANNEL.dequantize):
        with pytest.raises(litert.TensorShapeError, match="expected 3 channels in dimension 1"):
            convert(np.zeros(shape))


def test_not_quantized_tensor_is_a_type_error() -> None:
    plain = TensorInfo("x", (2,), "float32")
    for convert in (plain.quantize, plain.dequantize):
        with pytest.raises(litert.TensorTypeError, match="tensor 'x' is not quantized"):
            convert([1.0, 2.0])


@pytest.mark.parametrize("element_type", INTEGERS)
@given(scale=st.floats(1e-3, 1e3), zero=st.integers(-2, 2), reals=st.lists(st.floats(-1e6, 1e6)))
def test_quantize_and_back_is_within_half_a_step_or_saturated(
    element_type: str, scale: float, zero: int, reals: list[float]
) -> None:
    info = TensorInfo("x", (-1,), element_type, Quantization(scale, max(zero, 0)))
    low, high = info.type.integer_range

    quantized = info.quantize(reals)

    assert quantized.dtype == info.dtype
    for real, value in zip(reals, quantized.tolist(), strict=True):
        assert low <= value <= high
        exact = real / scale + max(zero, 0)
        nearest = min(max(exact, low), high)
        assert abs(value - nearest) <= 0.5 + 1e-6 * abs(nearest)


@given(
    scale=st.floats(1e-3, 1e3),
    zero=st.integers(-128, 127),
    values=st.lists(st.integers(-128, 127)),
)
def test_quantize_undoes_dequantize(scale: float, zero: int, values: list[int]) -> None:
    info = TensorInfo("x", (-1,), "int8", Quantization(scale, zero))
    assert info.quantize(info.dequantize(np.array(values, np.int8))).tolist() == values


@pytest.mark.parametrize("element_type", ["int64", "int32", "int16"])
def test_quantize_saturates_at_the_ends_of_wide_types(element_type: str) -> None:
    info = TensorInfo("x", (2,), element_type, Quantization(1.0, 0))
    limits = np.iinfo(element_type)
    low, high = info.quantize([-1e30, 1e30]).tolist()
    assert low == limits.min
    assert 0 <= limits.max - high <= limits.max // 2**50
