"""What a model says about its tensors: names, shapes, dtypes, quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.element_types import ELEMENT_TYPES, ElementType
from litert.errors import TensorShapeError, TensorTypeError


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization of a tensor: ``real = scale * (quantized - zero_point)``.

    Source: the LiteRT 8-bit quantization specification.

    Attributes:
        scale: One float, or one per channel along ``axis``.
        zero_point: One int, or one per channel along ``axis``.
        axis: The channel dimension, None for one scale per tensor.
    """

    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a signature. Immutable.

    Attributes:
        name: The name in the signature.
        shape: The dimensions; -1 where the model leaves one open.
        element_type: The runtime's type: ``"float32"``, ``"int4"``, ...
        quantization: Scale, zero point and axis, None for a tensor that is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    element_type: str
    quantization: Quantization | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of arrays; packed types are unpacked to int8 or uint8."""
        return self.type.dtype

    @property
    def is_dynamic(self) -> bool:
        """Whether the model leaves a dimension open."""
        return -1 in self.shape

    @property
    def type(self) -> ElementType:
        """The row of the element type table."""
        return ELEMENT_TYPES[self.element_type]

    def quantize(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Convert real values to this tensor's quantized ones.

        Rounds half to even, as NumPy does, and saturates at the range of the type.

        Args:
            values: Real numbers, broadcastable along ``quantization.axis``.

        Returns:
            A new array of ``dtype`` and the shape of ``values``.

        Raises:
            TensorTypeError: The tensor is not quantized.
            TensorShapeError: The channel dimension has another size than the scales.
        """
        array = np.asarray(values, dtype=np.float64)
        scale, zero_point = self._parameters(array)
        low, high = self.type.integer_range
        quantized = np.rint(array / scale) + zero_point
        # NaN has no integer; it becomes the zero point, the quantized zero.
        quantized = np.where(np.isnan(quantized), zero_point, quantized)
        # Clipping in float64 would round the ends of int64 out of its range.
        clipped = np.clip(quantized, low, np.nextafter(float(high) + 1.0, 0.0))
        return clipped.astype(self.dtype)

    def dequantize(self, values: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Convert this tensor's quantized values to real ones.

        Args:
            values: Quantized integers, broadcastable along ``quantization.axis``.

        Returns:
            A new float32 array of the shape of ``values``.

        Raises:
            TensorTypeError: The tensor is not quantized.
            TensorShapeError: The channel dimension has another size than the scales.
        """
        array = np.asarray(values)
        scale, zero_point = self._parameters(array)
        return np.asarray((array.astype(np.float64) - zero_point) * scale, dtype=np.float32)

    def _parameters(
        self, array: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return scale and zero point, shaped to broadcast over ``array``."""
        quantization = self.quantization
        if quantization is None:
            raise TensorTypeError(
                f"tensor {self.name!r} is not quantized; pass {self.dtype} as it is"
            )
        scale = np.asarray(quantization.scale, dtype=np.float64)
        zero_point = np.asarray(quantization.zero_point, dtype=np.float64)
        axis = quantization.axis
        if axis is None:
            return scale, zero_point
        if axis >= array.ndim or array.shape[axis] != scale.size:
            raise TensorShapeError(
                f"tensor {self.name!r}: expected {scale.size} channels in dimension {axis}, "
                f"got shape {list(array.shape)}"
            )
        shape = [1] * array.ndim
        shape[axis] = scale.size
        return scale.reshape(shape), zero_point.reshape(shape)

    def __str__(self) -> str:
        return f"{self.element_type}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One entry point of a model. Immutable.

    Attributes:
        key: The signature's key; ``"main"`` for a model that has no signatures.
        inputs: The inputs by name, in the order of the model.
        outputs: The outputs by name, in the order of the model.
    """

    key: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
