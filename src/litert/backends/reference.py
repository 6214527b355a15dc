"""The reference backend: ai-edge-litert's own ``Interpreter`` behind the backend protocol.

It runs what the native core cannot (strings, variable tensors, shapes that depend on the data),
and it is what the native core is compared with.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from litert._quiet import captured_library_output
from litert.backends._interpreter import (
    INTERPRETER_ERRORS,
    Subgraph,
    load_error,
    make_interpreter,
    prepare,
    read,
    run_error,
    shape_error,
    to_interpreter,
    write,
)
from litert.backends.protocol import Arrays, Shapes
from litert.data_flow_check import find_broken_data_flow
from litert.element_types import ELEMENT_TYPES, pack, unpack
from litert.errors import (
    ClosedError,
    ExecutionError,
    FileFormatError,
    ModelError,
    SignatureError,
    UnsupportedModelError,
)
from litert.model_file import (
    Buffer,
    ModelFile,
    SignatureEntry,
    SubgraphEntry,
    TensorEntry,
    read_model,
    read_quantization,
)
from litert.naming import unique_names
from litert.options import CpuOptions
from litert.quantization_check import find_fatal_quantization
from litert.tensor_info import Signature, TensorInfo

_SCHEMA_VERSION = 3

# Interpreters of the parent that a forked child has closed; only ever added to.
_left_to_the_parent: list[object] = []


@dataclass(frozen=True, slots=True)
class _EntryPoint:
    """A signature and where the Interpreter has its tensors, by name."""

    signature: Signature
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    default_shapes: Mapping[str, tuple[int, ...]]


class ReferenceModel:
    """A model in an ``Interpreter``. Thread-safe: its runs wait for each other.

    The GIL is released while the model computes, and held while arrays are copied in and out.

    Example:
        >>> model = ReferenceModel.open("add.tflite", CpuOptions())
        >>> model.run("add", {"x": x, "y": y})["sum"]
    """

    def __init__(
        self, interpreter: Any, entries: Mapping[str, _EntryPoint], subgraphs: dict[int, Subgraph]
    ) -> None:
        """Take over what ``open`` has made."""
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._interpreter = interpreter
        self._entries = entries
        self._subgraphs = subgraphs
        self._signatures = MappingProxyType({key: e.signature for key, e in entries.items()})

    @classmethod
    def open(cls, source: str | Buffer, options: CpuOptions) -> ReferenceModel:
        """Load a model and prepare all its signatures.

        Args:
            source: A path, which is mapped, or a model's bytes, which are copied.
            options: How it runs.

        Raises:
            FileFormatError: The model is damaged.
            UnsupportedModelError: It has an operator or a type that the library lacks.
            ModelError: Its operators refuse their inputs.
            LibraryError: There is no Interpreter.
        """
        source = _as_interpreter_source(source)
        entries, reads_variables = _read_entries(source)
        if reads_variables:
            # XNNPACK writes past its buffers where a resource variable is read at another size
            # than the file says; the plain kernels do not.
            options = replace(options, kernels="builtin")
        try:
            with captured_library_output() as output:
                interpreter = make_interpreter(source, options)
                subgraphs = prepare(interpreter, _dynamic_subgraphs(entries))
        except INTERPRETER_ERRORS as err:
            raise load_error(err, output) from err
        return cls(interpreter, entries, subgraphs)

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures by key, in the order of the file; never empty."""
        return self._signatures

    @property
    def fast(self) -> None:
        """None: there is no way around the checks here."""

    def run_again(self, signature: str, inputs: Any) -> None:
        """Do nothing: every input is checked here."""

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Run once.

        Args:
            signature: A key of ``signatures``.
            inputs: An array for each input, checked, of any shape that the model can take.

        Returns:
            New arrays by name.

        Raises:
            TensorShapeError: The model cannot take these shapes.
            TensorTypeError: A string tensor got something that is no text.
            ExecutionError: An operator failed.
            UnsupportedModelError: The library lacks an operator.
            ClosedError: The model is closed.
        """
        entry = self._entry(signature)
        with self._lock:
            return self._run(entry, inputs)

    def default_shapes(self, signature: str) -> dict[str, tuple[int, ...]]:
        """Return the input shapes that the file stores: an open dimension as 1, mostly."""
        return dict(self._entry(signature).default_shapes)

    def bind(self, signature: str, shapes: Shapes) -> ReferenceRunner:
        """Make a runner.

        Raises:
            TensorShapeError: The model cannot take these shapes.
            UnsupportedModelError: The library lacks an operator.
            ClosedError: The model is closed.
        """
        entry = self._entry(signature)
        with self._lock:
            subgraph = self._fit(entry, shapes)
            output_shapes = {name: subgraph.output_shape(i) for name, i in entry.outputs.items()}
        return ReferenceRunner(self, entry, shapes, output_shapes)

    def cancel(self) -> None:
        """Do nothing: an Interpreter cannot be stopped; a run under way ends by itself."""

    def close(self) -> None:
        """Release the model once a run under way has ended; idempotent."""
        is_ours = os.getpid() == self._process
        # In a forked child, the thread that has the lock may have stayed behind.
        has_lock = self._lock.acquire(blocking=is_ours)
        try:
            if not is_ours:
                # So did the interpreter's threads, and release 2.1.6 waits for them.
                _left_to_the_parent.append((self._interpreter, self._subgraphs))
            self._interpreter = None
            self._subgraphs = {}
        finally:
            if has_lock:
                self._lock.release()

    def _entry(self, signature: str) -> _EntryPoint:
        try:
            return self._entries[signature]
        except KeyError:
            known = ", ".join(map(repr, self._entries))
            raise SignatureError(f"no signature {signature!r}; the model has {known}") from None

    def _fit(self, entry: _EntryPoint, shapes: Shapes) -> Subgraph:
        """Return the signature's subgraph, resized to ``shapes``; the lock is held."""
        if self._interpreter is None:
            raise ClosedError("the model is closed")
        subgraph = self._subgraphs[entry.subgraph]
        wanted = {index: tuple(shapes[name]) for name, index in entry.inputs.items()}
        if not subgraph.has(wanted):
            try:
                with captured_library_output() as output:
                    subgraph.fit(wanted)
            except INTERPRETER_ERRORS as err:
                raise shape_error(err, entry.signature.key, shapes, output) from err
        return subgraph

    def _run(self, entry: _EntryPoint, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Run once; the lock is held."""
        subgraph = self._fit(entry, {name: arrays[name].shape for name in entry.inputs})
        signature = entry.signature
        values = {
            name: to_interpreter(signature.inputs[name], arrays[name]) for name in entry.inputs
        }
        try:
            for name, index in entry.inputs.items():
                write(subgraph, index, signature.inputs[name], values[name])
            subgraph.invoke()
            return {
                name: read(subgraph, index, signature.outputs[name])
                for name, index in entry.outputs.items()
            }
        except INTERPRETER_ERRORS as err:
            raise run_error(err, signature.key) from err


class ReferenceRunner:
    """A signature with arrays of its own. One thread at a time; the model's other runs wait.

    The Interpreter has one set of tensors for a signature, so each run copies the inputs in and
    the outputs out; what the user holds stays in place.
    """

    def __init__(
        self, model: ReferenceModel, entry: _EntryPoint, shapes: Shapes, output_shapes: Shapes
    ) -> None:
        """Make the arrays; the model is already resized once to ``shapes``."""
        self._model = model
        self._entry = entry
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._inputs = {
            name: _zeros(info, self._shapes[name]) for name, info in entry.signature.inputs.items()
        }
        self._outputs = {
            name: _zeros(info, output_shapes[name])
            for name, info in entry.signature.outputs.items()
        }
        self._busy = threading.Lock()
        self._is_closed = False

    @property
    def inputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Writable arrays by name; packed types as uint8 bytes."""
        return MappingProxyType(self._inputs)

    @property
    def outputs(self) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays by name, rewritten by each run; packed types as uint8 bytes.

        Where a run gives another shape than the one before, the name gets a new array.
        """
        return MappingProxyType(self._outputs)

    def run(self) -> None:
        """Run once on what the inputs hold.

        Raises:
            ExecutionError: An operator failed; the outputs are as before.
            TensorTypeError: A string input holds something that is no text.
            ClosedError: The runner or its model is closed.
        """
        with self._in_use(), self._model._lock:
            results = self._model._run(self._entry, self._values())
            for name, value in results.items():
                self._store(name, value)

    def bind_input(self, name: str, array: npt.NDArray[Any]) -> None:
        """Read this input from ``array`` from now on; packed types as uint8 bytes.

        Raises:
            ClosedError: The runner is closed.
            ExecutionError: A run is under way.
        """
        with self._in_use():
            self._inputs[name] = array

    def close(self) -> None:
        """End its use; idempotent. The arrays stay valid.

        Raises:
            ExecutionError: A run is under way.
        """
        if not self._is_closed:
            with self._in_use():
                self._is_closed = True

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Refuse a second call: it would compute on data that is being replaced."""
        if not self._busy.acquire(blocking=False):
            raise ExecutionError(
                "the runner is in use by another thread; give each thread its own runner"
            )
        try:
            if self._is_closed:
                raise ClosedError("the runner is closed")
            yield
        finally:
            self._busy.release()

    def _values(self) -> Arrays:
        """Return the inputs as the model takes them, packed types unpacked."""
        values = dict(self._inputs)
        for name, info in self._entry.signature.inputs.items():
            element_type = ELEMENT_TYPES[info.element_type]
            if element_type.is_packed:
                values[name] = unpack(values[name], element_type, self._shapes[name])
        return values

    def _store(self, name: str, value: npt.NDArray[Any]) -> None:
        """Put a result where the user looks for it."""
        element_type = ELEMENT_TYPES[self._entry.signature.outputs[name].element_type]
        if element_type.is_packed:
            value = pack(value, element_type.bits)
        if self._outputs[name].shape == value.shape:
            self._outputs[name][...] = value
        else:
            self._outputs[name] = value


def _zeros(info: TensorInfo, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a runner's array: zeros, empty strings, or packed zeros."""
    # Before its first run an output whose shape depends on the data may have any.
    shape = tuple(max(size, 0) for size in shape)
    if info.element_type == "string":
        return np.full(shape, b"", dtype=object)
    zeros = np.zeros(shape, dtype=info.dtype)
    element_type = ELEMENT_TYPES[info.element_type]
    return pack(zeros, element_type.bits) if element_type.is_packed else zeros


def _as_interpreter_source(source: str | Buffer) -> str | bytes:
    """Return the source in a form that the Interpreter takes."""
    if not isinstance(source, str):
        return source if isinstance(source, bytes) else bytes(source)
    try:
        source.encode()
    except UnicodeEncodeError:
        # A path that is no text: the Interpreter would refuse it.
        return Path(source).read_bytes()
    return source


def _read_entries(source: str | bytes) -> tuple[dict[str, _EntryPoint], bool]:
    """Read the signatures from the file, and whether the model reads resource variables.

    The Interpreter is not asked: it sorts the names, and shows int4, int2 and float8 as int8.
    """
    if isinstance(source, bytes):
        return _entries(read_model(source), source)
    try:
        with open(source, "rb") as file:
            # An empty file cannot be mapped.
            if os.fstat(file.fileno()).st_size == 0:
                return _entries(read_model(b""), b"")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
                return _entries(read_model(mapping), mapping)
    except OSError as err:
        raise ModelError(f"model {source!r}: cannot be read: {err}") from err


def _entries(model: ModelFile, data: Buffer) -> tuple[dict[str, _EntryPoint], bool]:
    if not model.subgraphs:
        raise FileFormatError("damaged model: it has no subgraph")
    if model.version != _SCHEMA_VERSION:
        raise FileFormatError(f"expected schema version {_SCHEMA_VERSION}, got {model.version}")
    fault = find_fatal_quantization(data, model)
    if fault is not None:
        raise UnsupportedModelError(fault)
    fault = find_broken_data_flow(model)
    if fault is not None:
        raise FileFormatError(f"damaged model: {fault}")
    signatures = model.signatures or (_nameless_signature(model.subgraphs[0]),)
    entries = {
        entry.key: _entry_point(entry, model.subgraphs[entry.subgraph], data)
        for entry in signatures
    }
    reads_variables = any(
        operator.code.name == "READ_VARIABLE"
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    )
    return entries, reads_variables


def _nameless_signature(subgraph: SubgraphEntry) -> SignatureEntry:
    """Return the signature of a model that has none: the tensors' names, made unique."""

    def named(tensors: Sequence[int], prefix: str) -> tuple[tuple[str, int], ...]:
        names = [subgraph.tensors[tensor].name for tensor in tensors]
        return tuple(zip(unique_names(names, prefix), tensors, strict=True))

    return SignatureEntry(
        "main", 0, named(subgraph.inputs, "input"), named(subgraph.outputs, "output")
    )


def _entry_point(entry: SignatureEntry, subgraph: SubgraphEntry, data: Buffer) -> _EntryPoint:
    inputs = _in_order(entry.inputs, subgraph.inputs)
    outputs = _in_order(entry.outputs, subgraph.outputs)

    def described(names: Mapping[str, int]) -> Mapping[str, TensorInfo]:
        tensors = {name: subgraph.tensors[index] for name, index in names.items()}
        return MappingProxyType(
            {name: _tensor_info(name, tensor, data) for name, tensor in tensors.items()}
        )

    signature = Signature(entry.key, described(inputs), described(outputs))
    # A few converters store an open dimension as -1 there too.
    stored = {
        name: tuple(abs(size) for size in subgraph.tensors[index].shape)
        for name, index in inputs.items()
    }
    return _EntryPoint(signature, entry.subgraph, inputs, outputs, stored)


def _in_order(names: Sequence[tuple[str, int]], tensors: Sequence[int]) -> dict[str, int]:
    """Sort names of a signature as its subgraph has the tensors."""
    place = {tensor: position for position, tensor in reversed(list(enumerate(tensors)))}
    return dict(sorted(names, key=lambda pair: place.get(pair[1], len(place))))


def _tensor_info(name: str, tensor: TensorEntry, data: Buffer) -> TensorInfo:
    """Describe an input or output.

    Raises:
        UnsupportedModelError: NumPy has no such type.
    """
    if tensor.element_type not in ELEMENT_TYPES:
        raise UnsupportedModelError(
            f"tensor {name!r}: {tensor.element_type} tensors cannot be inputs or outputs"
        )
    info = TensorInfo(name, tensor.dimensions, tensor.element_type, read_quantization(data, tensor))
    # Imports ml_dtypes where it is needed: without it the Interpreter refuses bfloat16 tensors.
    _ = info.dtype
    return info


def _dynamic_subgraphs(entries: Mapping[str, _EntryPoint]) -> dict[int, bool]:
    """Return the subgraphs that are run, and whether their inputs have open dimensions."""
    return {
        entry.subgraph: any(info.is_dynamic for info in entry.signature.inputs.values())
        for entry in entries.values()
    }
