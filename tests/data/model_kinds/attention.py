"""One attention layer with a cache, as language models have it, and ways to change its graph.

Built by the tests that need one; none of these is a committed file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .builder import Graph, Model, Op, Type, schema

LENGTH = 24
MASKED = -1e9

# Gets the graph and a tensor, adds operators and returns the tensor to go on with.
Change = Callable[[Graph, int], int]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """What the layer looks like.

    Attributes:
        length: Slots of the caches.
        width: Of keys and values.
        num_tokens: Read by a run, one signature for each; 1 is ``decode``.
        mask: ``"input"``; ``"window"``, an input and a constant compared with the positions;
            ``"table"``, a constant gathered by them; or ``"none"``.
        has_softmax: Whether the scores are normalised at all.
        is_reshaped: Whether keys lose and regain a dimension through constant shapes.
        composite: The name of a composite that the attention is put into; empty for none.
        changes: By place in the graph: "keys", "scores", "masked", "weights", "values".
        suffix: Of the signatures' keys.
    """

    length: int = LENGTH
    width: int = 8
    num_tokens: tuple[int, ...] = (4, 1)
    mask: str = "input"
    has_softmax: bool = True
    is_reshaped: bool = False
    composite: str = ""
    changes: Mapping[str, Change] = field(default_factory=dict)
    suffix: str = ""


def attention(options: Attention | None = None, *, model: Model | None = None) -> Model:
    """Return a model with the layer, or add its signatures to ``model``.

    Inputs: ``x`` float32[1, tokens, width], ``input_pos`` int32[tokens], ``kv_cache_k_0``
    float32[1, 1, length, width], ``kv_cache_v_0`` float32[1, 1, width, length] and perhaps ``mask``
    float32[1, 1, tokens, length]. Outputs: the caches and ``logits`` float32[1, 1, tokens, width].
    """
    options = options or Attention()
    model = model or Model()
    table = model.buffer(causal_table(options.length).tobytes())
    for tokens in options.num_tokens:
        _Layer(model, options, tokens, table).build()
    return model


def causal_table(length: int) -> npt.NDArray[np.float32]:
    """Return float32[length, 1, 1, length]: row i hides what comes after i."""
    return np.triu(np.full((length, length), MASKED, np.float32), 1).reshape(length, 1, 1, length)


class _Layer:
    def __init__(self, model: Model, options: Attention, tokens: int, table: int) -> None:
        self.graph = model.graph(f"tokens_{tokens}")
        self.options = options
        self.tokens = tokens
        self.table = table

    def build(self) -> None:
        graph, (tokens, length, width) = self.graph, self.sizes
        inputs = {
            "x": graph.tensor("x", [1, tokens, width]),
            "input_pos": graph.tensor("input_pos", [tokens], Type.INT32),
            "kv_cache_k_0": graph.tensor("kv_cache_k_0", [1, 1, length, width]),
            "kv_cache_v_0": graph.tensor("kv_cache_v_0", [1, 1, width, length]),
        }
        if self.options.mask in ("input", "window"):
            inputs["mask"] = graph.tensor("mask", [1, 1, tokens, length])
        query = self.reshape(inputs["x"], [1, 1, tokens, width])
        keys = self.update(inputs["kv_cache_k_0"], query, inputs["input_pos"], axis=2)
        new_values = self.transpose(query, [0, 1, 3, 2])
        values = self.update(inputs["kv_cache_v_0"], new_values, inputs["input_pos"], axis=3)
        outputs = {"kv_cache_k_0": keys, "kv_cache_v_0": values}
        if self.options.is_reshaped:
            keys = self.reshape(self.reshape(keys, [length, width]), [1, 1, length, width])
        parts = [query, self.change("keys", keys), self.change("values", values)]
        if self.options.mask != "none":
            parts.append(self.mask(inputs))
        attend = self.attend_apart if self.options.composite else self.attend
        outputs["logits"] = attend(*parts)
        name = "decode" if tokens == 1 else f"prefill_{tokens}"
        graph.serve(inputs, outputs, name + self.options.suffix)

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.tokens, self.options.length, self.options.width

    def change(self, place: str, tensor: int) -> int:
        change = self.options.changes.get(place)
        return tensor if change is None else change(self.graph, tensor)

    def attend(self, query: int, keys: int, values: int, mask: int | None = None) -> int:
        tokens, length, width = self.sizes
        scores = self.change("scores", self.matmul(query, keys, [1, 1, tokens, length]))
        masked = self.change("masked", scores if mask is None else self.add(scores, mask))
        weights = self.change("weights", self.normalise(masked))
        return self.matmul(weights, values, [1, 1, tokens, width])

    def attend_apart(self, *parts: int) -> int:
        outer = self.graph
        self.graph = inner = outer.model.graph(f"{self.options.composite}.impl")
        shapes = [outer.table.tensors[part].shape for part in parts]
        inputs = [inner.tensor("part", shape) for shape in shapes]
        inner.io(inputs, [self.attend(*inputs)])
        self.graph = outer
        logits = outer.op1(
            Op.STABLEHLO_COMPOSITE, parts, outer.tensor("logits", [1, 1, *self.sizes[::2]])
        )
        operator = outer.table.operators[-1]
        operator.builtinOptions2Type = schema.BuiltinOptions2.StableHLOCompositeOptions
        operator.builtinOptions2 = schema.StableHLOCompositeOptionsT(
            name=self.options.composite, decompositionSubgraphIndex=inner.index
        )
        return logits

    def normalise(self, masked: int) -> int:
        if not self.options.has_softmax:
            return masked
        shape = [1, 1, *self.sizes[:2]]
        options = schema.SoftmaxOptionsT(beta=1.0)
        return self.graph.op1(Op.SOFTMAX, [masked], self.graph.tensor("weights", shape), options)

    def mask(self, inputs: Mapping[str, int]) -> int:
        if self.options.mask == "table":
            return self.gathered_mask(inputs["input_pos"])
        if self.options.mask == "window":
            return self.add(self.window_mask(inputs["input_pos"]), inputs["mask"])
        return inputs["mask"]

    def add(self, left: int, right: int) -> int:
        output = self.graph.tensor("sum", [1, 1, *self.sizes[:2]])
        return self.graph.op1(Op.ADD, [left, right], output, schema.AddOptionsT())

    def gathered_mask(self, positions: int) -> int:
        graph, (tokens, length, _) = self.graph, self.sizes
        table = graph.tensor("table", [length, 1, 1, length], buffer=self.table)
        indices = self.reshape(positions, [tokens, 1], Type.INT32)
        rows = graph.tensor("rows", [tokens, 1, 1, length])
        graph.op(Op.GATHER_ND, [table, indices], [rows], schema.GatherNdOptionsT())
        return self.reshape(rows, [1, 1, tokens, length])

    def window_mask(self, positions: int) -> int:
        graph, (tokens, length, _) = self.graph, self.sizes
        slots = graph.const("slots", np.arange(length, dtype=np.int32).reshape(1, 1, 1, length))
        column = self.reshape(positions, [1, 1, tokens, 1], Type.INT32)
        keep = graph.tensor("keep", [1, 1, tokens, length], Type.BOOL)
        graph.op(Op.LESS_EQUAL, [slots, column], [keep], schema.LessEqualOptionsT())
        choices = [graph.const("shown", np.float32(0)), graph.const("hidden", np.float32(MASKED))]
        window = graph.tensor("window", [1, 1, tokens, length])
        return graph.op1(Op.SELECT_V2, [keep, *choices], window, schema.SelectV2OptionsT())

    def update(self, cache: int, new: int, positions: int, axis: int) -> int:
        graph = self.graph
        zero = graph.const("zero", np.int32([0]))
        first = graph.tensor("first", [1], Type.INT32)
        graph.op(Op.SLICE, [positions, zero, graph.const("one", np.int32([1]))], [first],
                 schema.SliceOptionsT())  # fmt: skip
        start = graph.tensor("start", [4], Type.INT32)
        parts = [first if i == axis else zero for i in range(4)]
        graph.op(Op.CONCATENATION, parts, [start], schema.ConcatenationOptionsT(axis=0))
        shape = graph.table.tensors[cache].shape
        options = schema.DynamicUpdateSliceOptionsT()
        output = graph.tensor("kv_cache", shape)
        return graph.op1(Op.DYNAMIC_UPDATE_SLICE, [cache, new, start], output, options)

    def reshape(self, tensor: int, shape: Sequence[int], dtype: int = Type.FLOAT32) -> int:
        return reshape(self.graph, tensor, shape, dtype)

    def transpose(self, tensor: int, order: Sequence[int]) -> int:
        graph = self.graph
        shape = [int(graph.table.tensors[tensor].shape[i]) for i in order]
        return graph.op1(
            Op.TRANSPOSE,
            [tensor, graph.const("order", np.int32(order))],
            graph.tensor("transposed", shape),
            schema.TransposeOptionsT(),
        )

    def matmul(self, left: int, right: int, shape: Sequence[int]) -> int:
        options = schema.BatchMatMulOptionsT(adjY=True)
        output = self.graph.tensor("product", shape)
        return self.graph.op1(Op.BATCH_MATMUL, [left, right], output, options)


def reshape(graph: Graph, tensor: int, shape: Sequence[int], dtype: int = Type.FLOAT32) -> int:
    """Add RESHAPE to a constant shape and return its output."""
    operands = [tensor, graph.const("shape", np.int32(shape))]
    return graph.op1(Op.RESHAPE, operands, graph.tensor("reshaped", shape, dtype))


def share_vector(content: bytes, kept: tuple[int, int], moved: tuple[int, int]) -> bytes:
    """Let two tensors, each (subgraph, tensor), share the shape vector of the first."""
    model = schema.Model.GetRootAs(content)

    def field_and_vector(place: tuple[int, int]) -> tuple[int, int]:
        table = model.Subgraphs(place[0]).Tensors(place[1])._tab
        position = table.Pos + table.Offset(4)
        return position, table.Indirect(position)

    _, vector = field_and_vector(kept)
    position, _ = field_and_vector(moved)
    changed = bytearray(content)
    changed[position : position + 4] = np.uint32(vector - position).tobytes()
    return bytes(changed)


def move_outside(model: Model, index: int) -> bytes:
    """Return the file with the data of one buffer behind the flatbuffer."""
    buffer = model.table.buffers[index]
    data = bytes(bytearray(buffer.data))
    buffer.data, buffer.size = None, len(data)
    buffer.offset = 2  # keeps its place while the size of the flatbuffer is measured
    buffer.offset = -(-len(model.to_bytes()) // 16) * 16
    return model.to_bytes().ljust(buffer.offset, b"\0") + data
