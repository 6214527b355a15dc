"""Plain models: what most programs run."""

from __future__ import annotations

import numpy as np

from .builder import RELU, RELU6, Model, Op, add_model, normal, schema


def add() -> Model:
    """Two signatures over two subgraphs: "add" gives x + y, "scale" gives 2.5 x."""
    model = Model()
    graph = model.graph("add")
    x, y = graph.tensor("x", [1, 4]), graph.tensor("y", [1, 4])
    total = graph.op1(Op.ADD, [x, y], graph.tensor("sum", [1, 4]), schema.AddOptionsT())
    graph.serve({"x": x, "y": y}, {"sum": total}, "add")
    graph = model.graph("scale")
    x = graph.tensor("scale_x", [1, 4])
    scaled = graph.op1(
        Op.MUL,
        [x, graph.const("factor", np.float32([2.5]))],
        graph.tensor("scaled", [1, 4]),
        schema.MulOptionsT(),
    )
    graph.serve({"x": x}, {"scaled": scaled}, "scale")
    return model


def mlp() -> Model:
    """Two dense layers and a softmax."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 8])
    weights = graph.const("w1", normal(16, 8, seed=1)), graph.const("b1", normal(16, seed=2))
    hidden = graph.dense([x, *weights], graph.tensor("h", [1, 16]), RELU)
    weights = graph.const("w2", normal(3, 16, seed=3)), graph.const("b2", normal(3, seed=4))
    logits = graph.dense([hidden, *weights], graph.tensor("logits", [1, 3]))
    probs = graph.op1(
        Op.SOFTMAX, [logits], graph.tensor("probs", [1, 3]), schema.SoftmaxOptionsT(beta=1.0)
    )
    graph.serve({"x": x}, {"probs": probs})
    return model


def conv() -> Model:
    """Two convolutions and a pool: XNNPACK takes it all."""
    model = Model()
    graph = model.graph()
    image = graph.tensor("image", [1, 16, 16, 3])
    weights = graph.const("w1", normal(8, 3, 3, 3, seed=1)), graph.const("b1", normal(8, seed=2))
    hidden = graph.op1(
        Op.CONV_2D,
        [image, *weights],
        graph.tensor("h1", [1, 8, 8, 8]),
        schema.Conv2DOptionsT(strideW=2, strideH=2, fusedActivationFunction=RELU6),
    )
    weights = graph.const("w2", normal(1, 3, 3, 8, seed=3)), graph.const("b2", normal(8, seed=4))
    hidden = graph.op1(
        Op.DEPTHWISE_CONV_2D,
        [hidden, *weights],
        graph.tensor("h2", [1, 8, 8, 8]),
        schema.DepthwiseConv2DOptionsT(
            strideW=1, strideH=1, depthMultiplier=1, fusedActivationFunction=RELU6
        ),
    )
    features = graph.op1(
        Op.MEAN,
        [hidden, graph.const("axes", np.int32([1, 2]))],
        graph.tensor("features", [1, 8]),
        schema.ReducerOptionsT(keepDims=False),
    )
    graph.serve({"image": image}, {"features": features})
    return model


def shared_weights() -> Model:
    """Signatures "one" and "four" (batch 1 and 4) over one weight buffer."""
    model = Model()
    weights = model.buffer(normal(6, 5, seed=1).tobytes())
    bias = model.buffer(normal(6, seed=2).tobytes())
    for key, batch in (("one", 1), ("four", 4)):
        graph = model.graph(key)
        x = graph.tensor(f"{key}_x", [batch, 5])
        w, b = graph.tensor("w", [6, 5], buffer=weights), graph.tensor("b", [6], buffer=bias)
        y = graph.dense([x, w, b], graph.tensor(f"{key}_y", [batch, 6]))
        graph.serve({"x": x}, {"y": y}, key)
    return model


def embedding_argmax() -> Model:
    """ids int32 -> rows of a table, and the argmax of their sum as int64."""
    model = Model()
    graph = model.graph()
    ids = graph.tensor("ids", [1, 4], schema.TensorType.INT32)
    rows = graph.op1(
        Op.GATHER,
        [graph.const("table", normal(32, 8)), ids],
        graph.tensor("embeddings", [1, 4, 8]),
        schema.GatherOptionsT(axis=0),
    )
    total = graph.op1(
        Op.SUM,
        [rows, graph.const("axes", np.int32([1]))],
        graph.tensor("total", [1, 8]),
        schema.ReducerOptionsT(),
    )
    largest = graph.op1(
        Op.ARG_MAX,
        [total, graph.const("axis", np.int32(1))],
        graph.tensor("argmax", [1], schema.TensorType.INT64),
        schema.ArgMaxOptionsT(outputType=schema.TensorType.INT64),
    )
    graph.serve({"ids": ids}, {"embeddings": rows, "argmax": largest})
    return model


def metadata() -> Model:
    """Four metadata entries: a version, text, every byte, nothing."""
    model = add_model([2])
    model.metadata("min_runtime_version", b"1.5.0".ljust(16, b"\0"))
    model.metadata("labels", "cat\ndog\n鳥\n".encode())
    model.metadata("binary", bytes(range(256)))
    model.metadata("empty", b"")
    return model


def custom_op() -> Model:
    """An operator that no runtime knows: loading must fail with its name."""
    model = Model()
    graph = model.graph()
    x, y = graph.tensor("x", [4]), graph.tensor("y", [4])
    graph.op(Op.CUSTOM, [x], [y], custom="LitertTestUnknownOp", custom_options=b"\x01\x02")
    graph.serve({"x": x}, {"y": y})
    return model


MODELS = {
    make.__name__: make
    for make in (add, mlp, conv, shared_weights, embedding_argmax, metadata, custom_op)
}
