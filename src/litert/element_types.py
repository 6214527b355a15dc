"""The runtime's element types and how NumPy holds them.

int4, uint4 and int2 are packed in memory, the first value in the lowest bits of the first byte;
``pack`` and ``unpack`` convert between that and one int8 or uint8 a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type of the runtime.

    Attributes:
        name: As in ``TensorInfo.element_type``.
        number: LiteRtElementType (litert_model_types.h), equal to TfLiteType.
        bits: Bits a value takes in the runtime's memory; 0 for strings.
        dtype_name: The NumPy (or ml_dtypes) dtype that holds one value.
    """

    name: str
    number: int
    bits: int
    dtype_name: str

    @property
    def is_packed(self) -> bool:
        """Whether several values share a byte."""
        return 0 < self.bits < 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype.

        Raises:
            UnsupportedModelError: It is one of ml_dtypes', which is not installed.
        """
        if self.dtype_name in _ML_DTYPES:
            try:
                import ml_dtypes
            except ImportError as err:
                raise UnsupportedModelError(
                    f"{self.name} tensors need the package ml_dtypes: pip install ml_dtypes"
                ) from err
            dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.dtype_name))
            return dtype
        return np.dtype(self.dtype_name)

    @property
    def integer_range(self) -> tuple[int, int]:
        """The least and greatest value of an integer type."""
        if self.name.startswith("u"):
            return 0, 2**self.bits - 1
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1


_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

ELEMENT_TYPES = {
    kind.name: kind
    for kind in (
        ElementType("bool", 6, 8, "bool"),
        ElementType("int2", 20, 2, "int8"),
        ElementType("int4", 18, 4, "int8"),
        ElementType("int8", 9, 8, "int8"),
        ElementType("int16", 7, 16, "int16"),
        ElementType("int32", 2, 32, "int32"),
        ElementType("int64", 4, 64, "int64"),
        ElementType("uint4", 21, 4, "uint8"),
        ElementType("uint8", 3, 8, "uint8"),
        ElementType("uint16", 17, 16, "uint16"),
        ElementType("uint32", 16, 32, "uint32"),
        ElementType("uint64", 13, 64, "uint64"),
        ElementType("float8_e4m3fn", 22, 8, "float8_e4m3fn"),
        ElementType("float8_e5m2", 23, 8, "float8_e5m2"),
        ElementType("float16", 10, 16, "float16"),
        ElementType("bfloat16", 19, 16, "bfloat16"),
        ElementType("float32", 1, 32, "float32"),
        ElementType("float64", 11, 64, "float64"),
        ElementType("complex64", 8, 64, "complex64"),
        ElementType("complex128", 12, 128, "complex128"),
        ElementType("string", 5, 0, "object"),
    )
}

ELEMENT_TYPE_BY_NUMBER = {kind.number: kind for kind in ELEMENT_TYPES.values()}


def pack(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Pack small integers, the first value in the lowest bits.

    Args:
        values: int8 or uint8 of any shape; only the low ``bits`` of each are kept.
        bits: 2 or 4.

    Returns:
        uint8[ceil(values.size * bits / 8)].
    """
    per_byte = 8 // bits
    flat = values.astype(np.uint8, copy=False).ravel() & np.uint8((1 << bits) - 1)
    flat = np.concatenate([flat, np.zeros(-flat.size % per_byte, np.uint8)]).reshape(-1, per_byte)
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(flat << shifts, axis=1)
    return packed


def unpack(
    packed: npt.NDArray[np.uint8], element_type: ElementType, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Undo ``pack``.

    Args:
        packed: uint8[ceil(size * bits / 8)].
        element_type: int4, uint4 or int2.
        shape: The shape of the tensor.

    Returns:
        int8 or uint8 of ``shape``, sign-extended for the signed types.
    """
    bits = element_type.bits
    shifts = np.arange(8 // bits, dtype=np.uint8) * np.uint8(bits)
    size = int(np.prod(shape, dtype=np.int64))
    values: npt.NDArray[Any] = (packed[:, None] >> shifts) & np.uint8((1 << bits) - 1)
    values = values.ravel()[:size]
    if not element_type.name.startswith("u"):
        sign = np.uint8(1 << (bits - 1))
        values = (values ^ sign).astype(np.int8) - np.int8(sign)
    return values.astype(element_type.dtype, copy=False).reshape(shape)
