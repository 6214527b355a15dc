"""A custom operator that a Python callable computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.element_types import ELEMENT_TYPE_BY_NUMBER
from litert.errors import ExecutionError

# The memory of a tensor, its element type's number and its shape, as the core gives them.
_Tensor = tuple[memoryview, int, tuple[int, ...]]


# Of the library's layouts.
_MAX_RANK = 8
_MAX_SIZE = 2**31 - 1


def same_as_first_input(shapes: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return the first input's shape, for as many outputs as there are."""
    return [shapes[0]] if shapes else []


class PythonKernel:
    """Calls a function with copies of the inputs, and copies what it returns into the outputs.

    Copies, since the runtime uses the memory for something else as soon as the call is over, and
    a callable may keep what it gets.

    Args:
        name: The operator's name.
        function: Takes the inputs' arrays, returns the output or a tuple of them.
        shapes: Takes the inputs' shapes, returns the outputs'.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        shapes: Callable[[Sequence[Sequence[int]]], Sequence[Sequence[int]]],
    ) -> None:
        self._name = name
        self._function = function
        self._shapes = shapes

    def output_shapes(
        self, inputs: Sequence[Sequence[int]], num_outputs: int
    ) -> list[tuple[int, ...]]:
        """Return the outputs' shapes.

        Raises:
            ExecutionError: The callable fails, or returns another number of shapes.
        """
        try:
            given = self._shapes([tuple(shape) for shape in inputs])
            shapes = [tuple(int(size) for size in shape) for shape in given]
        except Exception as err:
            raise self._error("output_shapes fails", err) from err
        if self._shapes is same_as_first_input:
            shapes *= num_outputs
        if len(shapes) != num_outputs or not all(map(_is_shape, shapes)):
            raise ExecutionError(
                f"custom operator {self._name!r}: output_shapes: expected {num_outputs} shapes of "
                f"up to {_MAX_RANK} positive sizes, got {shapes}"
            )
        return shapes

    def run(self, inputs: Sequence[_Tensor], outputs: Sequence[_Tensor]) -> None:
        """Compute once.

        Raises:
            ExecutionError: The callable raises, which is then the cause, or returns what does not
                fit the outputs.
        """
        arrays = [_view(tensor).copy() for tensor in inputs]
        try:
            results = self._function(*arrays)
        except Exception as err:
            raise self._error("the callable raises", err) from err
        if not isinstance(results, (tuple, list)):
            results = (results,)
        if len(results) != len(outputs):
            raise ExecutionError(
                f"custom operator {self._name!r}: expected "
                f"{len(outputs)} {'output' if len(outputs) == 1 else 'outputs'}, got {len(results)}"
            )
        for place, (result, tensor) in enumerate(zip(results, outputs, strict=True)):
            self._store(place, np.asarray(result), tensor)

    def _store(self, place: int, result: npt.NDArray[Any], output: _Tensor) -> None:
        # The view of the output is no variable: a traceback would keep it, and with it an address
        # that is not ours any more.
        shape, dtype = _view(output).shape, _view(output).dtype
        if result.shape != shape or not np.can_cast(result.dtype, dtype, casting="same_kind"):
            raise ExecutionError(
                f"custom operator {self._name!r}: output {place}: expected "
                f"{dtype}{list(shape)}, got {result.dtype}{list(result.shape)}"
            )
        np.copyto(_view(output), result, casting="same_kind")

    def _error(self, what: str, err: Exception) -> ExecutionError:
        return ExecutionError(
            f"custom operator {self._name!r}: {what}: {type(err).__name__}: {err}"
        )


def _is_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) <= _MAX_RANK and all(1 <= size <= _MAX_SIZE for size in shape)


def _view(tensor: _Tensor) -> npt.NDArray[Any]:
    memory, number, shape = tensor
    kind = ELEMENT_TYPE_BY_NUMBER[number]
    if kind.is_packed:
        return np.frombuffer(memory, np.uint8)  # several values a byte
    return np.frombuffer(memory, kind.dtype).reshape(shape)
