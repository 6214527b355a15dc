"""Odd wiring and odd names: inputs that are outputs, constants, twins, orders."""

from __future__ import annotations

import numpy as np

from .builder import Graph, Model, Op, Type, add_model, schema


def _twice(graph: Graph, x: int) -> int:
    """Add y = 2 x over four values."""
    two = graph.const("k", np.float32([2]))
    return graph.op1(Op.MUL, [x, two], graph.tensor("y", [4]), schema.MulOptionsT())


def output_is_input() -> Model:
    """The output "same" is the input x; y is 2 x."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [4])
    y = _twice(graph, x)
    graph.io([x], [x, y])
    graph.signature({"x": x}, {"same": x, "y": y})
    return model


def only_passthrough() -> Model:
    """No operator at all: the output is the input."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [4])
    graph.serve({"x": x}, {"y": x})
    return model


def constant_output() -> Model:
    """The output c is a constant; y is 2 x."""
    model = Model()
    graph = model.graph()
    x, c = graph.tensor("x", [4]), graph.const("c", np.float32([1, 2, 3]))
    graph.serve({"x": x}, {"c": c, "y": _twice(graph, x)})
    return model


def output_twice() -> Model:
    """One tensor under two output names."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [4])
    y = _twice(graph, x)
    graph.serve({"x": x}, {"first": y, "second": y})
    return model


def unused_input() -> Model:
    """No operator reads the input "unused"."""
    model = Model()
    graph = model.graph()
    x, unused = graph.tensor("x", [4]), graph.tensor("unused", [7], Type.INT32)
    graph.serve({"x": x, "unused": unused}, {"y": _twice(graph, x)})
    return model


def no_inputs() -> Model:
    """A sum of two constants."""
    model = Model()
    graph = model.graph()
    terms = [graph.const("a", np.float32([1, 2])), graph.const("b", np.float32([10, 20]))]
    y = graph.op1(Op.ADD, terms, graph.tensor("y", [2]), schema.AddOptionsT())
    graph.serve({}, {"y": y})
    return model


def swapped_order() -> Model:
    """The signature names inputs and outputs in another order than the subgraph has them."""
    model = Model()
    graph = model.graph()
    a, b = graph.tensor("a", [2]), graph.tensor("b", [2])
    difference = graph.op1(Op.SUB, [a, b], graph.tensor("difference", [2]), schema.SubOptionsT())
    total = graph.op1(Op.ADD, [a, b], graph.tensor("total", [2]), schema.AddOptionsT())
    graph.io([a, b], [difference, total])
    graph.signature({"minus": b, "plus": a}, {"total": total, "difference": difference})
    return model


def many_io() -> Model:
    """Forty inputs and forty outputs: y[i] = x[i] + x[i + 1]."""
    model = Model()
    graph = model.graph()
    inputs = [graph.tensor(f"x{i:02d}", [2]) for i in range(40)]
    outputs = [
        graph.op1(
            Op.ADD,
            [inputs[i], inputs[(i + 1) % 40]],
            graph.tensor(f"y{i:02d}", [2]),
            schema.AddOptionsT(),
        )
        for i in range(40)
    ]
    graph.serve(
        {f"x{i:02d}": index for i, index in enumerate(inputs)},
        {f"y{i:02d}": index for i, index in enumerate(outputs)},
    )
    return model


def odd_names() -> Model:
    """Names with spaces, colons, slashes and letters beyond ASCII."""
    model = Model()
    graph = model.graph("main graph")
    x, y = graph.tensor("my input: 0", [2]), graph.tensor("größe/输入", [2])
    z = graph.op1(Op.ADD, [x, y], graph.tensor("résultat final", [2]), schema.AddOptionsT())
    graph.serve({"my input: 0": x, "größe/输入": y}, {"résultat final": z}, "ma signature é")
    return model


def empty_key() -> Model:
    """The signature's key is empty."""
    return add_model([2], key="")


def no_signature() -> Model:
    """z = x - y without a signature."""
    model = Model()
    graph = model.graph()
    x, y, z = (graph.tensor(name, [2, 3]) for name in "xyz")
    graph.op(Op.SUB, [x, y], [z], schema.SubOptionsT())
    graph.io([x, y], [z])
    return model


def no_signature_same_names() -> Model:
    """No signature; both inputs have one name, the output has an empty one."""
    model = Model()
    graph = model.graph()
    x, y = graph.tensor("t", [2]), graph.tensor("t", [2])
    z = graph.op1(Op.SUB, [x, y], graph.tensor("", [2]), schema.SubOptionsT())
    graph.io([x, y], [z])
    return model


MODELS = {
    make.__name__: make
    for make in (
        output_is_input,
        only_passthrough,
        constant_output,
        output_twice,
        unused_input,
        no_inputs,
        swapped_order,
        many_io,
        odd_names,
        empty_key,
        no_signature,
        no_signature_same_names,
    )
}
