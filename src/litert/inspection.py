"""Sums up a model for people and programs, from its file alone: nothing is loaded or run."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from litert.element_types import ELEMENT_TYPES
from litert.errors import FileFormatError
from litert.file_format import check_source
from litert.model_file import (
    Buffer,
    ModelFile,
    SignatureEntry,
    SubgraphEntry,
    TensorEntry,
    as_buffer,
    num_values,
    read_model,
    read_quantization,
)
from litert.naming import unique_names
from litert.tensor_info import Signature, TensorInfo
from litert.unrunnable import CompiledFor, compiled_for

# The key of the one signature that a model without signatures gets.
DEFAULT_SIGNATURE = "main"

# Inputs and outputs have one scale or one per channel; a hostile file could ask for billions.
_MAX_SCALES = 1 << 20


@dataclass(frozen=True, slots=True)
class SubgraphSummary:
    """One subgraph. Immutable. ``operators`` counts them by name, the most frequent first."""

    name: str
    operators: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WeightSummary:
    """The constants of one element type. Immutable.

    Attributes:
        element_type: As in ``TensorInfo.element_type``.
        num_buffers: Buffers, each counted once however many tensors share it.
        num_values: Values in them; of strings and sparse tensors, what is stored.
        size_bytes: Bytes in the file, or in the files beside it.
    """

    element_type: str
    num_buffers: int
    num_values: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What a .tflite file holds. Immutable.

    Attributes:
        path: Where it was read from, None for bytes.
        size_bytes: Size of the file.
        description: What the converter wrote about it.
        compiled_for: The NPU that it is compiled for ahead of time, None for a plain model.
        metadata: Name and size in bytes of each entry.
        signatures: By key; ``"main"`` for a model that has none.
        subgraphs: The first is the main one.
        weights: By element type, the largest first.
    """

    path: str | None
    size_bytes: int
    description: str
    compiled_for: CompiledFor | None
    metadata: tuple[tuple[str, int], ...]
    signatures: Mapping[str, Signature]
    subgraphs: tuple[SubgraphSummary, ...]
    weights: tuple[WeightSummary, ...]

    @property
    def operators(self) -> dict[str, int]:
        """Operators of all subgraphs by count, custom ones as ``"custom:Name"``."""
        return _by_count(*(subgraph.operators for subgraph in self.subgraphs))

    @property
    def num_parameters(self) -> int:
        """Constant values of the whole model."""
        return sum(weight.num_values for weight in self.weights)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as dicts, lists, strings and numbers for ``json.dumps``."""
        return {
            "path": self.path,
            "size_bytes": self.size_bytes,
            "description": self.description,
            "compiled_for": self.compiled_for and dataclasses.asdict(self.compiled_for),
            "metadata": [{"name": name, "size_bytes": size} for name, size in self.metadata],
            "signatures": [
                {
                    "key": signature.key,
                    "inputs": [_tensor_json(info) for info in signature.inputs.values()],
                    "outputs": [_tensor_json(info) for info in signature.outputs.values()],
                }
                for signature in self.signatures.values()
            ],
            "operators": self.operators,
            "subgraphs": [dataclasses.asdict(subgraph) for subgraph in self.subgraphs],
            "weights": [dataclasses.asdict(weight) for weight in self.weights],
            "num_parameters": self.num_parameters,
        }


def inspect_model(source: str | os.PathLike[str] | Buffer) -> ModelSummary:
    """Sum up a model without loading it.

    Args:
        source: A path, or the model itself.

    Returns:
        Signatures, operators and weights; the weights themselves are not read.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is no sound .tflite model.

    Example:
        >>> inspect_model("add.tflite").operators
        {'ADD': 1, 'MUL': 1}
    """
    check_source(source)
    with ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            path: str | None = os.fspath(source)
            data: Buffer = stack.enter_context(as_buffer(os.fspath(source)))
        else:
            path, data = None, source
        try:
            model = read_model(data)
        except FileFormatError as err:
            what = "model bytes" if path is None else f"model {path!r}"
            raise FileFormatError(f"{what}: {err}") from err
        return ModelSummary(
            path=path,
            size_bytes=memoryview(data).nbytes,
            description=model.description,
            compiled_for=compiled_for(data, model),
            metadata=tuple((entry.name, entry.content.size) for entry in model.metadata),
            signatures=_signatures(data, model),
            subgraphs=tuple(_summarize_subgraph(subgraph) for subgraph in model.subgraphs),
            weights=_summarize_weights(model),
        )


def _summarize_subgraph(subgraph: SubgraphEntry) -> SubgraphSummary:
    counts = Counter(operator.code.label for operator in subgraph.operators)
    return SubgraphSummary(subgraph.name, _by_count(counts))


def _by_count(*counts: Mapping[str, int]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _signatures(data: Buffer, model: ModelFile) -> dict[str, Signature]:
    entries: Sequence[SignatureEntry] = model.signatures
    if not entries and model.subgraphs:
        main = model.subgraphs[0]
        inputs, outputs = (
            tuple((main.tensors[index].name, index) for index in indices)
            for indices in (main.inputs, main.outputs)
        )
        entries = [SignatureEntry(DEFAULT_SIGNATURE, 0, inputs, outputs)]
    _check_num_scales(model, entries)
    signatures = {}
    for entry in entries:
        subgraph = model.subgraphs[entry.subgraph]
        signatures[entry.key] = Signature(
            entry.key,
            _tensor_infos(data, subgraph, _in_order(entry.inputs, subgraph.inputs), "input"),
            _tensor_infos(data, subgraph, _in_order(entry.outputs, subgraph.outputs), "output"),
        )
    return signatures


def _check_num_scales(model: ModelFile, entries: Sequence[SignatureEntry]) -> None:
    num_scales = 0
    for entry in entries:
        tensors = model.subgraphs[entry.subgraph].tensors
        for _, index in (*entry.inputs, *entry.outputs):
            quantization = tensors[index].quantization
            num_scales += 0 if quantization is None else quantization.num_scales
    if num_scales > _MAX_SCALES:
        raise FileFormatError(
            f"damaged model: expected at most {_MAX_SCALES} scales of inputs and outputs, "
            f"got {num_scales}"
        )


def _in_order(
    names: Sequence[tuple[str, int]], order: tuple[int, ...]
) -> Sequence[tuple[str, int]]:
    """Sort a signature's names as the subgraph has its tensors, which is how the library runs."""
    places = {index: place for place, index in reversed(list(enumerate(order)))}
    return sorted(names, key=lambda item: places.get(item[1], len(order)))


