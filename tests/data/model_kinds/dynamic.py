"""Shapes that are open: by the caller's input, by a computed shape, by the data."""

from __future__ import annotations

from functools import partial

import numpy as np

from .builder import Graph, Model, Op, Type, normal, quantization, schema


def dynamic_batch() -> Model:
    """A dense layer over an open batch."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 4], signature=[-1, 4])
    weights = graph.const("w", normal(3, 4)), graph.const("b", normal(3, seed=1))
    y = graph.dense([x, *weights], graph.tensor("y", [1, 3], signature=[-1, 3]))
    graph.serve({"x": x}, {"y": y})
    return model


def dynamic_batch_no_has_rank() -> Model:
    """An open batch without the schema's has_rank flag, as older converters write it."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 4], signature=[-1, 4], has_rank=False)
    y = graph.op1(
        Op.MUL,
        [x, graph.const("k", np.float32([3]))],
        graph.tensor("y", [1, 4], signature=[-1, 4], has_rank=False),
        schema.MulOptionsT(),
    )
    graph.serve({"x": x}, {"y": y})
    return model


def dynamic_rank1() -> Model:
    """z = x + y over an open length."""
    model = Model()
    graph = model.graph()
    x, y = (graph.tensor(name, [1], signature=[-1]) for name in "xy")
    z = graph.op1(Op.ADD, [x, y], graph.tensor("z", [1], signature=[-1]), schema.AddOptionsT())
    graph.serve({"x": x, "y": y}, {"z": z})
    return model


def dynamic_two_dims() -> Model:
    """y = 3 x and z = y summed over the second of two open dimensions."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 1, 2], signature=[-1, -1, 2])
    y = graph.op1(
        Op.MUL,
        [x, graph.const("k", np.float32([3]))],
        graph.tensor("y", [1, 1, 2], signature=[-1, -1, 2]),
        schema.MulOptionsT(),
    )
    z = graph.op1(
        Op.SUM,
        [y, graph.const("axes", np.int32([1]))],
        graph.tensor("z", [1, 2], signature=[-1, 2]),
        schema.ReducerOptionsT(keepDims=False),
    )
    graph.serve({"x": x}, {"y": y, "z": z})
    return model


def _batch_of(graph: Graph, x: int) -> int:
    """Add the first dimension of the rank 2 tensor x, computed while running."""
    shape = graph.op1(
        Op.SHAPE,
        [x],
        graph.tensor("shape", [2], Type.INT32),
        schema.ShapeOptionsT(outType=Type.INT32),
    )
    first = [graph.const(f"c{i}", np.int32([i])) for i in (0, 1)]
    return graph.op1(
        Op.STRIDED_SLICE,
        [shape, *first, graph.const("step", np.int32([1]))],
        graph.tensor("batch", [], Type.INT32),
        schema.StridedSliceOptionsT(shrinkAxisMask=1),
    )


def _computed_reshape(then: str = "") -> Model:
    """x [-1, 4] -> 3 x as [-1, 2, 2] with a computed shape, then perhaps one more operator."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 4], signature=[-1, 4])
    hidden = graph.op1(
        Op.MUL,
        [x, graph.const("k", np.float32([3]))],
        graph.tensor("h", [1, 4], signature=[-1, 4]),
        schema.MulOptionsT(),
    )
    batch = _batch_of(graph, hidden)
    two = graph.const("two", np.int32(2))
    new_shape = graph.op1(
        Op.PACK,
        [batch, two, two],
        graph.tensor("new_shape", [3], Type.INT32),
        schema.PackOptionsT(valuesCount=3),
    )
    y = graph.op1(
        Op.RESHAPE,
        [hidden, new_shape],
        graph.tensor("r" if then else "y", [1, 2, 2], signature=[-1, 2, 2]),
        schema.ReshapeOptionsT(),
    )
    if then == "cast":
        y = graph.op1(
            Op.CAST,
            [y],
            graph.tensor("y", [1, 2, 2], Type.INT32, signature=[-1, 2, 2]),
            schema.CastOptionsT(inDataType=Type.FLOAT32, outDataType=Type.INT32),
        )
    elif then == "mul":
        y = graph.op1(
            Op.MUL,
            [y, graph.const("k2", np.float32([0.5]))],
            graph.tensor("y", [1, 2, 2], signature=[-1, 2, 2]),
            schema.MulOptionsT(),
        )
    graph.serve({"x": x}, {"y": y})
    return model


