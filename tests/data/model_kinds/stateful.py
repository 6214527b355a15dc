"""Control flow and state: loops, branches, variables, a cache."""

from __future__ import annotations

import numpy as np

from .builder import Graph, Model, Op, Type, normal, schema


def while_loop() -> Model:
    """i, x -> while i < 10: i += 1, x *= 2."""
    model = Model()
    graph, cond, body = (model.graph(name) for name in ("main", "cond", "body"))
    i, x = graph.tensor("i", [1], Type.INT32), graph.tensor("x", [3])
    i_out, x_out = graph.tensor("i_out", [1], Type.INT32), graph.tensor("x_out", [3])
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    graph.op(Op.WHILE, [i, x], [i_out, x_out], options)
    graph.serve({"i": i, "x": x}, {"i_out": i_out, "x_out": x_out})

    i, x = cond.tensor("i", [1], Type.INT32), cond.tensor("x", [3])
    limit = cond.const("n", np.int32([10]))
    go_on = cond.op1(Op.LESS, [i, limit], cond.tensor("c", [1], Type.BOOL), schema.LessOptionsT())
    cond.io([i, x], [go_on])

    i, x = body.tensor("i", [1], Type.INT32), body.tensor("x", [3])
    one = body.const("one", np.int32([1]))
    i_next = body.op1(Op.ADD, [i, one], body.tensor("i2", [1], Type.INT32), schema.AddOptionsT())
    two = body.const("two", np.float32([2]))
    x_next = body.op1(Op.MUL, [x, two], body.tensor("x2", [3]), schema.MulOptionsT())
    body.io([i, x], [i_next, x_next])
    return model


def slow_loop() -> Model:
    """n times x = tanh(x @ W), 128 wide: as slow as a test needs it. n is an input."""
    model = Model()
    shape = [32, 128]
    graph, cond, body = (model.graph(name) for name in ("main", "cond", "body"))
    n, x = graph.tensor("n", [1], Type.INT32), graph.tensor("x", shape)
    n_out, y = graph.tensor("n_out", [1], Type.INT32), graph.tensor("y", shape)
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    graph.op(Op.WHILE, [n, x], [n_out, y], options)
    graph.serve({"n": n, "x": x}, {"n_out": n_out, "y": y})

    i, x = cond.tensor("i", [1], Type.INT32), cond.tensor("x", shape)
    zero = cond.const("zero", np.int32([0]))
    go_on = cond.op1(
        Op.GREATER, [i, zero], cond.tensor("c", [1], Type.BOOL), schema.GreaterOptionsT()
    )
    cond.io([i, x], [go_on])

    i, x = body.tensor("i", [1], Type.INT32), body.tensor("x", shape)
    one = body.const("one", np.int32([1]))
    i_next = body.op1(Op.SUB, [i, one], body.tensor("i2", [1], Type.INT32), schema.SubOptionsT())
    # Divided by about sqrt(128), so that the values do not saturate (they decay with n).
    weights = (normal(128, 128) / 12).astype(np.float32)
    bias = np.zeros(128, np.float32)
    layer = [x, body.const("w", weights), body.const("b", bias)]
    hidden = body.dense(layer, body.tensor("h", shape))
    x_next = body.op1(Op.TANH, [hidden], body.tensor("x2", shape))
    body.io([i, x], [i_next, x_next])
    return model


def if_else() -> Model:
    """c ? 10 x : -x."""
    model = Model()
    graph, then, otherwise = (model.graph(name) for name in ("main", "then", "else"))
    c, x, y = graph.tensor("c", [1], Type.BOOL), graph.tensor("x", [3]), graph.tensor("y", [3])
    graph.op(Op.IF, [c, x], [y], schema.IfOptionsT(thenSubgraphIndex=1, elseSubgraphIndex=2))
    graph.serve({"c": c, "x": x}, {"y": y})
    for branch, factor in ((then, 10.0), (otherwise, -1.0)):
        x = branch.tensor("x", [3])
        k = branch.const("k", np.float32([factor]))
        y = branch.op1(Op.MUL, [x, k], branch.tensor("y", [3]), schema.MulOptionsT())
        branch.io([x], [y])
    return model