def _tensor_infos(
    data: Buffer, subgraph: SubgraphEntry, names: Sequence[tuple[str, int]], prefix: str
) -> dict[str, TensorInfo]:
    unique = unique_names([name for name, _ in names], prefix)
    return {
        name: TensorInfo(
            name=name,
            shape=subgraph.tensors[index].dimensions,
            element_type=subgraph.tensors[index].element_type,
            quantization=read_quantization(data, subgraph.tensors[index]),
        )
        for name, (_, index) in zip(unique, names, strict=True)
    }


def _summarize_weights(model: ModelFile) -> tuple[WeightSummary, ...]:
    """Add up the constants by the element type of the first tensor that uses each buffer."""
    totals: dict[str, tuple[int, int, int]] = {}
    seen: set[tuple[str, int]] = set()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if tensor.external_buffer:
                place = ("external", tensor.external_buffer)
                size = model.external_buffers.get(tensor.external_buffer, 0)
            else:
                place = ("buffer", tensor.buffer)
                size = model.buffers[tensor.buffer].size
            if size == 0 or place in seen:
                continue
            seen.add(place)
            buffers, values, size_bytes = totals.get(tensor.element_type, (0, 0, 0))
            values += _num_stored(tensor, size)
            totals[tensor.element_type] = (buffers + 1, values, size_bytes + size)
    summaries = [WeightSummary(name, *total) for name, total in totals.items()]
    return tuple(sorted(summaries, key=lambda weight: (-weight.size_bytes, weight.element_type)))


def _num_stored(tensor: TensorEntry, size_bytes: int) -> int:
    """Return the values in a buffer: those of the shape, as far as the bytes hold them."""
    kind = ELEMENT_TYPES.get(tensor.element_type)
    expected = num_values(tensor.shape)
    if kind is None or kind.bits == 0:
        return expected if expected <= size_bytes else 0
    return min(expected, size_bytes * 8 // kind.bits)


def _tensor_json(info: TensorInfo) -> dict[str, Any]:
    quantization = info.quantization
    return {
        "name": info.name,
        "shape": list(info.shape),
        "dtype": info.element_type,
        "quantization": None if quantization is None else dataclasses.asdict(quantization),
    }
