"""The zero-copy way to run a model: everything resolved once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from litert.arrays import check_bindable, unknown_name
from litert.backends.protocol import BackendRunner, Shapes
from litert.errors import ClosedError, ExecutionError
from litert.tensor_info import Signature


class Runner:
    """One signature at one set of input shapes, bound to memory that stays in place.

    Made by ``Model.bind``. Use it from one thread at a time: a ``run`` while another one of the
    same runner is under way raises ExecutionError. Several runners of one model may be used from
    several threads; their runs wait for each other.

    Attributes:
        run: ``run()`` runs once on what the inputs hold: no arguments, no allocation. Raises
            ExecutionError if the library fails, ClosedError after ``close``.

    Example:
        >>> with litert.Model("add.tflite").bind("add") as runner:
        ...     runner.inputs["x"][...] = 1.0
        ...     runner.inputs["y"][...] = 2.0
        ...     runner.run()
        ...     print(runner.outputs["sum"])
        [[3. 3. 3. 3.]]
    """

    # `run` is the backend's own callable, not a method that calls it: a Python frame would cost a
    # tenth of a small model's run.
    __slots__ = ("_backend_runner", "_is_closed", "_shapes", "_signature", "run")

    run: Callable[[], None]

    def __init__(self, backend_runner: BackendRunner, signature: Signature, shapes: Shapes) -> None:
        self._backend_runner = backend_runner
        self._signature = signature
        self._shapes = shapes
        self._is_closed = False
        self.run = backend_runner.run

    @property
    def signature(self) -> Signature:
        """The signature that this runs."""
        return self._signature

    @property
    def inputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Writable views of the input memory by name.

        They stay valid, and the same, until ``bind_input`` replaces one. int4, uint4 and int2
        tensors show their packed bytes, uint8[ceil(values * bits / 8)], lowest bits first.
        """
        self._check_open()
        return self._backend_runner.inputs

    @property
    def outputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Views of the output memory by name; the next ``run`` overwrites what they show.

        Copy what must last. A model whose output shapes depend on its data (reference backend)
        gets new arrays here after each run.
        """
        self._check_open()
        return self._backend_runner.outputs

    def bind_input(self, name: str, array: Any) -> None:
        """Use the caller's own memory as an input from now on, without a copy.

        The memory is kept alive; what it holds when ``run`` is called is what is computed on.

        Args:
            name: The input.
            array: An array, an object or capsule of DLPack, or a buffer: C-contiguous, of the
                input's dtype and shape, at a 64-byte aligned address, and not at the very end of
                readable memory. ``litert.empty_aligned`` makes such arrays.

        Raises:
            SignatureError: There is no such input.
            TensorTypeError: Another dtype.
            TensorShapeError: Another shape.
            TensorLayoutError: Memory that cannot be bound; the message says what would make it so.
            ExecutionError: A run is under way.
        """
        self._check_open()
        info = self._signature.inputs.get(name)
        if info is None:
            raise unknown_name("input", name, self._signature.inputs)
        self._backend_runner.bind_input(name, check_bindable(info, self._shapes[name], array))

    async def arun(self) -> None:
        """Run once in a thread, off the event loop.

        Cancelling the await gives control back at once; a run that has started goes on to its
        end on memory that stays alive, and the runner is busy until then.

        Raises:
            ExecutionError: The library fails, or a run of this runner is under way.
            ClosedError: After ``close``.
        """
        import asyncio  # costs more than the rest of the package

        await asyncio.to_thread(self.run)

    def close(self) -> None:
        """Release the runner; idempotent. Views taken before stay valid memory.

        Raises:
            ExecutionError: A run is under way.
        """
        if not self._is_closed:
            self._backend_runner.close()
            self._is_closed = True

    def __enter__(self) -> Runner:
        self._check_open()
        return self

    def __exit__(self, exc_type: object, *exc_info: object) -> None:
        try:
            self.close()
        except ExecutionError:
            # A run goes on (its await was cancelled); the error under way says more than that.
            if exc_type is None:
                raise

    def __repr__(self) -> str:
        state = " closed" if self._is_closed else ""
        return f"<litert.Runner {self._signature.key!r}{state}>"

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the runner is closed")
