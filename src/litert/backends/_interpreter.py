"""What the reference backend asks of ai-edge-litert's ``Interpreter``, and what its errors mean."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.element_types import ELEMENT_TYPES, pack
from litert.errors import (
    ExecutionError,
    FileFormatError,
    LibraryError,
    LiteRTError,
    ModelError,
    TensorShapeError,
    TensorTypeError,
    UnsupportedModelError,
)
from litert.options import CpuOptions
from litert.tensor_info import TensorInfo

# What the Interpreter raises, OverflowError for dimensions beyond int32. MemoryError is passed on.
INTERPRETER_ERRORS = (ValueError, RuntimeError, TypeError, OverflowError)

_MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
_UNRESOLVED_OP = re.compile(r"Encountered unresolved custom op: (.*?)\.\s")
_FLEX_OP = re.compile(r"Select TensorFlow op\(s\).*\(Flex(\w+)\)", re.DOTALL)
_NPU_OP = "DISPATCH_OP"
_UNSUPPORTED = ("Didn't find op for builtin opcode", "schema version")
_DAMAGED = (
    "not a valid Flatbuffer",
    "Could not open",
    "Invalid tensor index",
    "inconsistent model",
)


def import_interpreter() -> ModuleType:
    """Return the module that has ``Interpreter``.

    Raises:
        LibraryError: There is none, or it cannot be loaded.
    """
    for name in _MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as err:
            if err.name not in (name, name.partition(".")[0]):
                raise LibraryError(f"{name} cannot be imported: {err}") from err
        except (ImportError, OSError) as err:
            raise LibraryError(f"{name} cannot be imported: {err}") from err
    from litert.system import how_to_get_interpreter

    raise LibraryError(f"the reference backend needs {how_to_get_interpreter()}")


def make_interpreter(source: str | bytes, options: CpuOptions) -> Any:
    """Make an ``Interpreter`` of a path or of a model's bytes, nothing allocated yet."""
    module = import_interpreter()
    resolvers = module.OpResolverType
    resolver = {
        "xnnpack": resolvers.AUTO,
        "builtin": resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }[options.kernels]
    model = {"model_path": source} if isinstance(source, str) else {"model_content": source}
    return module.Interpreter(
        **model, num_threads=options.threads, experimental_op_resolver_type=resolver
    )


