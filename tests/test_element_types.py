"""Every element type and rank, with values checked; the packing of 4 and 2 bit integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from interpreter_oracle import run_interpreter
from litert.element_types import ELEMENT_TYPES, pack, unpack
from litert.options import Backend

# Six values a type: its limits, and what only it can hold.
VALUES: dict[str, npt.NDArray[Any]] = {
    "bool": np.array([True, False, True, True, False, False]),
    "int2": np.array([-2, -1, 0, 1, -2, 1], np.int8),
    "int4": np.array([-8, -1, 0, 1, 7, -3], np.int8),
    "uint4": np.array([0, 1, 7, 8, 15, 3], np.uint8),
    **{
        name: np.array([np.iinfo(name).min, np.iinfo(name).max, 0, 1, 2, 100], name)
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "float16": np.array([-65504, 6e-8, 0.1, np.inf, -0.0, np.nan], np.float16),
    "bfloat16": np.array([-3e38, 1e-38, 0.1, np.inf, -0.0, np.nan], ml_dtypes.bfloat16),
    "float8_e4m3fn": np.array([-448, 0.002, 0.1, 1, -0.0, np.nan], ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.array([-57344, 2e-5, 0.1, np.inf, -0.0, np.nan], ml_dtypes.float8_e5m2),
    "float32": np.array([-3.4e38, 1e-45, 0.1, np.inf, -0.0, np.nan], np.float32),
    "float64": np.array([-1.7e308, 5e-324, 0.1, np.inf, -0.0, np.nan], np.float64),
    "complex64": np.array([1 + 2j, -1j, 0, 3.4e38, complex(0.1, -0.0), np.inf], np.complex64),
}
PACKED = ["int2", "int4", "uint4"]
# What the CAST kernel of 2.3.0 knows, and values that each type can hold.
CASTS = sorted(set(VALUES) - {"float32", "float8_e4m3fn", "float8_e5m2", "uint64"})


@pytest.mark.parametrize("name", VALUES)
def test_run_copy_gives_back_every_bit(data: Path, backend: Backend, name: str) -> None:
    x = VALUES[name].reshape(2, 3)
    with litert.Model(data / f"copy_{name}.tflite", backend=backend) as model:
        info = model.signatures["serving_default"].inputs["x"]
        y = model.run({"x": x})["y"]
    assert (info.element_type, info.dtype) == (name, x.dtype)
    assert (y.shape, y.dtype) == ((3, 2), x.dtype)
    assert y.tobytes() == x.tobytes()


@pytest.mark.parametrize("name", VALUES)
def test_runner_copy_gives_back_every_bit(data: Path, backend: Backend, name: str) -> None:
    x = VALUES[name].reshape(2, 3)
    memory = pack(x, ELEMENT_TYPES[name].bits) if name in PACKED else x
    with (
        litert.Model(data / f"copy_{name}.tflite", backend=backend) as model,
        model.bind() as runner,
    ):
        view = runner.inputs["x"]
        assert (view.shape, view.dtype) == (memory.shape, memory.dtype)
        view[...] = memory
        runner.run()
        assert runner.outputs["y"].tobytes() == memory.tobytes()


@pytest.mark.parametrize("name", CASTS)
def test_run_cast_to_float32_sees_the_values(data: Path, backend: Backend, name: str) -> None:
    x = VALUES[name].reshape(2, 3)
    with litert.Model(data / f"cast_{name}_to_float32.tflite", backend=backend) as model:
        y = model.run({"x": x})["y"]
    with np.errstate(over="ignore"):
        expected = (x.real if name == "complex64" else x).astype(np.float32)
    np.testing.assert_array_equal(y, expected, strict=True)


@pytest.mark.parametrize("name", CASTS)
def test_run_cast_from_float32_equals_numpy(data: Path, backend: Backend, name: str) -> None:
    x = np.array([[0, 1, 1], [0, 1, 0]], np.float32)
    with litert.Model(data / f"cast_float32_to_{name}.tflite", backend=backend) as model:
        y = model.run({"x": x})["y"]
    np.testing.assert_array_equal(y, x.astype(ELEMENT_TYPES[name].dtype), strict=True)


@pytest.mark.parametrize(
    "name",
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64"),
    ],
)
def test_run_elementwise_equals_interpreter(data: Path, backend: Backend, name: str) -> None:
    path = data / f"elementwise_{name}.tflite"
    rng = np.random.default_rng(7)
    inputs = {
        key: (rng.integers(0, 2 if name == "bool" else 100, (2, 3))).astype(name) for key in "xy"
    }
    with litert.Model(path, backend=backend) as model:
        z = model.run(inputs)["z"]
    np.testing.assert_array_equal(z, run_interpreter(path, inputs)["z"], strict=True)


@pytest.mark.parametrize("name", ["cast_float32_to_uint64", "cast_float8_e5m2_to_float32"])
def test_run_type_that_no_kernel_has_says_so(data: Path, backend: Backend, name: str) -> None:
    def run() -> None:
        with litert.Model(data / f"{name}.tflite", backend=backend) as model:
            model.run(np.zeros((2, 3), model.signatures["serving_default"].inputs["x"].dtype))

    with pytest.raises(litert.LiteRTError, match=r"Type (UINT64|FLOAT8_E5M2) is unsupported"):
        run()


@pytest.mark.parametrize("rank", range(9))
def test_run_any_rank_adds(data: Path, backend: Backend, rank: int) -> None:
    shape = (2, 1, 3, 2, 1, 2, 1, 2)[:rank]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with litert.Model(data / f"rank{rank}.tflite", backend=backend) as model:
        assert model.signatures["serving_default"].inputs["x"].shape == shape
        z = model.run({"x": x, "y": x})["z"]
        with model.bind() as runner:
            runner.inputs["x"][...] = x
            runner.run()
            np.testing.assert_array_equal(runner.outputs["z"], x, strict=True)
    np.testing.assert_array_equal(z, x + x, strict=True)


# What has another type is refused, never reinterpreted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("float32", np.zeros((2, 3), np.float64)),
        ("float32", np.zeros((2, 3), np.int32)),
        ("float32", np.zeros((2, 3), np.complex64)),
        ("int32", np.zeros((2, 3), np.float32)),
        ("int32", np.zeros((2, 3), np.uint32)),
        ("int32", [[0.5, 1, 1], [1, 1, 1]]),
        ("int8", np.zeros((2, 3), np.uint8)),
        ("bool", np.zeros((2, 3), np.uint8)),
        ("bfloat16", np.zeros((2, 3), np.float16)),
        ("float8_e4m3fn", np.zeros((2, 3), ml_dtypes.float8_e5m2)),
        ("int4", np.zeros((2, 3), np.uint8)),
        ("float32", [["a", "b", "c"], ["d", "e", "f"]]),
        ("float32", [[1, 2, 3], [4, 5]]),
        ("uint8", [[1, 2, 3], [4, 5, 256]]),
        ("float32", None),
    ],
)
def test_run_another_type_is_refused(
    data: Path, backend: Backend, name: str, value: npt.ArrayLike
) -> None:
    with (
        litert.Model(data / f"copy_{name}.tflite", backend=backend) as model,
        pytest.raises(litert.TensorTypeError, match=rf"tensor 'x': expected {name}\[2, 3\], got "),
    ):
        model.run({"x": value})


@pytest.mark.parametrize(
    ("name", "low", "high"), [("int2", -2, 1), ("int4", -8, 7), ("uint4", 0, 15)]
)
def test_run_value_beyond_a_packed_type_is_refused(
    data: Path, backend: Backend, name: str, low: int, high: int
) -> None:
    dtype = ELEMENT_TYPES[name].dtype
    x = np.array([[low, high, 0], [0, 0, high + 1]], dtype)
    with (
        litert.Model(data / f"copy_{name}.tflite", backend=backend) as model,
        pytest.raises(litert.TensorError, match=f"'x'.*{high + 1}"),
    ):
        model.run({"x": x})


# Packing


@pytest.mark.parametrize(
    ("name", "values", "packed"),
    [
        ("int4", [1, 2, -1], [0x21, 0x0F]),
        ("uint4", [1, 2, 15, 8], [0x21, 0x8F]),
        ("int2", [1, -1, 0, -2, 1], [0b10_00_11_01, 0b01]),
    ],
)
def test_pack_puts_the_first_value_in_the_lowest_bits(
    name: str, values: list[int], packed: list[int]
) -> None:
    kind = ELEMENT_TYPES[name]
    assert pack(np.array(values, kind.dtype), kind.bits).tolist() == packed
    assert unpack(np.array(packed, np.uint8), kind, (len(values),)).tolist() == values


@pytest.mark.parametrize("name", PACKED)
@given(drawn=st.data())
@settings(deadline=None, max_examples=50)
def test_unpack_undoes_pack(name: str, drawn: st.DataObject) -> None:
    kind = ELEMENT_TYPES[name]
    shape = tuple(drawn.draw(st.lists(st.integers(0, 5), max_size=4)))
    size = int(np.prod(shape))
    value = st.integers(*kind.integer_range)
    values = drawn.draw(st.lists(value, min_size=size, max_size=size))
    array = np.array(values, kind.dtype).reshape(shape)

    packed = pack(array, kind.bits)

    assert packed.dtype == np.uint8
    assert packed.shape == (-(-size * kind.bits // 8),)
    np.testing.assert_array_equal(unpack(packed, kind, shape), array, strict=True)
