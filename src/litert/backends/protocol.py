"""The complete list of what a backend does.

``choose.py`` alone decides which one a model gets; ``litert.Model`` and ``litert.Runner`` are
written against these two protocols and know neither backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy.typing as npt

from litert.tensor_info import Signature

Arrays = dict[str, npt.NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


class BackendRunner(Protocol):
    """One signature at one set of input shapes, its tensors in memory that stays in place."""

    @property
    def inputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Writable views of the input memory by name; packed types as uint8 bytes."""

    @property
    def outputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Views of the output memory by name; packed types as uint8 bytes."""

    @property
    def run(self) -> Callable[[], None]:
        """Run once on what the inputs hold. A callable attribute: one call, no Python frame."""

    def bind_input(self, name: str, array: npt.NDArray[Any]) -> None:
        """Use ``array``'s own memory as the input; its dtype, shape and layout are already checked.

        Raises:
            TensorLayoutError: The backend cannot bind that memory.
        """

    def close(self) -> None:
        """Release what is held; idempotent. Views stay valid memory."""


class BackendModel(Protocol):
    """A loaded model. Safe to call from several threads: runs wait for each other."""

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures by key, in the order of the file; never empty."""

    @property
    def fast(self) -> object:
        """What ``fast_method`` looks for in a model: a ``_native.FastSlot``, or None."""

    def run_again(self, signature: str, inputs: Any) -> Arrays | None:
        """Run as last time, if the inputs fit exactly as they are; else do nothing, return None."""

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Run once on arrays that are already checked: complete, right dtype and rank, C order.

        Resizes to the arrays' shapes. Returns new arrays.
        """

    def default_shapes(self, signature: str) -> dict[str, tuple[int, ...]]:
        """Return the input shapes that the file stores: an open dimension as 1, mostly."""

    def bind(self, signature: str, shapes: Shapes) -> BackendRunner:
        """Make a runner; ``shapes`` is complete and without -1.

        Raises:
            TensorShapeError: The model cannot take these shapes.
        """

    def cancel(self) -> None:
        """Ask a run under way to stop; it may be past the point where it can."""

    def close(self) -> None:
        """Release the model; waits for a run under way; idempotent."""
