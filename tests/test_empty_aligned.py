"""``litert.empty_aligned``: memory that can be bound as an input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import litert


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "float16", "float32", "complex64"])
@pytest.mark.parametrize("shape", [(), 3, (1,), (224, 224, 3)])
def test_empty_aligned_is_zeroed_aligned_and_writable(
    shape: int | tuple[int, ...], dtype: str
) -> None:
    array = litert.empty_aligned(shape, dtype)
    assert array.shape == ((shape,) if isinstance(shape, int) else shape)
    assert array.dtype == dtype
    assert array.ctypes.data % 64 == 0
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.any()


def test_empty_aligned_is_float32_by_default() -> None:
    assert litert.empty_aligned(3).dtype == np.float32


@pytest.mark.parametrize("shape", [np.int64(3), np.array([3]), [3]])
def test_empty_aligned_takes_what_numpy_takes_for_a_shape(shape: Any) -> None:
    assert litert.empty_aligned(shape).shape == (3,)


@pytest.mark.parametrize(
    ("shape", "dtype", "match"),
    [
        ((0, 3), "float32", r"shape: expected positive dimensions, got \[0, 3\]"),
        ((-1,), "float32", r"shape: expected positive dimensions, got \[-1\]"),
        ((3,), "object", "dtype: expected a fixed-size dtype, got object"),
        ((3,), "str", "dtype: expected a fixed-size dtype"),
        ((2.5,), "float32", "shape: expected"),
    ],
)
def test_empty_aligned_of_what_cannot_be_bound_is_refused(
    shape: tuple[int, ...], dtype: str, match: str
) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.empty_aligned(shape, dtype)