def dynamic_batch_stale_shape() -> Model:
    """int8 inside; the output's shape comes from the SHAPE of a reshaped tensor.

    After a resize the runtime still tells the old output shape, and a run writes the new
    size: into a buffer of the told size it writes past the end. Give it large buffers.
    """
    model = Model()
    graph = model.graph()
    q = quantization(0.05, 3)
    image, open_image, flat, open_flat = [1, 2, 2, 1], [-1, 2, 2, 1], [1, 4], [-1, 4]
    x = graph.tensor("x", image, signature=open_image)
    hidden = graph.op1(
        Op.QUANTIZE,
        [x],
        graph.tensor("h", image, Type.INT8, q, signature=open_image),
        schema.QuantizeOptionsT(),
    )
    hidden = graph.op1(
        Op.RESHAPE,
        [hidden, graph.const("flat", np.int32(open_flat))],
        graph.tensor("h2", flat, Type.INT8, q, signature=open_flat),
        schema.ReshapeOptionsT(newShape=open_flat),
    )
    batch = _batch_of(graph, hidden)
    two, one = graph.const("two", np.int32(2)), graph.const("one", np.int32(1))
    new_shape = graph.op1(
        Op.PACK,
        [batch, two, two, one],
        graph.tensor("new_shape", [4], Type.INT32),
        schema.PackOptionsT(valuesCount=4),
    )
    back = graph.op1(
        Op.RESHAPE,
        [hidden, new_shape],
        graph.tensor("r", image, Type.INT8, q, signature=open_image),
        schema.ReshapeOptionsT(),
    )
    y = graph.op1(
        Op.DEQUANTIZE,
        [back],
        graph.tensor("y", image, signature=open_image),
        schema.DequantizeOptionsT(),
        version=2,
    )
    graph.serve({"x": x}, {"y": y})
    return model


def where_dynamic() -> Model:
    """The indices of the true values: as many as there are."""
    model = Model()
    graph = model.graph()
    mask = graph.tensor("mask", [6], Type.BOOL)
    indices = graph.tensor("indices", [0, 1], Type.INT64, signature=[-1, 1])
    graph.op(Op.WHERE, [mask], [indices], schema.WhereOptionsT())
    graph.serve({"mask": mask}, {"indices": indices})
    return model


def unique_dynamic() -> Model:
    """The distinct values of x, and which of them each value is."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [6], Type.INT32)
    values = graph.tensor("values", [0], Type.INT32, signature=[-1])
    index = graph.tensor("index", [6], Type.INT32)
    graph.op(Op.UNIQUE, [x], [values, index], schema.UniqueOptionsT(idxOutType=Type.INT32))
    graph.serve({"x": x}, {"values": values, "index": index})
    return model


def range_dynamic() -> Model:
    """The integers from start to limit by delta."""
    model = Model()
    graph = model.graph()
    inputs = {name: graph.tensor(name, [], Type.INT32) for name in ("start", "limit", "delta")}
    values = graph.tensor("values", [0], Type.INT32, signature=[-1])
    graph.op(Op.RANGE, list(inputs.values()), [values], schema.RangeOptionsT())
    graph.serve(inputs, {"values": values})
    return model


def tile_dynamic() -> Model:
    """x, as many times as the input says."""
    model = Model()
    graph = model.graph()
    x, times = graph.tensor("x", [2]), graph.tensor("times", [1], Type.INT32)
    y = graph.tensor("y", [0], signature=[-1])
    graph.op(Op.TILE, [x, times], [y], schema.TileOptionsT())
    graph.serve({"x": x, "times": times}, {"y": y})
    return model


def nms_v4() -> Model:
    """Non-maximum suppression: the number of valid values is an output of its own."""
    model = Model()
    graph = model.graph()
    boxes, scores = graph.tensor("boxes", [6, 4]), graph.tensor("scores", [6])
    limits = [
        graph.const("max_size", np.int32(4)),
        graph.const("iou", np.float32(0.5)),
        graph.const("score", np.float32(-9.0)),
    ]
    selected = graph.tensor("selected", [4], Type.INT32)
    count = graph.tensor("count", [], Type.INT32)
    graph.op(
        Op.NON_MAX_SUPPRESSION_V4,
        [boxes, scores, *limits],
        [selected, count],
        schema.NonMaxSuppressionV4OptionsT(),
    )
    graph.serve({"boxes": boxes, "scores": scores}, {"selected": selected, "count": count})
    return model


MODELS = {
    make.__name__: make
    for make in (
        dynamic_batch,
        dynamic_batch_no_has_rank,
        dynamic_rank1,
        dynamic_two_dims,
        dynamic_batch_stale_shape,
        where_dynamic,
        unique_dynamic,
        range_dynamic,
        tile_dynamic,
        nms_v4,
    )
} | {
    # The RESHAPE gives the output; a MUL (of a delegate), a CAST (a builtin kernel) follows it.
    "dynamic_batch_reshape": _computed_reshape,
    "dynamic_batch_reshape_mul": partial(_computed_reshape, "mul"),
    "dynamic_batch_reshape_cast": partial(_computed_reshape, "cast"),
}
