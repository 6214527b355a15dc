"""Checks of arrays against the tensors they are for, and memory that can be bound."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from litert.errors import (
    OptionError,
    SignatureError,
    TensorError,
    TensorLayoutError,
    TensorShapeError,
    TensorTypeError,
)
from litert.tensor_info import Signature, TensorInfo

_ALIGNMENT = 64
# Dimensions are int32 in the library.
_MAX_DIMENSION = 2**31 - 1


def empty_aligned(
    shape: SupportsIndex | Iterable[SupportsIndex], dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[Any]:
    """Make an array that ``Runner.bind_input`` can bind as it is.

    Args:
        shape: The dimensions, all positive.
        dtype: A fixed-size dtype.

    Returns:
        A zeroed, writable, C-contiguous array at a 64-byte aligned address, with 64 readable bytes
        behind it (some kernels read past an input's end).

    Raises:
        OptionError: A dimension is not positive, or the dtype holds objects.

    Example:
        >>> frame = litert.empty_aligned((224, 224, 3), "uint8")
        >>> frame.ctypes.data % 64
        0
    """
    try:
        dimensions = as_shape(shape if isinstance(shape, Iterable) else (shape,))
    except TypeError as err:
        raise OptionError(f"shape: expected positive integers, got {shape!r}") from err
    resolved = np.dtype(dtype)
    if any(dimension < 1 for dimension in dimensions):
        raise OptionError(f"shape: expected positive dimensions, got {list(dimensions)}")
    if resolved.hasobject or resolved.itemsize == 0:
        raise OptionError(f"dtype: expected a fixed-size dtype, got {resolved}")
    size_bytes = math.prod(dimensions) * resolved.itemsize
    try:
        from litert._extension import native
    except ImportError:
        memory = np.zeros(size_bytes + 2 * _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + size_bytes].view(resolved).reshape(dimensions)
    aligned: npt.NDArray[Any] = native.empty_aligned(dimensions, resolved, size_bytes)
    return aligned


def as_shape(shape: Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return a shape as plain ints.

    Raises:
        TypeError: A dimension is no integer.
    """
    return tuple(operator.index(dimension) for dimension in shape)


def list_names(names: Iterable[str]) -> str:
    """Return names for a message: ``'x', 'y'``."""
    return ", ".join(repr(name) for name in names) or "none"


def unknown_name(kind: str, name: object, known: Iterable[str]) -> SignatureError:
    """Build the error for a name that nothing has; it lists the known ones and the nearest."""
    import difflib

    known = list(known)
    nearest = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return SignatureError(f"unknown {kind} {name!r}; the model has {list_names(known)}{hint}")


def check_inputs(
    signature: Signature, inputs: Any, *, quantize: bool
) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs as arrays that fit their tensors: right dtype and shape, C-contiguous.

    Args:
        signature: What they are for.
        inputs: Arrays by name, or one array for a signature with a single input.
        quantize: Convert floats for quantized tensors.

    Raises:
        SignatureError: A name is unknown or missing.
        TensorShapeError: A shape does not fit.
        TensorTypeError: A dtype does not fit.
    """
    known = signature.inputs
    if not isinstance(inputs, Mapping):
        if len(known) != 1:
            raise SignatureError(
                f"signature {signature.key!r} has {len(known)} inputs; pass a dict with "
                f"{list_names(known)}"
            )
        inputs = {next(iter(known)): inputs}
    for name in inputs:
        if name not in known:
            raise unknown_name("input", name, known)
    missing = [name for name in known if name not in inputs]
    if missing:
        raise SignatureError(
            f"signature {signature.key!r}: missing {list_names(missing)}; it takes "
            f"{list_names(known)}"
        )
    return {
        name: check_array(info, inputs[name], quantize=quantize) for name, info in known.items()
    }


def check_array(info: TensorInfo, value: Any, *, quantize: bool = False) -> npt.NDArray[Any]:
    """Return ``value`` as a C-contiguous array of the tensor's dtype and a shape that it takes.

    Objects that have a dtype must have the tensor's; Python numbers and lists are converted.

    Raises:
        TensorShapeError: The shape does not fit.
        TensorTypeError: The dtype does not fit.
    """
    array = _as_array(info, value)
    if quantize and info.quantization is not None and array.dtype.kind == "f":
        array = info.quantize(array)
    if info.element_type == "string":
        if array.dtype.kind not in "OSU":
            raise TensorTypeError(_expected(info, array, "pass str or bytes"))
    elif array.dtype != info.dtype:
        hint = f"convert with .astype({info.dtype.name!r})"
        if info.quantization is not None and array.dtype.kind == "f":
            hint = "pass quantize=True to convert floats"
        raise TensorTypeError(_expected(info, array, hint))
    check_shape(info, array.shape, array.dtype)
    if info.type.is_packed and array.size:
        _check_range(info, array)
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy(order="C")


def _check_range(info: TensorInfo, array: npt.NDArray[Any]) -> None:
    """Refuse values that do not fit into a packed type's few bits.

    Raises:
        TensorTypeError: There is one; the message names it.
    """
    low, high = info.type.integer_range
    for value in (int(array.min()), int(array.max())):
        if not low <= value <= high:
            raise TensorTypeError(
                f"tensor {info.name!r}: expected {info.element_type} values from {low} to {high}, "
                f"got {value}"
            )


def check_shape(
    info: TensorInfo, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None
) -> None:
    """Check a shape against the tensor's, whose -1 stands for any size.

    Raises:
        TensorShapeError: It does not fit.
    """
    wanted = info.shape
    if len(shape) == len(wanted):
        pairs = list(zip(wanted, shape, strict=True))
        if any(want == -1 and got < 1 for want, got in pairs):
            raise TensorShapeError(
                f"tensor {info.name!r}: expected positive dimensions, got {list(shape)}"
            )
        if all(want == got or (want == -1 and got <= _MAX_DIMENSION) for want, got in pairs):
            return
    hint = ""
    if (1, *shape) == wanted or (len(shape) + 1 == len(wanted) and wanted[0] in (1, -1)):
        hint = "add a batch axis"
    name = dtype.name if dtype is not None else info.element_type
    raise TensorShapeError(
        f"tensor {info.name!r}: expected {info}, got {name}{list(shape)}"
        + (f"; {hint}" if hint else "")
    )


def check_bindable(info: TensorInfo, shape: tuple[int, ...], value: Any) -> npt.NDArray[Any]:
    """Return a view of ``value``'s own memory if that can be bound to an input.

    Args:
        info: The input.
        shape: The shape it is bound at.
        value: An array, an object or capsule of DLPack, or a buffer.

    Raises:
        TensorTypeError: Another dtype.
        TensorShapeError: Another shape.
        TensorLayoutError: Not C-contiguous, not 64-byte aligned, or at the end of its memory.
    """
    array = _view_of(value)
    memory_dtype = np.dtype(np.uint8) if info.type.is_packed else info.dtype
    if info.type.is_packed:
        shape = ((math.prod(shape) * info.type.bits + 7) // 8,)
    is_plain_bytes = array.dtype == np.uint8 and array.ndim == 1 and memory_dtype != np.uint8
    if is_plain_bytes and array.size == math.prod(shape) * memory_dtype.itemsize:
        array = array.view(memory_dtype).reshape(shape)
    if array.dtype != memory_dtype:
        raise TensorTypeError(_expected(info, array, "the memory is bound as it is"))
    if array.shape != tuple(shape):
        raise TensorShapeError(
            f"tensor {info.name!r}: expected {memory_dtype.name}{list(shape)}, "
            f"got {array.dtype.name}{list(array.shape)}"
        )
    hint = "copy it into an array from litert.empty_aligned"
    if not array.flags.c_contiguous:
        raise TensorLayoutError(f"tensor {info.name!r}: the array is not C-contiguous; {hint}")
    if array.ctypes.data % _ALIGNMENT:
        raise TensorLayoutError(
            f"tensor {info.name!r}: expected an address aligned to {_ALIGNMENT} bytes, got "
            f"{array.ctypes.data:#x}; {hint}"
        )
    return array


def _view_of(value: Any) -> npt.NDArray[Any]:
    """Return an array over the memory of ``value``, never a copy."""
    if isinstance(value, np.ndarray):
        return value
    try:
        if type(value).__name__ == "PyCapsule":
            capsule: Any = _DLPackCapsule(value)
            return np.from_dlpack(capsule)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, BufferError, RuntimeError) as err:
        raise TensorLayoutError(
            f"expected an array, a DLPack object or a buffer, got {type(value).__name__}: {err}"
        ) from err


class _DLPackCapsule:
    """What ``np.from_dlpack`` asks for, over a bare capsule in the CPU's memory."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: object) -> object:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        cpu = 1
        return cpu, 0


def _as_array(info: TensorInfo, value: Any) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "dtype") or hasattr(value, "__array__"):
            return np.asarray(value)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        if info.element_type == "string":
            return np.asarray(value, dtype=object)
        array = np.asarray(value)
        # Python numbers have no dtype of their own; they may become the tensor's where NumPy
        # would not lose the kind (no float for an int tensor).
        kinds = "biufc"
        is_kept = array.dtype.kind in "biufc" and kinds.index(array.dtype.kind) <= kinds.index(
            info.dtype.kind if info.dtype.kind in kinds else "f"
        )
        return np.asarray(value, dtype=info.dtype) if is_kept else array
    except TensorError:
        raise
    except (TypeError, ValueError, OverflowError) as err:
        raise TensorTypeError(
            f"tensor {info.name!r}: expected {info}, got {type(value).__name__}: {err}"
        ) from err


def _expected(info: TensorInfo, array: npt.NDArray[Any], hint: str) -> str:
    name = array.dtype.name
    if not array.dtype.isnative:
        name += f" in foreign byte order ({array.dtype.str!r})"
    return f"tensor {info.name!r}: expected {info}, got {name}{list(array.shape)}; {hint}"