class Subgraph:
    """A subgraph that is not the first. One thread at a time.

    The Interpreter's public way to such a one is its ``SignatureRunner``, which resizes,
    allocates, copies and runs in one call, and so cannot tell at load whether the model runs.
    These are the calls that it makes. The wrapper object is fetched for each of them, since the
    Interpreter refuses to work while it sees another reference to it.
    """

    def __init__(self, interpreter: Any, index: int) -> None:
        self._interpreter = interpreter
        self._index = index
        self._is_allocated = False

    def has(self, shapes: Mapping[int, tuple[int, ...]]) -> bool:
        """Whether the subgraph is allocated for these shapes of its inputs."""
        return self._is_allocated and all(self.input_shape(i) == shapes[i] for i in shapes)

    def fit(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        """Give the input tensors these shapes and allocate, where that changes anything.

        Allocating without need would reset the state of a model that has variable tensors.
        """
        for tensor, shape in shapes.items():
            if self.input_shape(tensor) != shape:
                self._is_allocated = False
                self.resize(tensor, shape)
        if not self._is_allocated:
            self.allocate()
            self._is_allocated = True

    def input_shape(self, tensor: int) -> tuple[int, ...] | None:
        """Return the shape of an input as it is now, None where that is not known."""
        return self.output_shape(tensor)

    def output_shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of an output as it is now."""
        return _as_shape(self._interpreter._interpreter.TensorSize(tensor, self._index))

    def resize(self, tensor: int, shape: tuple[int, ...]) -> None:
        """Give an input another shape, to be followed by ``allocate``."""
        dims = np.array(shape, dtype=np.int32)
        self._interpreter._interpreter.ResizeInputTensor(tensor, dims, False, self._index)

    def allocate(self) -> None:
        """Plan the memory and prepare every operator."""
        self._interpreter._interpreter.AllocateTensors(self._index)

    def view(self, tensor: int) -> npt.NDArray[Any]:
        """Return a view of a tensor's memory, to be dropped before any other call."""
        wrapper = self._interpreter._interpreter
        view: npt.NDArray[Any] = wrapper.tensor(wrapper, tensor, self._index)
        return view

    def set(self, tensor: int, value: npt.NDArray[Any]) -> None:
        """Copy a value into an input."""
        self._interpreter._interpreter.SetTensor(tensor, value, self._index)

    def invoke(self) -> None:
        """Run; the GIL is released."""
        self._interpreter._interpreter.Invoke(self._index)

    def get(self, tensor: int) -> Any:
        """Return a copy of an output: an array, or a scalar for rank 0."""
        return self._interpreter.get_tensor(tensor, self._index)


class PrimarySubgraph(Subgraph):
    """The first subgraph, through the Interpreter's public methods. One thread at a time."""

    def __init__(self, interpreter: Any) -> None:
        super().__init__(interpreter, 0)
        self._input_shapes: dict[int, tuple[int, ...]] = {}

    def input_shape(self, tensor: int) -> tuple[int, ...] | None:
        # Only what was given here: the Interpreter describes all inputs at once, which is slow.
        return self._input_shapes.get(tensor)

    def output_shape(self, tensor: int) -> tuple[int, ...]:
        try:
            details = self._interpreter.get_output_details()
        except UnicodeDecodeError:
            # A tensor name that is no text hides all details; the first run tells the shape.
            return ()
        return next((_as_shape(d["shape"]) for d in details if d["index"] == tensor), ())

    def resize(self, tensor: int, shape: tuple[int, ...]) -> None:
        self._interpreter.resize_tensor_input(tensor, shape)
        self._input_shapes[tensor] = shape

    def allocate(self) -> None:
        self._interpreter.allocate_tensors()

    def view(self, tensor: int) -> npt.NDArray[Any]:
        view: npt.NDArray[Any] = self._interpreter.tensor(tensor)()
        return view

    def set(self, tensor: int, value: npt.NDArray[Any]) -> None:
        self._interpreter.set_tensor(tensor, value)

    def invoke(self) -> None:
        self._interpreter.invoke()


def prepare(interpreter: Any, is_dynamic: Mapping[int, bool]) -> dict[int, Subgraph]:
    """Allocate subgraphs: whether a model can run is asked at load.

    Args:
        interpreter: A new Interpreter.
        is_dynamic: By subgraph index, whether its inputs have open dimensions.

    Returns:
        The subgraphs by index.
    """
    # The first one comes first, needed or not: allocating it hands the whole model to XNNPACK.
    subgraphs: dict[int, Subgraph] = {0: PrimarySubgraph(interpreter)}
    subgraphs |= {index: Subgraph(interpreter, index) for index in is_dynamic if index}
    for index, subgraph in subgraphs.items():
        try:
            subgraph.fit({})
        except INTERPRETER_ERRORS as err:
            if index not in is_dynamic:
                continue
            # The sizes that the file has for open dimensions need not fit each other.
            if not is_dynamic[index] or isinstance(load_error(err, ()), UnsupportedModelError):
                raise
    return subgraphs


def to_interpreter(info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an input in the form that the Interpreter takes.

    Raises:
        TensorTypeError: A string tensor got something that is no text.
    """
    if info.element_type == "string":
        return _encoded(info.name, array)
    return array.view(np.int8) if info.element_type.startswith("float8") else array


def write(subgraph: Subgraph, tensor: int, info: TensorInfo, value: npt.NDArray[Any]) -> None:
    """Copy what ``to_interpreter`` gave into an input tensor."""
    if info.element_type != "int2":
        subgraph.set(tensor, value)
        return
    # ``set_tensor`` knows no int2. Memory holds four values a byte, but the view claims one: only
    # its first bytes are there.
    packed = pack(value, ELEMENT_TYPES["int2"].bits)
    subgraph.view(tensor).reshape(-1).view(np.uint8)[: packed.size] = packed


def read(subgraph: Subgraph, tensor: int, info: TensorInfo) -> npt.NDArray[Any]:
    """Return an output tensor as a new array.

    Raises:
        ValueError: The Interpreter cannot read it, or it has another type than the file says.
    """
    try:
        array: npt.NDArray[Any] = np.asarray(subgraph.get(tensor))
    except ValueError:
        # The Interpreter cannot read a tensor that became empty while running.
        shape = subgraph.output_shape(tensor)
        if 0 not in shape:
            raise
        return np.empty(shape, info.dtype)
    # The Interpreter shows float8 as int8.
    if info.element_type.startswith("float8"):
        array = array.view(info.dtype)
    if array.dtype != info.dtype:
        raise ValueError(f"output {info.name!r} should be {info.element_type}, got {array.dtype}")
    return array


def _encoded(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of strings in the only form that the Interpreter takes rightly."""
    encoded = np.empty(array.size, dtype=object)
    for position, text in enumerate(array.ravel().tolist()):
        if isinstance(text, str):
            encoded[position] = text.encode()
        elif isinstance(text, bytes):
            encoded[position] = text
        else:
            raise TensorTypeError(
                f"tensor {name!r}: expected str or bytes, got {type(text).__name__}"
            )
    if array.ndim:
        return encoded.reshape(array.shape)
    # The Interpreter takes an object array of rank 0 for the text itself, and reads the address.
    if encoded[0].endswith(b"\0"):
        raise TensorTypeError(f"tensor {name!r}: text of a rank 0 tensor cannot end in a NUL byte")
    return np.array(encoded[0])


def _as_shape(dims: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(dim) for dim in dims)


def load_error(err: Exception, library_output: Sequence[str]) -> LiteRTError:
    """Build the error for a model that the Interpreter could not open or prepare."""
    text = str(err)
    log = (*library_output, *text.splitlines())
    unsupported = _unsupported_op(text, log)
    if unsupported is not None:
        return unsupported
    if any(sign in text for sign in _DAMAGED):
        return FileFormatError(f"damaged model: {_one_line(text)}", library_log=log)
    return ModelError(f"the model cannot be prepared: {_one_line(text)}", library_log=log)


def shape_error(
    err: Exception,
    signature: str,
    shapes: Mapping[str, tuple[int, ...]],
    library_output: Sequence[str],
) -> LiteRTError:
    """Build the error for input shapes that the model cannot take."""
    text = str(err)
    log = (*library_output, *text.splitlines())
    given = ", ".join(f"{name!r} {list(shape)}" for name, shape in shapes.items())
    refused = TensorShapeError(
        f"signature {signature!r}: the model cannot take {given}: {_one_line(text)}",
        library_log=log,
    )
    return _unsupported_op(text, log) or refused


def run_error(err: Exception, signature: str) -> LiteRTError:
    """Build the error for a run that failed."""
    text = str(err)
    log = tuple(text.splitlines())
    failure = ExecutionError(
        f"signature {signature!r}: run failed: {_one_line(text)}", library_log=log
    )
    return _unsupported_op(text, log) or failure


def _unsupported_op(text: str, log: Sequence[str]) -> UnsupportedModelError | None:
    """Build the error for an operator that the library lacks, None where it is something else."""
    custom = _UNRESOLVED_OP.search(text + "\n")
    flex = _FLEX_OP.search(text)
    if custom is not None and custom[1] == _NPU_OP:
        message = (
            f"the model is compiled for an NPU (operator {_NPU_OP}); "
            "use the plain .tflite that it was made from"
        )
    elif custom is not None:
        message = (
            f"the model needs the custom operator {custom[1]}, which the library does not have"
        )
    elif flex is not None:
        message = (
            f"the model needs TensorFlow's operator {flex[1]}, which the library does not have; "
            "convert it without SELECT_TF_OPS"
        )
    elif any(sign in text for sign in _UNSUPPORTED):
        message = _one_line(text)
    else:
        return None
    return UnsupportedModelError(message, library_log=log)


def _one_line(text: str) -> str:
    # The Interpreter joins its messages without a space.
    return " ".join(text.replace("Node number", " Node number").split()).rstrip(".")
