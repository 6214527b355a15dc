"""Quantized models: int8, uint8, int16 activations, weights of 16, 8, 4 and 2 bits."""

from __future__ import annotations

from functools import partial

import numpy as np

from .builder import (
    Model,
    Op,
    Type,
    integers,
    normal,
    pack_bits,
    quantization,
    schema,
)


def _quantized_add(dtype: int, zero_points: tuple[int, int, int], version: int) -> Model:
    model = Model()
    graph = model.graph()
    scales = (0.05, 0.1, 0.15)
    x, y, z = (
        graph.tensor(name, [1, 8], dtype, quantization(scale, zero_point))
        for name, scale, zero_point in zip("xyz", scales, zero_points, strict=True)
    )
    graph.op(Op.ADD, [x, y], [z], schema.AddOptionsT(), version=version)
    graph.serve({"x": x, "y": y}, {"z": z})
    return model


def int8_per_channel_conv() -> Model:
    """A convolution with one scale per output channel of its weights."""
    model = Model()
    graph = model.graph()
    image = graph.tensor("image", [1, 8, 8, 3], Type.INT8, quantization(0.02, -1))
    scales = np.float32([0.01, 0.02, 0.005, 0.03])
    weights = graph.const("w", integers(-127, 127, 4, 3, 3, 3), quantization(scales))
    bias = graph.const(
        "b", integers(-500, 500, 4, dtype=np.int32), quantization(scales * np.float32(0.02))
    )
    y = graph.op1(
        Op.CONV_2D,
        [image, weights, bias],
        graph.tensor("y", [1, 8, 8, 4], Type.INT8, quantization(0.2, 4)),
        schema.Conv2DOptionsT(strideW=1, strideH=1),
        version=3,
    )
    graph.serve({"image": image}, {"y": y})
    return model


def per_channel_io() -> Model:
    """Per-channel quantization on an input and on the output (axis 1), seen by introspection."""
    model = Model()
    graph = model.graph()
    per_channel = quantization([0.1, 0.2, 0.4], axis=1)
    x = graph.tensor("x", [2, 3], Type.INT8, per_channel)
    y = graph.op1(
        Op.RESHAPE,
        [x, graph.const("shape", np.int32([2, 3]))],
        graph.tensor("y", [2, 3], Type.INT8, per_channel),
        schema.ReshapeOptionsT(newShape=[2, 3]),
    )
    graph.serve({"x": x}, {"y": y})
    return model


def int16x8_dense() -> Model:
    """int16 activations, int8 weights, int64 bias."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 8], Type.INT16, quantization(0.001))
    weights = graph.const("w", integers(-127, 127, 4, 8), quantization(np.full(4, 0.02)))
    bias = graph.const(
        "b", integers(-900, 900, 4, dtype=np.int64), quantization(np.full(4, 0.00002))
    )
    y = graph.op1(
        Op.FULLY_CONNECTED,
        [x, weights, bias],
        graph.tensor("y", [1, 4], Type.INT16, quantization(0.002)),
        schema.FullyConnectedOptionsT(),
        version=11,
    )
    graph.serve({"x": x}, {"y": y})
    return model


def int8_dynamic_dense() -> Model:
    """int8 weights, float activations, quantized at run time."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 64])
    scales = quantization(np.linspace(0.01, 0.02, 16))
    weights = graph.const("w", integers(-127, 127, 16, 64), scales)
    y = graph.op1(
        Op.FULLY_CONNECTED,
        [x, weights, graph.const("b", normal(16))],
        graph.tensor("y", [1, 16]),
        schema.FullyConnectedOptionsT(asymmetricQuantizeInputs=True),
        version=9,
    )
    graph.serve({"x": x}, {"y": y})
    return model


def _packed_weights_dense(dtype: int, bits: int, version: int) -> Model:
    """float activations, weights of 2 or 4 bits."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 64])
    limit = 2 ** (bits - 1) - 1
    packed = pack_bits(integers(-limit, limit, 16, 64), bits)
    scales = quantization(np.linspace(0.1, 0.2, 16))
    weights = graph.const_bytes("w", packed, [16, 64], dtype, scales)
    y = graph.op1(
        Op.FULLY_CONNECTED,
        [x, weights, graph.const("b", normal(16))],
        graph.tensor("y", [1, 16]),
        schema.FullyConnectedOptionsT(),
        version=version,
    )
    graph.serve({"x": x}, {"y": y})
    return model


def float16_weights_dense() -> Model:
    """float16 weights, dequantized before the layer."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 8])
    half = graph.const("w16", normal(4, 8).astype(np.float16))
    weights = graph.op1(
        Op.DEQUANTIZE, [half], graph.tensor("w", [4, 8]), schema.DequantizeOptionsT(), version=3
    )
    bias = graph.const("b", normal(4, seed=1))
    y = graph.dense([x, weights, bias], graph.tensor("y", [1, 4]))
    graph.serve({"x": x}, {"y": y})
    return model


def quantize_dequantize() -> Model:
    """q = x in int8, y = q back in float32."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [2, 3])
    q = graph.op1(
        Op.QUANTIZE,
        [x],
        graph.tensor("q", [2, 3], Type.INT8, quantization(0.05, 7)),
        schema.QuantizeOptionsT(),
    )
    y = graph.op1(
        Op.DEQUANTIZE, [q], graph.tensor("y", [2, 3]), schema.DequantizeOptionsT(), version=2
    )
    graph.serve({"x": x}, {"q": q, "y": y})
    return model


MODELS = {
    make.__name__: make
    for make in (
        int8_per_channel_conv,
        per_channel_io,
        int16x8_dense,
        int8_dynamic_dense,
        float16_weights_dense,
        quantize_dequantize,
    )
} | {
    "int8_add": partial(_quantized_add, Type.INT8, (3, -5, 1), version=2),
    "uint8_add": partial(_quantized_add, Type.UINT8, (131, 120, 128), version=1),
    "int4_weights_dense": partial(_packed_weights_dense, Type.INT4, bits=4, version=12),
    "int2_weights_dense": partial(_packed_weights_dense, Type.INT2, bits=2, version=14),
}
