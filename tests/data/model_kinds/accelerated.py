"""Models that accelerators take in part, or compute wrongly. Made by the tests that need them."""

from __future__ import annotations

import numpy as np
from flatbuffers import flexbuffers

from .builder import (
    RELU,
    SERVING_DEFAULT,
    Graph,
    Model,
    Op,
    Type,
    integers,
    normal,
    quantization,
    schema,
)


def large_conv() -> Model:
    """A 3x3 convolution that is large enough for Winograd: garbage where a GPU has no float16."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 32, 32, 64])
    graph.serve({"x": x}, {"y": _convolution(graph, x, 32, 64)})
    return model


def partly_float() -> Model:
    """A float convolution, and beside it a sum of int64, which no GPU takes."""
    model = Model()
    graph = model.graph()
    x, n = graph.tensor("x", [1, 16, 16, 8]), graph.tensor("n", [4], Type.INT64)
    y = _convolution(graph, x, 16, 8)
    some = graph.const("some", np.int64([1, 2, 3, 4]))
    output = graph.tensor("total", [4], Type.INT64)
    total = graph.op1(Op.ADD, [n, some], output, schema.AddOptionsT())
    graph.serve({"x": x, "n": n}, {"y": y, "total": total})
    return model


def conv_between_lrn() -> Model:
    """A convolution before and after a normalization that no GPU has."""
    model = Model()
    _serve_conv_between_lrn(model.graph())
    return model


def two_signatures() -> Model:
    """A signature of one convolution, "conv", and one as ``conv_between_lrn``, "lrn"."""
    model = Model()
    graph = model.graph("conv")
    x = graph.tensor("x", [1, 8, 8, 8])
    graph.serve({"x": x}, {"y": _convolution(graph, x, 8, 8)}, "conv")
    _serve_conv_between_lrn(model.graph("lrn"), "lrn")
    return model


def int64_beside_conv() -> Model:
    """A signature that no GPU takes, "sum", and one of a convolution, "conv"."""
    model = Model()
    graph = model.graph("sum")
    n, one = graph.tensor("n", [4], Type.INT64), graph.const("one", np.int64([1]))
    total = graph.tensor("total", [4], Type.INT64)
    graph.serve(
        {"n": n}, {"total": graph.op1(Op.ADD, [n, one], total, schema.AddOptionsT())}, "sum"
    )
    graph = model.graph("conv")
    x = graph.tensor("x", [1, 8, 8, 8])
    graph.serve({"x": x}, {"y": _convolution(graph, x, 8, 8)}, "conv")
    return model


def only_row() -> Model:
    """Row i of one row: it fails on most random values of i."""
    model = Model()
    graph = model.graph()
    i, rows = graph.tensor("i", [8], Type.INT32), graph.const("rows", normal(1, 3))
    y = graph.op1(Op.GATHER, [rows, i], graph.tensor("y", [8, 3]), schema.GatherOptionsT())
    graph.serve({"i": i}, {"y": y})
    return model


def rms_norm_composite() -> Model:
    """A composite that the GPU's delegate takes, and over which it ends the process."""
    model = Model()
    graph, body = model.graph(), model.graph("odml.rms_norm.impl")
    part = body.tensor("part", [1, 8])
    square = body.tensor("square", [1, 8])
    body.io([part], [body.op1(Op.MUL, [part, part], square, schema.MulOptionsT())])
    x = graph.tensor("x", [1, 8])
    y = graph.op1(Op.STABLEHLO_COMPOSITE, [x], graph.tensor("y", [1, 8]))
    operator = graph.table.operators[-1]
    operator.builtinOptions2Type = schema.BuiltinOptions2.StableHLOCompositeOptions
    operator.builtinOptions2 = schema.StableHLOCompositeOptionsT(
        name="odml.rms_norm",
        decompositionSubgraphIndex=body.index,
        compositeAttributes=list(flexbuffers.Dumps({"epsilon": 1e-6})),
    )
    graph.serve({"x": x}, {"y": y})
    return model


def int8_weights() -> Model:
    """A dense layer of int8 weights in float, after a mean: it does not compile for GPUs."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 4, 4, 8])
    mean = graph.op1(
        Op.MEAN,
        [x, graph.const("axes", np.int32([1, 2]))],
        graph.tensor("mean", [1, 8]),
        schema.ReducerOptionsT(keepDims=False),
    )
    packed = graph.const("w8", integers(-127, 127, 5, 8), quantization(np.full(5, 0.01)))
    weights = graph.op1(
        Op.DEQUANTIZE, [packed], graph.tensor("w", [5, 8]), schema.DequantizeOptionsT(), version=2
    )
    y = graph.dense([mean, weights, graph.const("b", normal(5))], graph.tensor("y", [1, 5]))
    graph.serve({"x": x}, {"y": y})
    return model


def _serve_conv_between_lrn(graph: Graph, key: str = SERVING_DEFAULT) -> None:
    x = graph.tensor("x", [1, 8, 8, 8])
    normalized = graph.op1(
        Op.LOCAL_RESPONSE_NORMALIZATION,
        [_convolution(graph, x, 8, 8)],
        graph.tensor("normalized", [1, 8, 8, 8]),
        schema.LocalResponseNormalizationOptionsT(radius=2, bias=1.0, alpha=0.5, beta=0.5),
    )
    graph.serve({"x": x}, {"y": _convolution(graph, normalized, 8, 8)}, key)


def _convolution(graph: Graph, x: int, size: int, num_channels: int) -> int:
    weights = graph.const("w", normal(num_channels, 3, 3, num_channels, seed=1) * np.float32(0.3))
    bias = graph.const("b", normal(num_channels, seed=2))
    return graph.op1(
        Op.CONV_2D,
        [x, weights, bias],
        graph.tensor("y", [1, size, size, num_channels]),
        schema.Conv2DOptionsT(strideW=1, strideH=1, fusedActivationFunction=RELU),
    )
