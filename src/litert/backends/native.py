"""The native backend: the C++ core behind the backend protocol."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from litert._extension import native as _native
from litert.backends.protocol import Arrays, Shapes
from litert.cache import weight_cache_folder
from litert.element_types import ELEMENT_TYPE_BY_NUMBER, ElementType, pack, unpack
from litert.errors import (
    ExecutionError,
    ModelError,
    TensorLayoutError,
    TensorShapeError,
)
from litert.library import load_library
from litert.options import CpuOptions
from litert.tensor_info import Quantization, Signature, TensorInfo

if TYPE_CHECKING:
    from litert.accelerate.plugins import Plugins
    from litert.accelerate.target import Target

_log = logging.getLogger("litert")

# Runs kept ready for model.run, by signature and shapes; each holds its tensors' memory.
_MAX_KEPT_RUNS = 8


def _memory_dtype(element_type: ElementType) -> np.dtype[Any]:
    """Return how NumPy sees the runtime's memory: packed types as bytes."""
    return np.dtype(np.uint8) if element_type.is_packed else element_type.dtype


def _quantization(
    described: tuple[list[float], list[int], int] | None,
) -> Quantization | None:
    if described is None:
        return None
    scales, zero_points, axis = described
    if len(zero_points) != len(scales):
        zero_points = [zero_points[0] if zero_points else 0] * len(scales)
    if len(scales) == 1:
        return Quantization(scales[0], zero_points[0])
    return Quantization(tuple(scales), tuple(zero_points), axis)


class _Ports:
    """The slots of one signature: which name, type and dtype each has."""

    __slots__ = (
        "aliases",
        "has_packed",
        "input_dtypes",
        "input_slots",
        "output_dtypes",
        "output_slots",
    )

    def __init__(self, compiled: _native.CompiledModel, index: int, described: Any) -> None:
        _, inputs, outputs = described
        input_types = [ELEMENT_TYPE_BY_NUMBER[n] for n in compiled.input_types(index)]
        output_types = [ELEMENT_TYPE_BY_NUMBER[n] for n in compiled.output_types(index)]
        self.input_dtypes = [_memory_dtype(kind) for kind in input_types]
        self.output_dtypes = [_memory_dtype(kind) for kind in output_types]
        self.has_packed = any(kind.is_packed for kind in input_types + output_types)
        # By output slot: the slot of the input that the output is, or -1.
        self.aliases = compiled.output_aliases(index)
        self.input_slots = {name: slot for name, slot, *_ in inputs}
        self.output_slots = {name: slot for name, slot, *_ in outputs}


class NativeRunner:
    """One signature at one set of shapes. One thread at a time: a second call raises."""

    __slots__ = (
        "__weakref__",
        "_inputs",
        "_outputs",
        "_ports",
        "_runner",
        "inputs",
        "outputs",
        "run",
    )

    inputs: Mapping[str, npt.NDArray[Any]]
    outputs: Mapping[str, npt.NDArray[Any]]
    run: Callable[[], None]

    def __init__(self, runner: _native.Runner, ports: _Ports) -> None:
        self._runner = runner
        self._ports = ports
        self.run = runner.run
        inputs = runner.input_views(ports.input_dtypes)
        outputs = runner.output_views(ports.output_dtypes)
        self._inputs = {name: inputs[slot] for name, slot in ports.input_slots.items()}
        self._outputs = {name: outputs[slot] for name, slot in ports.output_slots.items()}
        self.inputs = MappingProxyType(self._inputs)
        self.outputs = MappingProxyType(self._outputs)

    def bind_input(self, name: str, array: npt.NDArray[Any]) -> None:
        """See ``BackendRunner``."""
        if not _native.has_spare_bytes(array):
            raise TensorLayoutError(
                f"tensor {name!r}: the array ends where its memory may end, and kernels read up "
                "to 16 bytes past an input; copy it into an array from litert.empty_aligned"
            )
        slot = self._ports.input_slots[name]
        self._runner.bind_input(slot, array)
        self._inputs[name] = array
        # An output that is this input lies in the new memory too.
        for output, output_slot in self._ports.output_slots.items():
            if self._ports.aliases[output_slot] == slot:
                self._outputs[output] = array

    def close(self) -> None:
        """See ``BackendRunner``."""
        self._runner.close()