def _variable(graph: Graph) -> int:
    """Add the handle of the resource variable "total"."""
    handle = graph.tensor("handle", [], Type.RESOURCE)
    return graph.op1(
        Op.VAR_HANDLE, [], handle, schema.VarHandleOptionsT(container="", sharedName="total")
    )


def counter_variable() -> Model:
    """A resource variable: "add" accumulates x and gives the total, "reset" assigns x."""
    model = Model()
    add, init, reset = (model.graph(name) for name in ("add", "init", "reset"))
    x = add.tensor("x", [2])
    add.op(Op.CALL_ONCE, [], [], schema.CallOnceOptionsT(initSubgraphIndex=1))
    handle = _variable(add)
    old = add.op1(Op.READ_VARIABLE, [handle], add.tensor("old", [2]), schema.ReadVariableOptionsT())
    total = add.op1(Op.ADD, [old, x], add.tensor("total", [2]), schema.AddOptionsT())
    add.op(Op.ASSIGN_VARIABLE, [handle, total], [], schema.AssignVariableOptionsT())
    add.serve({"x": x}, {"total": total}, "add")

    handle = _variable(init)
    zero = init.const("zero", np.zeros(2, np.float32))
    init.op(Op.ASSIGN_VARIABLE, [handle, zero], [], schema.AssignVariableOptionsT())
    init.io([], [])

    x = reset.tensor("x", [2])
    handle = _variable(reset)
    reset.op(Op.ASSIGN_VARIABLE, [handle, x], [], schema.AssignVariableOptionsT())
    value = reset.op1(
        Op.READ_VARIABLE, [handle], reset.tensor("value", [2]), schema.ReadVariableOptionsT()
    )
    reset.serve({"x": x}, {"value": value}, "reset")
    return model


def svdf_state() -> Model:
    """SVDF keeps an is_variable tensor between runs."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [1, 4])
    state = graph.tensor("state", [1, 2 * 5], is_variable=True)
    features = graph.const("wf", normal(2, 4, seed=1))
    times = graph.const("wt", normal(2, 5, seed=2))
    no_bias = -1
    y = graph.op1(
        Op.SVDF,
        [x, features, times, no_bias, state],
        graph.tensor("y", [1, 2]),
        schema.SVDFOptionsT(rank=1),
    )
    graph.serve({"x": x}, {"y": y})
    return model


def kv_step() -> Model:
    """A decode-like step with a cache as input and output: cache[:, pos] = x, y = sum(cache)."""
    model = Model()
    graph = model.graph()
    x, pos = graph.tensor("x", [1, 1, 8]), graph.tensor("pos", [1], Type.INT32)
    cache = graph.tensor("kv_cache", [1, 16, 8])
    zero = graph.const("zero", np.int32([0]))
    start = graph.op1(
        Op.CONCATENATION,
        [zero, pos, zero],
        graph.tensor("start", [3], Type.INT32),
        schema.ConcatenationOptionsT(axis=0),
    )
    new_cache = graph.op1(
        Op.DYNAMIC_UPDATE_SLICE,
        [cache, x, start],
        graph.tensor("kv_cache_out", [1, 16, 8]),
        schema.DynamicUpdateSliceOptionsT(),
    )
    y = graph.op1(
        Op.SUM,
        [new_cache, graph.const("axes", np.int32([1]))],
        graph.tensor("y", [1, 8]),
        schema.ReducerOptionsT(keepDims=False),
    )
    graph.serve({"x": x, "pos": pos, "kv_cache": cache}, {"kv_cache": new_cache, "y": y}, "decode")
    return model


MODELS = {
    make.__name__: make
    for make in (while_loop, slow_loop, if_else, counter_variable, svdf_state, kv_step)
}
