"""Every element type and every rank: a copy, a cast, and arithmetic where a kernel exists."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .builder import TYPES, Model, Op, Type, add_model, pack_strings, schema

Make = Callable[[], Model]

# Operator and options by type; a comparison of strings gives bool.
_ELEMENTWISE: dict[str, tuple[int, Any]] = {
    "bool": (Op.LOGICAL_AND, schema.LogicalAndOptionsT),
    "int8": (Op.BITWISE_XOR, schema.BitwiseXorOptionsT),
    "int16": (Op.BITWISE_XOR, schema.BitwiseXorOptionsT),
    "int32": (Op.ADD, schema.AddOptionsT),
    "int64": (Op.ADD, schema.AddOptionsT),
    "uint8": (Op.BITWISE_XOR, schema.BitwiseXorOptionsT),
    "uint16": (Op.BITWISE_XOR, schema.BitwiseXorOptionsT),
    "uint32": (Op.BITWISE_XOR, schema.BitwiseXorOptionsT),
    "uint64": (Op.STABLEHLO_ADD, None),
    "float16": (Op.ADD, schema.AddOptionsT),
    "bfloat16": (Op.ADD, schema.AddOptionsT),
    "float32": (Op.SUB, schema.SubOptionsT),
    "float64": (Op.STABLEHLO_ADD, None),
    "complex64": (Op.MUL, schema.MulOptionsT),
    "string": (Op.EQUAL, schema.EqualOptionsT),
}


def copy(dtype: int) -> Model:
    """Reshape x [2, 3] to y [3, 2]."""
    model = Model()
    graph = model.graph()
    x = graph.tensor("x", [2, 3], dtype)
    y = graph.op1(
        Op.RESHAPE,
        [x, graph.const("shape", np.int32([3, 2]))],
        graph.tensor("y", [3, 2], dtype),
        schema.ReshapeOptionsT(newShape=[3, 2]),
    )
    graph.serve({"x": x}, {"y": y})
    return model


def elementwise(name: str) -> Model:
    """Combine x and y [2, 3] with the type's own operator."""
    code, options = _ELEMENTWISE[name]
    dtype = TYPES[name]
    model = Model()
    graph = model.graph()
    x, y = graph.tensor("x", [2, 3], dtype), graph.tensor("y", [2, 3], dtype)
    z = graph.tensor("z", [2, 3], Type.BOOL if name == "string" else dtype)
    graph.op(code, [x, y], [z], options and options())
    graph.serve({"x": x, "y": y}, {"z": z})
    return model


def cast(source: int, target: int, shape: tuple[int, ...] = (2, 3)) -> Model:
    """Convert x to another type."""
    model = Model()
    graph = model.graph()
    x, y = graph.tensor("x", shape, source), graph.tensor("y", shape, target)
    options = schema.CastOptionsT(inDataType=source, outDataType=target)
    graph.op(Op.CAST, [x], [y], options)
    graph.serve({"x": x}, {"y": y})
    return model


def string_lookup() -> Model:
    """ids -> strings from a constant table (string output)."""
    model = Model()
    graph = model.graph()
    ids = graph.tensor("ids", [3], Type.INT32)
    words = pack_strings([b"zero", b"", "zwölf".encode(), b"three"])
    table = graph.const_bytes("table", words, [4], Type.STRING)
    y = graph.op1(
        Op.GATHER,
        [table, ids],
        graph.tensor("words", [3], Type.STRING),
        schema.GatherOptionsT(axis=0),
    )
    graph.serve({"ids": ids}, {"words": y})
    return model


def _by_type() -> dict[str, Make]:
    models: dict[str, Make] = {}
    for name, dtype in TYPES.items():
        models[f"copy_{name}"] = partial(copy, dtype)
        if name in _ELEMENTWISE:
            models[f"elementwise_{name}"] = partial(elementwise, name)
        if name not in ("float32", "string", "complex128"):
            models[f"cast_float32_to_{name}"] = partial(cast, Type.FLOAT32, dtype)
            models[f"cast_{name}_to_float32"] = partial(cast, dtype, Type.FLOAT32)
    return models


def _by_rank() -> dict[str, Make]:
    shape = [2, 1, 3, 2, 1, 2, 1, 2]
    models: dict[str, Make] = {f"rank{rank}": partial(add_model, shape[:rank]) for rank in range(9)}
    models["rank9"] = partial(add_model, [1] * 9)
    models["zero_size"] = partial(add_model, [0, 3])
    models["zero_size_cast"] = partial(cast, Type.FLOAT32, Type.INT32, (2, 0))
    return models


MODELS: dict[str, Make] = {**_by_type(), **_by_rank(), "string_lookup": string_lookup}
