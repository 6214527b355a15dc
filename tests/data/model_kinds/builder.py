"""Write .tflite files from Python: a model, its graphs, their tensors and operators.

A thin layer over the object API of the LiteRT schema (``ai_edge_litert.schema_py_generated``):
tensors are named by their index, options are the schema's own ``...OptionsT`` objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Type = schema.TensorType
Op = schema.BuiltinOperator
RELU = schema.ActivationFunctionType.RELU
RELU6 = schema.ActivationFunctionType.RELU6
SERVING_DEFAULT = "serving_default"

TYPES = {
    "bool": Type.BOOL,
    "int8": Type.INT8,
    "int16": Type.INT16,
    "int32": Type.INT32,
    "int64": Type.INT64,
    "uint8": Type.UINT8,
    "uint16": Type.UINT16,
    "uint32": Type.UINT32,
    "uint64": Type.UINT64,
    "float16": Type.FLOAT16,
    "bfloat16": Type.BFLOAT16,
    "float32": Type.FLOAT32,
    "float64": Type.FLOAT64,
    "complex64": Type.COMPLEX64,
    "complex128": Type.COMPLEX128,
    "int4": Type.INT4,
    "int2": Type.INT2,
    "uint4": Type.UINT4,
    "float8_e4m3fn": Type.FLOAT8_E4M3FN,
    "float8_e5m2": Type.FLOAT8_E5M2,
    "string": Type.STRING,
}
Names = Mapping[str, int] | Iterable[tuple[str, int]]


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns byte vectors (constant data) to 16, as the schema's force_align asks."""

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # noqa: N802 (flatbuffers' name)
        """Add a vector; bytes are a constant's data."""
        if x.dtype != np.uint8 or x.ndim != 1:
            return super().CreateNumpyVector(x)
        self.StartVector(1, x.size, 16)
        data = x.tobytes()
        self.head -= len(data)
        self.Bytes[self.head : self.head + len(data)] = data
        return self.EndVector()


class Model:
    """A model under construction."""

    def __init__(self, description: str = "litert test model") -> None:
        self.table = schema.ModelT(
            version=3,
            description=description,
            buffers=[schema.BufferT()],  # buffer 0 is empty by convention
            operatorCodes=[],
            subgraphs=[],
            signatureDefs=[],
            metadata=[],
        )
        self._code_index: dict[tuple[int, str | None, int], int] = {}

    def buffer(self, data: bytes) -> int:
        """Add constant data and return its buffer index."""
        self.table.buffers.append(schema.BufferT(data=np.frombuffer(data, np.uint8)))
        return len(self.table.buffers) - 1

    def operator_code(self, code: int, custom: str | None, version: int) -> int:
        """Return the index of an operator code, adding it where it is new."""
        key = (code, custom, version)
        if key not in self._code_index:
            self._code_index[key] = len(self.table.operatorCodes)
            self.table.operatorCodes.append(
                schema.OperatorCodeT(
                    builtinCode=code,
                    version=version,
                    deprecatedBuiltinCode=min(code, 127),
                    customCode=custom,
                )
            )
        return self._code_index[key]

    def graph(self, name: str = "main") -> Graph:
        """Add a subgraph."""
        graph = Graph(self, name, len(self.table.subgraphs))
        self.table.subgraphs.append(graph.table)
        return graph

    def metadata(self, name: str, data: bytes) -> None:
        """Add a metadata entry."""
        self.table.metadata.append(schema.MetadataT(name=name, buffer=self.buffer(data)))

    def to_bytes(self) -> bytes:
        """Return the .tflite file."""
        for field in ("signatureDefs", "metadata"):
            if not getattr(self.table, field):
                setattr(self.table, field, None)
        builder = _AlignedBuilder(1024)
        builder.Finish(self.table.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class Graph:
    """A subgraph under construction; its tensors are known by their index."""

    def __init__(self, model: Model, name: str, index: int) -> None:
        self.model = model
        self.index = index
        self.table = schema.SubGraphT(name=name, tensors=[], operators=[], inputs=[], outputs=[])

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: int = Type.FLOAT32,
        quantization: schema.QuantizationParametersT | None = None,
        *,
        signature: Sequence[int] | None = None,
        buffer: int = 0,
        is_variable: bool = False,
        has_rank: bool = True,
    ) -> int:
        """Add a tensor; ``signature`` is its shape with -1 where a dimension is open."""
        table = schema.TensorT(
            name=name,
            type=dtype,
            buffer=buffer,
            shape=np.asarray(shape, np.int32),
            quantization=quantization,
            isVariable=is_variable,
            hasRank=has_rank,
        )
        if signature is not None:
            table.shapeSignature = np.asarray(signature, np.int32)
        self.table.tensors.append(table)
        return len(self.table.tensors) - 1

    def const(
        self,
        name: str,
        value: npt.ArrayLike,
        quantization: schema.QuantizationParametersT | None = None,
    ) -> int:
        """Add a constant of the array's own dtype and shape."""
        array = np.asarray(value)
        return self.const_bytes(
            name, array.tobytes(), array.shape, TYPES[array.dtype.name], quantization
        )

    def const_bytes(
        self,
        name: str,
        data: bytes,
        shape: Sequence[int],
        dtype: int,
        quantization: schema.QuantizationParametersT | None = None,
    ) -> int:
        """Add a constant whose data NumPy cannot hold: packed integers, strings."""
        return self.tensor(name, shape, dtype, quantization, buffer=self.model.buffer(data))

    def op(
        self,
        code: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Any = None,
        *,
        custom: str | None = None,
        custom_options: bytes | None = None,
        version: int = 1,
    ) -> None:
        """Add an operator; ``options`` is one of the schema's ``...OptionsT`` objects."""
        table = schema.OperatorT(
            opcodeIndex=self.model.operator_code(code, custom, version),
            inputs=np.asarray(inputs, np.int32),
            outputs=np.asarray(outputs, np.int32),
        )
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            table.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            table.builtinOptions = options
        if custom_options is not None:
            table.customOptions = np.frombuffer(custom_options, np.uint8)
        self.table.operators.append(table)

    def op1(
        self, code: int, inputs: Sequence[int], output: int, options: Any = None, version: int = 1
    ) -> int:
        """Add an operator with one output and return that output."""
        self.op(code, inputs, [output], options, version=version)
        return output

    def dense(
        self,
        inputs: Sequence[int],
        output: int,
        activation: int = schema.ActivationFunctionType.NONE,
    ) -> int:
        """Add FULLY_CONNECTED of (values, weights, bias) and return its output."""
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=activation)
        return self.op1(Op.FULLY_CONNECTED, inputs, output, options)

    def io(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Set the subgraph's inputs and outputs, in order."""
        self.table.inputs = np.asarray(inputs, np.int32)
        self.table.outputs = np.asarray(outputs, np.int32)

    def signature(self, inputs: Names, outputs: Names, key: str = SERVING_DEFAULT) -> None:
        """Add a signature over this subgraph."""
        self.model.table.signatureDefs.append(
            schema.SignatureDefT(
                signatureKey=key,
                subgraphIndex=self.index,
                inputs=_tensor_maps(inputs),
                outputs=_tensor_maps(outputs),
            )
        )

    def serve(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], key: str = SERVING_DEFAULT
    ) -> None:
        """Set inputs and outputs and give them to a signature, in one order."""
        self.io(list(inputs.values()), list(outputs.values()))
        self.signature(inputs, outputs, key)


