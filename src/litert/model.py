"""A model and the ways to run it."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from litert.arrays import as_shape, check_inputs, check_shape, unknown_name
from litert.backends.choose import open_model, open_model_on
from litert.errors import ClosedError, OptionError, TensorShapeError, UnsupportedModelError
from litert.options import Backend, CpuOptions, check_backend
from litert.runner import Runner
from litert.tensor_info import Signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import AbstractContextManager

    from litert._native import fast_method
    from litert.accelerate.load import Opened
    from litert.accelerate.options import GpuOptions, NpuOptions
    from litert.accelerate.placement import Placement
    from litert.accelerate.plugins import CustomOp, Delegate
    from litert.accelerate.request import AcceleratorChoice
    from litert.backends.protocol import BackendModel
    from litert.profiling.profile import Profile
else:
    try:
        from litert._extension import native

        fast_method = native.fast_method
    except ImportError:

        def fast_method(function):
            """Leave the method as it is: there is no faster one without the extension."""
            return function


_DEFAULT_CPU = CpuOptions()

# Guards the making of any model's own thread.
_executor_lock = threading.Lock()

ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview"


class Model:
    """A LiteRT model, loaded and ready to run.

    Safe to use from several threads: runs of one model wait for each other. For runs in parallel
    open the model several times; the pages of the file are shared.

    Args:
        source: A path, or the model's bytes. ``bytes`` are used in place and kept; any other
            buffer is copied, since it could change under the runtime.
        num_threads: Threads of one run, 1 to 1024; short for ``cpu=CpuOptions(num_threads=...)``.
        accelerator: What to run on: ``"cpu"`` (the default), ``"gpu"``, ``"npu"``; one name is
            required. Several names are an order of preference, which may end on the CPU and then
            says so in ``placement`` and in the log. ``"auto"`` measures what is there when a model
            is first loaded on a machine, and remembers the fastest. Results are compared with the
            CPU's, and an accelerator that computes something else is refused.
        strict: Refuse an accelerator that leaves operators to the CPU.
        cpu: How to run on the CPU.
        gpu: How to run on the GPU.
        npu: How to run on the NPU.
        delegates: External delegates, the first one asked first, all before XNNPACK. For models on
            the CPU.
        custom_ops: Kernels of operators that the library does not have.
        backend: ``"native"`` (the C++ core), ``"reference"`` (ai-edge-litert's Interpreter), or
            ``"auto"``: native, unless it is not available (one BackendFallbackWarning) or cannot
            run this model rightly; ``model.backend_reason`` says why. The environment variable
            ``LITERT_BACKEND`` stands in for ``"auto"``.
        release_gil: Whether runs release the GIL: True always, False never. By default runs that
            take longer than some 20 us do, and the others keep it, as handing it over would cost
            more.

    Raises:
        ModelNotFoundError: There is no such file.
        FileFormatError: It is no .tflite model, or a damaged one.
        UnsupportedModelError: No backend can run it: an operator that is missing here, a model
            compiled for an NPU.
        AcceleratorError: The accelerator is not here or does not take the model; the message says
            why.
        LibraryError: No LiteRT library is usable, and neither is the fallback.
        OptionError: An option has a wrong value.

    Example:
        >>> import numpy as np
        >>> with litert.Model("add.tflite") as model:
        ...     ones = np.ones((1, 4), np.float32)
        ...     print(model.run({"x": ones, "y": ones})["sum"])
        [[2. 2. 2. 2.]]
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_backend_model",
        "_backend_reason",
        "_executor",
        "_executor_pid",
        "_fast",
        "_is_closed",
        "_opened",
        "_options",
        "_placement",
        "_source",
    )

    def __init__(
        self,
        source: ModelSource,
        *,
        num_threads: int | None = None,
        accelerator: AcceleratorChoice = "cpu",
        strict: bool = False,
        cpu: CpuOptions | None = None,
        gpu: GpuOptions | None = None,
        npu: NpuOptions | None = None,
        delegates: Sequence[Delegate] = (),
        custom_ops: Sequence[CustomOp] = (),
        backend: Backend = "auto",
        release_gil: bool | None = None,
    ) -> None:
        self._is_closed = True  # until everything below has succeeded
        self._executor: ThreadPoolExecutor | None = None
        self._executor_pid = 0
        if release_gil is not None and not isinstance(release_gil, int):
            raise OptionError(f"release_gil: expected True, False or None, got {release_gil!r}")
        self._source = _as_path_or_bytes(source)
        self._options = _cpu_options(cpu, num_threads)
        self._placement: Placement | None = None
        self._opened: Opened | None = None
        self._backend_model: BackendModel
        plugins = None
        if delegates or custom_ops:
            from litert.accelerate.plugins import make_plugins

            plugins = make_plugins(delegates, custom_ops, self._source)
            if accelerator != "cpu":
                raise OptionError(
                    "delegates and custom_ops are for the CPU; leave accelerator="
                    f"{accelerator!r} out"
                )
        # What it may be else is no text, and perhaps an array, which has no one answer to ==.
        is_cpu = isinstance(accelerator, str) and accelerator == "cpu"
        if is_cpu and gpu is None and npu is None and isinstance(strict, bool):
            self._backend_model, self._backend, self._backend_reason = open_model(
                self._source, self._options, check_backend(backend), release_gil, plugins
            )
        else:
            from litert.accelerate.request import make_request

            self._backend_model, self._backend, self._backend_reason, self._opened = open_model_on(
                self._source,
                make_request(accelerator, strict, gpu, npu),
                self._options,
                check_backend(backend),
                release_gil,
            )
        self._fast = self._backend_model.fast
        self._is_closed = False

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures by key, in the order of the file.

        A model without signatures has one, ``"main"``, over its first graph; names that the file
        leaves empty are made (``"input_0"``), repeated ones get ``"_1"``.
        """
        self._check_open()
        return self._backend_model.signatures

    @property
    def backend(self) -> str:
        """``"native"`` or ``"reference"``."""
        return self._backend

    @property
    def backend_reason(self) -> str:
        """Why that backend was chosen."""
        return self._backend_reason

    @property
    def placement(self) -> Placement:
        """Which operators run where, and why not elsewhere.

        Made on first use: on the CPU the model is compiled once more, with profiling, and every
        signature is run on random values, since the library tells it in no other way.

        Raises:
            UnsupportedModelError: The reference backend, which does not tell.
            ClosedError: After ``close``.
        """
        self._check_open()
        if self._placement is None:
            from litert.accelerate.place import find_placement

            self._placement = find_placement(
                self._backend_model,
                self._source,
                self._options,
                self._opened,
                self._backend_reason,
            )
        return self._placement

    @property
    def weight_cache(self) -> str:
        """What loading did with ``CpuOptions.weight_cache``.

        ``"none"`` (nothing is kept), ``"built"`` (packed now and kept), ``"reused"``,
        ``"in memory"`` (another process is building), or ``"failed: "`` and why; the results are
        the same with each.
        """
        self._check_open()
        return getattr(self._backend_model, "cache_use", "none")

    @fast_method
    def run(
        self,
        inputs: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
        *,
        signature: str | None = None,
        quantize: bool = False,
    ) -> dict[str, npt.NDArray[Any]]:
        """Run once: copy the inputs in, compute, copy the outputs out.

        Inputs with open dimensions are resized to the arrays' shapes.

        Args:
            inputs: Arrays by name, or one array for a signature with a single input. Arrays must
                have the tensor's dtype (int4, uint4 and int2: one int8 or uint8 a value); Python
                numbers and lists are converted.
            signature: The signature's key; the first one where it is left out.
            quantize: Convert floats to and from quantized tensors by the tensors' parameters.

        Returns:
            New arrays by output name; nothing later changes them.

        Raises:
            SignatureError: An unknown signature, an unknown or a missing input.
            TensorShapeError: A shape does not fit.
            TensorTypeError: A dtype does not fit.
            ExecutionError: The library failed; the message and ``library_log`` say why.
            RunCancelledError: ``cancel`` was called.
            ClosedError: After ``close``.
        """
        self._check_open()
        if signature is not None and not quantize:
            again = self._backend_model.run_again(signature, inputs)
            if again is not None:
                return again
        chosen = self._signature(signature)
        arrays = check_inputs(chosen, inputs, quantize=quantize)
        outputs = self._backend_model.run(chosen.key, arrays)
        if not quantize:
            return outputs
        return {
            name: info.dequantize(outputs[name]) if info.quantization else outputs[name]
            for name, info in chosen.outputs.items()
        }

    async def arun(
        self,
        inputs: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
        *,
        signature: str | None = None,
        quantize: bool = False,
    ) -> dict[str, npt.NDArray[Any]]:
        """Do what ``run`` does in this model's own thread, off the event loop.

        Calls are run in order. Cancelling the await gives control back at once: a call that has
        not started is dropped; one that has goes on to its end on memory that stays alive, and
        its result is dropped (``cancel`` can end it sooner). Do not write into the input arrays
        until the await is over.
        """
        import asyncio  # costs more than the rest of the package

        future = self._submit(
            functools.partial(self.run, inputs, signature=signature, quantize=quantize)
        )
        return await asyncio.wrap_future(future)

    def bind(
        self,
        signature: str | None = None,
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Runner:
        """Make a runner: one signature bound to memory that stays in place.

        Args:
            signature: The signature's key; the first one where it is left out.
            shapes: Shapes by input name, for inputs with open dimensions; the others keep the
                shape that the file stores (an open dimension is stored as 1).

        Returns:
            A runner of its own memory; it ends with the model at the latest.

        Raises:
            SignatureError: An unknown signature or input.
            TensorShapeError: The model cannot take these shapes.
            ClosedError: After ``close``.
        """
        self._check_open()
        chosen = self._signature(signature)
        complete = self._backend_model.default_shapes(chosen.key)
        for name, asked in (shapes or {}).items():
            info = chosen.inputs.get(name)
            if info is None:
                raise unknown_name("input", name, chosen.inputs)
            try:
                shape = as_shape(asked)
            except TypeError as err:
                raise TensorShapeError(
                    f"tensor {name!r}: expected a shape for {info}, got {asked!r}"
                ) from err
            check_shape(info, shape)
            complete[name] = shape
        return Runner(self._backend_model.bind(chosen.key, complete), chosen, complete)

    def profile(self, *, num_warmup_runs: int = 0) -> AbstractContextManager[Profile]:
        """Record where the time of runs goes, operator by operator, for as long as a block lasts.

        Only a model compiled for it can tell, at the cost of up to 70 MB; so the block begins with
        compiling the model once more, with the same options. Inside, that one does the runs of
        this model, from any thread, and is what ``bind`` binds; what a model keeps from run to
        run begins anew in it. At the end it goes away, and its runners with it, and everything is
        as it was before. Recording makes a run some 40 us longer, and more with many operators
        on builtin kernels or with loops. The library keeps half a million events (release 2.1.6
        two thousand) and drops what comes after, which ``Profile.is_full`` tells.

        Args:
            num_warmup_runs: Runs at the beginning of the block that do not count.

        Returns:
            A context manager; it gives a ``Profile``, which has its numbers when the block ends.

        Raises:
            UnsupportedModelError: The model runs on an accelerator or on the reference backend,
                which cannot tell.
            ExecutionError: On entering: the model is being profiled already.
            OptionError: ``num_warmup_runs`` is no count.
            ClosedError: After ``close``.

        Example:
            >>> ones = np.ones((1, 4), np.float32)
            >>> with model.profile() as profile:
            ...     model.run({"x": ones, "y": ones})["sum"]
            array([[2., 2., 2., 2.]], dtype=float32)
            >>> [(operator.name, operator.kernels) for operator in profile.operators]
            [('Add (ND)', 'XNNPACK')]
        """
        self._check_open()
        if isinstance(num_warmup_runs, bool) or not isinstance(num_warmup_runs, int):
            raise OptionError(f"num_warmup_runs: expected an int, got {num_warmup_runs!r}")
        if num_warmup_runs < 0:
            raise OptionError(f"num_warmup_runs: expected 0 or more, got {num_warmup_runs}")
        if self._backend != "native":
            raise UnsupportedModelError(
                "profile: needs the native backend, as only its library tells the times of "
                f"operators; this model runs on the {self._backend} one: {self._backend_reason}"
            )
        if self._opened is not None and self._opened.target is not None:
            raise UnsupportedModelError(
                "profile: the library cannot time operators on an accelerator, and a run on the "
                f"{self._opened.target.name.upper()} fails with it; open the model with "
                "accelerator='cpu'"
            )
        from litert.profiling.session import profiled

        return profiled(self, num_warmup_runs)

    def cancel(self) -> None:
        """Ask the run under way to stop; it then raises RunCancelledError.

        Only graphs with loops can be stopped, at their next operator; a run of any other graph,
        and any run of the reference backend, goes on to its end. Safe from any thread.
        """
        self._check_open()
        self._backend_model.cancel()

    def close(self) -> None:
        """Release the model and end its runners; waits for a run under way. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        with _executor_lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
        self._backend_model.close()

    def __enter__(self) -> Model:
        self._check_open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self._is_closed else ""
        target = self._opened.target if self._opened is not None else None
        accelerator = "cpu" if target is None else target.name
        return f"<litert.Model backend={self._backend!r} accelerator={accelerator!r}{state}>"

    def _use(self, backend_model: BackendModel) -> None:
        """Let another one do the runs."""
        self._backend_model = backend_model
        self._fast = backend_model.fast

    def _signature(self, key: str | None) -> Signature:
        signatures = self._backend_model.signatures
        if key is None:
            return next(iter(signatures.values()))
        chosen = signatures.get(key)
        if chosen is None:
            raise unknown_name("signature", key, signatures)
        return chosen

    def _submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Call it in the model's own thread: one a model, since its runs wait for each other."""
        from concurrent.futures import ThreadPoolExecutor

        with _executor_lock:
            self._check_open()
            # A forked child has the pool, but not its thread.
            if self._executor is None or self._executor_pid != os.getpid():
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="litert")
                self._executor_pid = os.getpid()
            return self._executor.submit(call)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the model is closed")


def _cpu_options(cpu: object, num_threads: int | None) -> CpuOptions:
    """Return how to run on the CPU, from what the model was given."""
    if cpu is None:
        return _DEFAULT_CPU if num_threads is None else CpuOptions(num_threads=num_threads)
    if num_threads is not None:
        raise OptionError("num_threads: give it inside cpu=CpuOptions(...), not twice")
    if not isinstance(cpu, CpuOptions):
        raise OptionError(f"cpu: expected CpuOptions(...), got {cpu!r}")
    return cpu


def _as_path_or_bytes(source: object) -> str | bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        return path if isinstance(path, str) else os.fsdecode(path)
    try:
        return bytes(memoryview(source))  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(
            f"source: expected a path or the model's bytes, got {type(source).__name__}"
        ) from None