class NativeModel:
    """A compiled model of the library. Safe in several threads: runs wait for each other."""

    __slots__ = (
        "_accelerator",
        "_compiled",
        "_described_once",
        "_kept",
        "_latest",
        "_lock",
        "_options",
        "_plugins",
        "_ports",
        "_release_gil",
        "_signatures",
        "cache_use",
        "fast",
    )

    def __init__(
        self,
        compiled: _native.CompiledModel,
        options: CpuOptions,
        release_gil: bool | None,
        plugins: Plugins | None = None,
        cache_use: str = "none",
        accelerator: str = "cpu",
    ) -> None:
        self.cache_use = cache_use
        self._plugins = plugins
        self._accelerator = accelerator
        self._compiled = compiled
        self._options = options
        self._release_gil = release_gil
        self._described_once: dict[str, Any] | None = None
        self._ports: dict[str, _Ports] = {}
        self._signatures: Mapping[str, Signature] | None = None
        self._kept: OrderedDict[Any, _native.DictRun] = OrderedDict()
        self._latest: dict[str, _native.DictRun] = {}
        self._lock = threading.Lock()
        self.fast = _native.FastSlot(compiled, release_gil)

    @classmethod
    def open(
        cls,
        source: str | bytes,
        options: CpuOptions,
        release_gil: bool | None,
        target: Target | None = None,
        plugins: Plugins | None = None,
    ) -> NativeModel:
        """Load and compile a model, and ask whether it can run.

        Args:
            source: A path, or the model's bytes, which are kept and not copied.
            options: How to compile for the CPU.
            release_gil: True always releases the GIL during a run, False never; None decides by
                how long runs take.
            target: The accelerator to compile for.
            plugins: Delegates and kernels of custom operators.

        Raises:
            LibraryError: The library is not usable.
            FileFormatError: The bytes are no valid model.
            UnsupportedModelError: The compiled model cannot run it rightly.
            ModelError: It does not compile.
        """
        if not _native.is_library_open():
            load_library()
        folder = ""
        if options.keeps_weights and options.weight_cache is not None and target is None:
            folder = weight_cache_folder(source, options.weight_cache)
        request = compile_request(options, target, plugins, folder)
        make = _native.compile_file if isinstance(source, str) else _native.compile_buffer
        try:
            # As bytes, a path may hold what is no text.
            compiled, cache_use, problem = make(os.fsencode(source), request)
        except ExecutionError as err:
            if err.status is None:
                raise  # a Python kernel's
            # The library has no status of its own for "this model cannot be prepared".
            raise ModelError(str(err), status=err.status, library_log=err.library_log) from err
        if problem:
            cache_use = f"failed: {problem}"
            _log.warning("packed weights are not kept: %s", problem)
        accelerator = "cpu" if target is None else target.name
        return cls(compiled, options, release_gil, plugins, cache_use, accelerator)

    @property
    def _described(self) -> dict[str, Any]:
        """What the core says of the signatures, by key; a plain run does not need it."""
        if self._described_once is None:
            described = self._compiled.describe_signatures()
            self._described_once = {signature[0]: signature for signature in described}
        return self._described_once

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """See ``BackendModel``; made on first use."""
        if self._signatures is None:
            self._signatures = MappingProxyType(
                {
                    key: Signature(key, _infos(inputs), _infos(outputs))
                    for key, inputs, outputs in self._described.values()
                }
            )
        return self._signatures

    def default_shapes(self, signature: str) -> dict[str, tuple[int, ...]]:
        """See ``BackendModel``."""
        shapes = self._compiled.file_shapes(self._index(signature))
        slots = self._ports_of(signature).input_slots
        return {name: tuple(shapes[slot]) for name, slot in slots.items()}

    def bind(self, signature: str, shapes: Shapes) -> NativeRunner:
        """See ``BackendModel``."""
        with _as_shape_error(shapes):
            runner = self._compiled.bind(
                self._index(signature), self._shapes_by_slot(signature, shapes), self._release_gil
            )
        return NativeRunner(runner, self._ports_of(signature))

    def run_again(self, signature: str, inputs: Any) -> Arrays | None:
        """See ``BackendModel``."""
        run = self._latest.get(signature)
        return None if run is None else run.run(inputs)

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """See ``BackendModel``."""
        infos = self.signatures[signature]
        run = self._run_at(signature, {name: array.shape for name, array in inputs.items()})
        outputs = run.run(
            {name: _to_memory(array, infos.inputs[name]) for name, array in inputs.items()}
        )
        assert outputs is not None  # _to_memory makes what the run takes as it is
        shapes = run.output_shapes()
        return {
            name: _from_memory(array, infos.outputs[name], shapes[name])
            for name, array in outputs.items()
        }

    def cancel(self) -> None:
        """See ``BackendModel``."""
        self._compiled.cancel()

    def close(self) -> None:
        """See ``BackendModel``."""
        self._compiled.close()
        self._forget_runs()

    @property
    def options(self) -> CpuOptions:
        """How it runs on the CPU."""
        return self._options

    @property
    def has_plugins(self) -> bool:
        """Whether it has delegates or kernels of custom operators."""
        return self._plugins is not None

    def delegate_names(self) -> list[str]:
        """Return the file names of the external delegates that the model has."""
        delegates = () if self._plugins is None else self._plugins.delegates
        return [os.path.basename(os.fspath(delegate.library)) for delegate in delegates]

    @property
    def registered_accelerators(self) -> int:
        """What the library has found to run models on, as the bits of LiteRtHwAccelerators."""
        return self._compiled.registered_accelerators()

    def compile_log(self) -> str:
        """Return what the library said while it compiled for an accelerator; may be empty."""
        return self._compiled.log

    def _forget_runs(self) -> None:
        with self._lock:
            self._kept.clear()
            self._latest.clear()
            self.fast.set(None)

    def _run_at(self, signature: str, shapes: Shapes) -> _native.DictRun:
        """Return the run for these shapes, made on first use; the least used ones are dropped."""
        by_slot = self._shapes_by_slot(signature, shapes)
        key = (signature, tuple(by_slot))
        ports = self._ports_of(signature)
        with self._lock:
            run = self._kept.pop(key, None)
            if run is None:
                with _as_shape_error(shapes):
                    run = self._compiled.bind_dict(
                        self._index(signature),
                        by_slot,
                        self._release_gil,
                        ports.input_dtypes,
                        ports.output_dtypes,
                    )
            self._kept[key] = run
            if len(self._kept) > _MAX_KEPT_RUNS:
                self._kept.popitem(last=False)
            # Packed types need Python's hands, every call.
            if not ports.has_packed:
                self._latest[signature] = run
                if signature == next(iter(self._described)):
                    self.fast.set(run)
        return run

    def _index(self, signature: str) -> int:
        return list(self._described).index(signature)

    def _ports_of(self, signature: str) -> _Ports:
        ports = self._ports.get(signature)
        if ports is None:
            ports = _Ports(self._compiled, self._index(signature), self._described[signature])
            self._ports[signature] = ports
        return ports

    def _shapes_by_slot(self, signature: str, shapes: Shapes) -> list[tuple[int, ...]]:
        if self._accelerator != "cpu":
            self._check_compiled_shapes(signature, shapes)
        slots = self._ports_of(signature).input_slots
        return [shapes[name] for name in sorted(slots, key=slots.__getitem__)]

    def _check_compiled_shapes(self, signature: str, shapes: Shapes) -> None:
        """Refuse what accelerators answer with wrong results, past the ends of their buffers."""
        compiled = self.default_shapes(signature)
        if dict(shapes) != compiled:
            raise TensorShapeError(
                f"accelerator {self._accelerator!r}: the model is compiled there for "
                f"{_shapes_text(compiled)}, got {_shapes_text(shapes)}; other shapes need "
                "accelerator='cpu'"
            )