def _tensor_maps(names: Names) -> list[schema.TensorMapT]:
    pairs = names.items() if isinstance(names, Mapping) else names
    return [schema.TensorMapT(name=name, tensorIndex=index) for name, index in pairs]


def add_model(shape: Sequence[int], *, key: str = SERVING_DEFAULT, version: int = 1) -> Model:
    """Return z = x + y in float32."""
    model = Model()
    graph = model.graph()
    x, y = graph.tensor("x", shape), graph.tensor("y", shape)
    z = graph.op1(Op.ADD, [x, y], graph.tensor("z", shape), schema.AddOptionsT(), version)
    graph.serve({"x": x, "y": y}, {"z": z}, key)
    return model


def random(seed: int = 0) -> np.random.RandomState:
    """Return the generator of constants; RandomState's stream is frozen across NumPy versions."""
    return np.random.RandomState(seed)


def normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return normally distributed weights."""
    return random(seed).standard_normal(shape).astype(np.float32)


def integers(low: int, high: int, *shape: int, dtype: npt.DTypeLike = np.int8) -> npt.NDArray[Any]:
    """Return uniformly distributed integers, both ends included."""
    return random().randint(low, high + 1, shape).astype(dtype)


def quantization(
    scale: npt.ArrayLike, zero_point: npt.ArrayLike = 0, axis: int = 0
) -> schema.QuantizationParametersT:
    """Return affine quantization: one scale, or one per channel along ``axis``."""
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    zeros = np.zeros(len(scales), np.int64) + np.asarray(zero_point, np.int64)
    return schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)


def pack_bits(values: npt.NDArray[np.int8], bits: int) -> bytes:
    """Pack small integers into bytes, the first value in the lowest bits."""
    per_byte = 8 // bits
    flat = values.ravel().astype(np.int64) & ((1 << bits) - 1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % per_byte, np.int64)])
    shifted = flat.reshape(-1, per_byte) << (np.arange(per_byte) * bits)
    return shifted.sum(1).astype(np.uint8).tobytes()


def pack_strings(items: Sequence[bytes]) -> bytes:
    """Return the runtime's string format: int32 count, count + 1 int32 offsets, characters."""
    head = np.zeros(len(items) + 2, np.int32)
    head[0] = len(items)
    head[1:] = len(head) * 4 + np.cumsum([0, *(len(item) for item in items)])
    return head.tobytes() + b"".join(items)
