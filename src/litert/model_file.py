"""Reads what a .tflite file says about itself, without loading it and without touching its weights.

Field numbers are the places of the fields in the TFLite schema, version 3 (schema.fbs).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from litert._flatbuffer import Reader, Span, Table
from litert.builtin_operators import BUILTIN_OPERATORS
from litert.errors import FileFormatError
from litert.tensor_info import Quantization

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
QuantizationKind = Literal["affine", "custom", "blockwise", "multi_axis"]

FILE_IDENTIFIER = b"TFL3"

# TensorType of the schema, whose numbers are not those of the runtime's element types.
TENSOR_TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2"),
)

_QUANTIZATION_KINDS: tuple[QuantizationKind, ...] = ("affine", "custom", "blockwise", "multi_axis")
_CUSTOM_OPERATOR = BUILTIN_OPERATORS.index("CUSTOM")


@dataclass(frozen=True, slots=True)
class QuantizationEntry:
    """How a tensor is quantized. Immutable.

    Attributes:
        kind: ``"affine"`` for one scale a tensor or a channel, else what the file calls it.
        scales: Where the affine scales lie, float32.
        zero_points: Where the affine zero points lie, int64.
        axis: The dimension that the scales belong to, meaningful with more than one scale.
        scales_tensor: Tensor that holds the scales, where ``kind`` is blockwise or multi_axis.
        zero_points_tensor: Tensor that holds the zero points there, -1 for none.
        block_size: Values that share a scale there.
    """

    kind: QuantizationKind
    scales: Span
    zero_points: Span
    axis: int
    scales_tensor: int = -1
    zero_points_tensor: int = -1
    block_size: int = 0

    @property
    def num_scales(self) -> int:
        """How many affine scales there are."""
        return self.scales.size // 4

    @property
    def num_zero_points(self) -> int:
        """How many affine zero points there are."""
        return self.zero_points.size // 8


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a subgraph. Immutable.

    Attributes:
        name: Its name, may be empty.
        element_type: As in ``TensorInfo.element_type``; also ``"resource"``, ``"variant"``, or
            ``"type_99"`` for a number that the schema does not have.
        shape: The dimensions, open ones as 1.
        shape_signature: The dimensions, open ones as -1; None where the file has none.
        has_rank: What the file says; older files say False of every tensor.
        buffer: Index of its buffer; an empty one for tensors that are computed.
        external_buffer: Id of its data in another file, 0 for none.
        is_variable: Whether it keeps its value between runs.
        is_sparse: Whether its data is stored sparsely.
        quantization: None for a tensor that is not quantized.
    """

    name: str
    element_type: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...] | None
    has_rank: bool
    buffer: int
    external_buffer: int
    is_variable: bool
    is_sparse: bool
    quantization: QuantizationEntry | None

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The dimensions, -1 where the file leaves one open."""
        return self.shape_signature or self.shape


@dataclass(frozen=True, slots=True)
class OperatorCode:
    """A kind of operator that the model uses. Immutable.

    Attributes:
        name: As in ``BUILTIN_OPERATORS``; ``"BUILTIN_999"`` for a number that is not there.
        custom_code: The name of a custom operator, None for a builtin one.
        version: Its version.
    """

    name: str
    custom_code: str | None
    version: int

    @property
    def label(self) -> str:
        """The name to show: ``"ADD"`` or ``"custom:Name"``."""
        return self.name if self.custom_code is None else f"custom:{self.custom_code}"


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """One operator of a subgraph. Immutable.

    Attributes:
        code: Which operator.
        inputs: Tensor indices, -1 for an optional input left out.
        outputs: Tensor indices.
    """

    code: OperatorCode
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SubgraphEntry:
    """One subgraph. Immutable. Inputs and outputs are tensor indices."""

    name: str
    tensors: tuple[TensorEntry, ...]
    operators: tuple[OperatorEntry, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SignatureEntry:
    """One signature. Immutable. Inputs and outputs are pairs of name and tensor index."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One metadata entry. Immutable. ``content`` says where its bytes lie."""

    name: str
    content: Span


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a .tflite file holds. Immutable; weights are spans of the file, not bytes.

    Attributes:
        version: Version of the schema.
        description: Free text of the converter.
        subgraphs: The first is the main one.
        signatures: Empty for a model without signatures.
        buffers: Where the constants lie, by buffer index; empty spans for empty buffers.
        metadata: In the order of the file.
        external_buffers: Bytes by id of the constants that lie in other files.
    """

    version: int
    description: str
    subgraphs: tuple[SubgraphEntry, ...]
    signatures: tuple[SignatureEntry, ...]
    buffers: tuple[Span, ...]
    metadata: tuple[MetadataEntry, ...]
    external_buffers: dict[int, int]


@contextmanager
def as_buffer(source: str | bytes) -> Iterator[Buffer]:
    """Give the bytes of a model: a file's are mapped for the time of the ``with`` block.

    Args:
        source: A path, or the bytes themselves.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is empty.
    """
    if isinstance(source, bytes):
        yield source
        return
    with (
        open(source, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield data


def read_model(data: Buffer) -> ModelFile:
    """Read the structure of a model.

    Args:
        data: The whole file; a mapping of it is read only where the structure lies.

    Returns:
        The model; its indices are all in range and its spans all in ``data``.

    Raises:
        FileFormatError: The bytes are no sound .tflite model.

    Example:
        >>> read_model(path.read_bytes()).subgraphs[0].operators[0].code.label
        'ADD'
    """
    # Released also where an error's traceback keeps the frames: a mapping could not be closed.
    with memoryview(data) as view, view.cast("B") as flat:
        return _read_root(Reader(flat))


def read_quantization(data: Buffer, tensor: TensorEntry) -> Quantization | None:
    """Read the affine quantization of a tensor.

    Args:
        data: The bytes that the tensor was read from.
        tensor: The tensor.

    Returns:
        Scale and zero point, or one of each per channel; None where the tensor has none.
    """
    entry = tensor.quantization
    if entry is None or entry.kind != "affine" or entry.num_scales == 0:
        return None
    scales = struct.unpack_from(f"<{entry.num_scales}f", data, entry.scales.offset)
    zero_points = struct.unpack_from(f"<{entry.num_zero_points}q", data, entry.zero_points.offset)
    # One zero point may stand for all channels; none at all stands for 0.
    if len(zero_points) != len(scales):
        zero_points = (zero_points[0] if zero_points else 0,) * len(scales)
    if len(scales) == 1:
        return Quantization(scales[0], zero_points[0])
    return Quantization(scales, zero_points, entry.axis)


def num_values(shape: tuple[int, ...]) -> int:
    """Return how many values a tensor of this shape holds, 0 where a dimension is not positive.

    Stops at 2**62, more than any file holds: a hostile shape may have a million dimensions.
    """
    count = 1
    for size in shape:
        count = min(count * max(size, 0), 1 << 62)
    return count


def _read_root(reader: Reader) -> ModelFile:
    if reader.size < 8 or bytes(reader.data[4:8]) != FILE_IDENTIFIER:
        raise FileFormatError("no .tflite model: the identifier TFL3 is missing at byte 4")
    root = reader.root()
    buffers = tuple(_read_buffer(reader, table) for table in root.tables(4))
    codes = tuple(_read_operator_code(table) for table in root.tables(1))
    subgraphs = tuple(_read_subgraph(table, codes, len(buffers)) for table in root.tables(2))
    return ModelFile(
        version=root.integer(0, "I"),
        description=root.string(3) or "",
        subgraphs=subgraphs,
        signatures=tuple(_read_signature(table, subgraphs) for table in root.tables(7)),
        buffers=buffers,
        metadata=tuple(_read_metadata(table, buffers) for table in root.tables(6)),
        external_buffers={t.integer(0, "I"): t.integer(3, "Q") for t in root.tables(9)},
    )


def _read_buffer(reader: Reader, table: Table) -> Span:
    """Return where a constant lies: in the FlatBuffer, or behind it in files above 2 GB."""
    span = table.span(0, 1)
    offset = table.integer(1, "Q")
    if offset <= 1:
        return span or Span(0, 0)
    size = table.integer(2, "Q")
    reader.check(offset, size)
    return Span(offset, size)


def _read_operator_code(table: Table) -> OperatorCode:
    # The old field has one byte; newer files fill both, or the old one with a placeholder.
    code = max(table.integer(0, "b"), table.integer(3, "i"))
    is_builtin = 0 <= code < len(BUILTIN_OPERATORS)
    return OperatorCode(
        name=BUILTIN_OPERATORS[code] if is_builtin else f"BUILTIN_{code}",
        custom_code=table.string(1) or "" if code == _CUSTOM_OPERATOR else None,
        version=table.integer(2, "i", 1),
    )


def _read_subgraph(
    table: Table, codes: tuple[OperatorCode, ...], num_buffers: int
) -> SubgraphEntry:
    tensors = tuple(_read_tensor(entry, num_buffers) for entry in table.tables(0))
    return SubgraphEntry(
        name=table.string(4) or "",
        tensors=tensors,
        operators=tuple(_read_operator(entry, codes, len(tensors)) for entry in table.tables(3)),
        inputs=_tensor_indices(table, 1, len(tensors)),
        outputs=_tensor_indices(table, 2, len(tensors)),
    )


def _read_tensor(table: Table, num_buffers: int) -> TensorEntry:
    number = table.integer(1, "b")
    is_known = 0 <= number < len(TENSOR_TYPES)
    quantization = table.table(4)
    return TensorEntry(
        name=table.string(3) or "",
        element_type=TENSOR_TYPES[number] if is_known else f"type_{number}",
        shape=table.integers(0, "i") or (),
        shape_signature=table.integers(7, "i"),
        has_rank=bool(table.integer(8, "?")),
        buffer=_index("buffer", table.integer(2, "I"), num_buffers),
        external_buffer=table.integer(10, "I"),
        is_variable=bool(table.integer(5, "?")),
        is_sparse=table.has(6),
        quantization=None if quantization is None else _read_quantization_entry(quantization),
    )


def _read_quantization_entry(table: Table) -> QuantizationEntry | None:
    number = table.integer(4, "B")
    kind = _QUANTIZATION_KINDS[number] if number < len(_QUANTIZATION_KINDS) else "custom"
    scales = table.span(2, 4) or Span(0, 0)
    zero_points = table.span(3, 8) or Span(0, 0)
    details = table.table(5)
    if kind == "affine" and scales.size == 0:
        # Converters leave an empty table, or one with only min and max, at unquantized tensors.
        return None
    if kind not in ("blockwise", "multi_axis") or details is None:
        return QuantizationEntry(kind, scales, zero_points, table.integer(6, "i"))
    return QuantizationEntry(
        kind=kind,
        scales=scales,
        zero_points=zero_points,
        axis=table.integer(6, "i"),
        scales_tensor=details.integer(0, "i"),
        zero_points_tensor=details.integer(1, "i"),
        block_size=details.integer(2, "i"),
    )


def _read_operator(
    table: Table, codes: tuple[OperatorCode, ...], num_tensors: int
) -> OperatorEntry:
    return OperatorEntry(
        code=codes[_index("operator code", table.integer(0, "I"), len(codes))],
        inputs=_tensor_indices(table, 1, num_tensors, first=-1),
        outputs=_tensor_indices(table, 2, num_tensors),
    )


def _read_signature(table: Table, subgraphs: tuple[SubgraphEntry, ...]) -> SignatureEntry:
    subgraph = _index("subgraph", table.integer(4, "I"), len(subgraphs))
    num_tensors = len(subgraphs[subgraph].tensors)
    inputs, outputs = (
        tuple(
            (entry.string(0) or "", _index("tensor", entry.integer(1, "I"), num_tensors))
            for entry in table.tables(field)
        )
        for field in (0, 1)
    )
    return SignatureEntry(table.string(2) or "", subgraph, inputs, outputs)


def _read_metadata(table: Table, buffers: tuple[Span, ...]) -> MetadataEntry:
    buffer = _index("buffer", table.integer(1, "I"), len(buffers))
    return MetadataEntry(table.string(0) or "", buffers[buffer])


def _tensor_indices(table: Table, field: int, num_tensors: int, first: int = 0) -> tuple[int, ...]:
    indices = table.integers(field, "i") or ()
    for index in indices:
        _index("tensor", index, num_tensors, first)
    return indices


def _index(what: str, index: int, count: int, first: int = 0) -> int:
    """Return ``index`` if it is in range."""
    if not first <= index < count:
        raise FileFormatError(f"damaged model: {what} {index} does not exist, there are {count}")
    return index