def content_hash_of(source: str | bytes) -> str:
    """Return the XXH3-128 of a model's bytes, 32 hexadecimal digits.

    Raises:
        ModelNotFoundError: There is no such file.
        FileFormatError: It cannot be read, or is empty.
    """
    return _native.content_hash(os.fsencode(source), isinstance(source, str))


def compile_request(
    options: CpuOptions,
    target: Target | None = None,
    plugins: Plugins | None = None,
    cache_folder: str = "",
) -> _native.CompileRequest:
    """Return what the core compiles one model with.

    Args:
        options: How to run on the CPU.
        target: The accelerator to compile for.
        plugins: Delegates and kernels of custom operators.
        cache_folder: Where packed weights are kept; empty for nowhere.
    """
    use_xnnpack = options.kernels == "xnnpack"
    if target is None and plugins is None and not cache_folder and not options.xnnpack_flags:
        return _native.CompileRequest(options.threads, use_xnnpack)
    more: dict[str, Any] = {}
    if target is not None:
        more |= target.request_arguments()
    if plugins is not None:
        more |= {
            "custom_kernels": plugins.make_kernels(),
            "delegates": plugins.delegate_arguments(),
        }
    return _native.CompileRequest(
        options.threads,
        use_xnnpack,
        xnnpack_flags=options.xnnpack_bits,
        cache_folder=os.fsencode(cache_folder),  # a path may hold what is no text
        **more,
    )


@contextmanager
def _as_shape_error(shapes: Shapes) -> Iterator[None]:
    """Say which shapes it was that the graph refused."""
    try:
        yield
    except ExecutionError as err:
        raise TensorShapeError(
            f"the model cannot take the shapes {_shapes_text(shapes)}: {err}",
            status=err.status,
            library_log=err.library_log,
        ) from err


def _shapes_text(shapes: Shapes) -> str:
    return ", ".join(f"{name}={list(shape)}" for name, shape in shapes.items())


def _infos(described: list[Any]) -> Mapping[str, TensorInfo]:
    return MappingProxyType(
        {
            name: TensorInfo(
                name, shape, ELEMENT_TYPE_BY_NUMBER[number].name, _quantization(quantization)
            )
            for name, _, number, shape, quantization in described
        }
    )


def _to_memory(array: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    if info.type.is_packed:
        return pack(array, info.type.bits)
    # An equal dtype may be another object; the run compares by identity.
    return array if array.dtype is info.dtype else array.astype(info.dtype)


def _from_memory(
    array: npt.NDArray[Any], info: TensorInfo, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    return unpack(array, info.type, shape) if info.type.is_packed else array
