"""Files that must be refused, each with an error of its own."""

from __future__ import annotations

import numpy as np

from .basic import add, mlp
from .builder import Model, Op, add_model, random, schema


def empty() -> bytes:
    """No byte at all."""
    return b""


def garbage() -> bytes:
    """Random bytes."""
    return random(7).bytes(1000)


def text() -> bytes:
    """A text file."""
    return b"this is not a model\n" * 20


def truncated() -> bytes:
    """The first 400 bytes of a valid model."""
    return mlp().to_bytes()[:400]


def no_identifier() -> bytes:
    """A valid model with another file identifier."""
    data = add().to_bytes()
    return data[:4] + b"XXXX" + data[8:]


def bad_signature_index() -> bytes:
    """A signature that names a tensor which is not there."""
    model = add_model([2])
    model.table.signatureDefs[0].inputs[0].tensorIndex = 99
    return model.to_bytes()


def bad_operator_input() -> bytes:
    """An operator that reads a tensor which is not there."""
    model = add_model([2])
    model.table.subgraphs[0].operators[0].inputs = np.int32([0, 1000])
    return model.to_bytes()


def bad_schema_version() -> bytes:
    """A schema version of the future."""
    model = add()
    model.table.version = 99
    return model.to_bytes()


def unknown_op_version() -> bytes:
    """An operator version of the future."""
    return add_model([2], version=99).to_bytes()


def incompatible_shapes() -> bytes:
    """ADD of [2] and [3]: loads, cannot be prepared."""
    model = Model()
    graph = model.graph()
    x, y, z = graph.tensor("x", [2]), graph.tensor("y", [3]), graph.tensor("z", [3])
    graph.op(Op.ADD, [x, y], [z], schema.AddOptionsT())
    graph.serve({"x": x, "y": y}, {"z": z})
    return model.to_bytes()


FILES = {
    f"invalid_{make.__name__}": make
    for make in (
        empty,
        garbage,
        text,
        truncated,
        no_identifier,
        bad_signature_index,
        bad_operator_input,
        bad_schema_version,
        unknown_op_version,
        incompatible_shapes,
    )
}
