"""Random values that a model is likely to take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from litert.tensor_info import TensorInfo


def random_values(
    info: TensorInfo, shape: tuple[int, ...], generator: np.random.Generator
) -> npt.NDArray[Any]:
    """Make random values for a tensor.

    Floats are in 0..1, small integers over their whole range. Integers of 32 and 64 bits are 0 or
    1: most of them are indices or counts, and others could be out of range or run for ever.

    Args:
        info: The tensor.
        shape: The shape to make, without open dimensions.
        generator: Where the random numbers come from.
    """
    kind = info.type
    values: npt.NDArray[Any]
    if info.element_type == "string":
        values = generator.integers(0, 10, shape).astype("S").astype(object)
    elif info.dtype.kind == "b":
        values = generator.integers(0, 2, shape).astype(np.bool_)
    elif info.dtype.kind in "iu":
        low, high = kind.integer_range if kind.bits < 32 else (0, 1)
        values = generator.integers(low, high, shape, endpoint=True).astype(info.dtype)
    elif info.dtype.kind == "c":
        values = generator.random(shape) + 1j * generator.random(shape)
        values = values.astype(info.dtype)
    else:  # floats, and those of ml_dtypes
        values = np.asarray(generator.random(shape), np.float32).astype(info.dtype)
    return np.asarray(values)
