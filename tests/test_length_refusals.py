"""Graphs whose context length cannot be changed, or only where everybody agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("litert._native", reason="needs the extension module")
pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema and the Interpreter")

from data.model_kinds.attention import (
    LENGTH,
    Attention,
    attention,
    move_outside,
    reshape,
    share_vector,
)
from data.model_kinds.builder import Graph, Model, Op, schema
from length_plans import Ports, generate, plan_of, ports_of, rewritten
from litert._native import LengthPlan

# --- graphs that are not understood ---


def operator(
    code: int, options: Any = None, second: npt.NDArray[Any] | None = None
) -> Callable[[Graph, int], int]:
    """Return a change that adds an operator whose result has the shape of its operand."""

    def change(graph: Graph, tensor: int) -> int:
        operands = [tensor] if second is None else [tensor, graph.const("second", second)]
        shape = graph.table.tensors[tensor].shape
        return graph.op1(code, operands, graph.tensor("changed", shape), options)

    return change


def sliced(begin: int) -> Callable[[Graph, int], int]:
    """Return a change that takes half of the slots and repeats them."""

    def change(graph: Graph, tensor: int) -> int:
        *outer, width = (int(size) for size in graph.table.tensors[tensor].shape[[0, 1, 3]])
        half = [*outer, LENGTH // 2, width]
        starts = graph.const("begin", np.int32([0, 0, begin, 0]))
        operands = [tensor, starts, graph.const("size", np.int32(half))]
        part = graph.op1(Op.SLICE, operands, graph.tensor("part", half), schema.SliceOptionsT())
        return graph.op1(
            Op.CONCATENATION,
            [part, part],
            graph.tensor("whole", [*outer, LENGTH, width]),
            schema.ConcatenationOptionsT(axis=2),
        )

    return change


def sliced_whole(graph: Graph, tensor: int) -> int:
    """Take all of the slots by constants."""
    shape = graph.table.tensors[tensor].shape
    operands = [tensor, graph.const("begin", np.int32([0] * 4)), graph.const("size", shape)]
    return graph.op1(Op.SLICE, operands, graph.tensor("part", shape), schema.SliceOptionsT())


def merged(graph: Graph, tensor: int) -> int:
    """Merge the slots with another dimension and split them again."""
    shape = [int(size) for size in graph.table.tensors[tensor].shape]
    return reshape(graph, reshape(graph, tensor, [shape[2] * shape[3]]), shape)


def activated(graph: Graph, tensor: int) -> int:
    """Add 0 and clip at 0, which shows what a mask has hidden."""
    shape = graph.table.tensors[tensor].shape
    options = schema.AddOptionsT(fusedActivationFunction=schema.ActivationFunctionType.RELU)
    zero = graph.const("zero", np.float32(0))
    return graph.op1(Op.ADD, [tensor, zero], graph.tensor("changed", shape), options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Attention(changes={"keys": sliced(0)}), "code 65"),
        (Attention(changes={"keys": sliced(1)}), "code 65"),
        (Attention(changes={"keys": merged}), "code 22"),
        (Attention(changes={"scores": operator(Op.CUMSUM, None, np.int32(3))}), "code 128"),
        (Attention(changes={"keys": operator(Op.REVERSE_V2, None, np.int32([2]))}), "code 105"),
        (Attention(changes={"masked": activated}), "made zero"),
        (Attention(changes={"weights": operator(Op.EXP)}), "made zero"),
        (Attention(mask="none"), "made zero"),
        (Attention(has_softmax=False), "made zero"),
        (Attention(length=1), "context of 1"),
    ],
    ids=[
        "first_half",
        "part",
        "merged",
        "cumulated",
        "reversed",
        "shown_again",
        "weights_not_zero",
        "no_mask",
        "no_softmax",
        "length_1",
    ],
)
def test_graph_that_cannot_be_followed_is_fixed(options: Attention, reason: str) -> None:
    content = attention(options).to_bytes()
    plan = plan_of(content, options.length)
    assert plan.use == "fixed"
    assert reason in plan.reason
    assert (plan.max_length, plan.num_places) == (options.length, 0)


def test_slice_of_everything_is_followed() -> None:
    content = attention(Attention(changes={"keys": sliced_whole})).to_bytes()
    assert plan_of(content).use == "rewritable"
    np.testing.assert_array_equal(
        generate(rewritten(content, LENGTH, 16), 16, prefill="prefill_4"),
        generate(content, LENGTH, prefill="prefill_4"),
    )


def test_table_that_hides_nothing_is_fixed() -> None:
    model = attention(Attention(mask="table"))
    model.table.buffers[1].data = np.zeros(LENGTH * LENGTH * 4, np.uint8)
    plan = plan_of(model.to_bytes())
    assert (plan.use, "made zero" in plan.reason) == ("fixed", True)


def test_output_with_the_context_is_fixed() -> None:
    def to_outputs(graph: Graph, tensor: int) -> int:
        outputs.append((graph, tensor))
        return tensor

    outputs: list[tuple[Graph, int]] = []
    model = attention(Attention(num_tokens=(1,), changes={"weights": to_outputs}))
    graph, weights = outputs[0]
    graph.table.outputs = np.append(graph.table.outputs, np.int32(weights))
    plan = plan_of(model.to_bytes())
    assert (plan.use, "no cache and no mask" in plan.reason) == ("fixed", True)


def test_wrong_axis_of_a_cache_is_fixed() -> None:
    content = attention(Attention(width=LENGTH)).to_bytes()
    ports = ports_of(content)
    wrong = [
        (key, [(caches[0][0], caches[0][1], 3), caches[1]], mask) for key, caches, mask in ports
    ]
    assert LengthPlan.analyse(content, wrong, LENGTH).use == "fixed"


@pytest.mark.parametrize(
    ("ports", "length", "reason"),
    [
        ([], LENGTH, "no caches"),
        ([("missing", [], "")], LENGTH, "no signature missing"),
        ([("decode", [("missing", "missing", 2)], "")], LENGTH, "no tensor missing"),
        ([("decode", [("kv_cache_k_0", "kv_cache_k_0", 1)], "")], LENGTH, "dimension 1 of"),
        ([("decode", [("kv_cache_k_0", "kv_cache_k_0", 9)], "")], LENGTH, "dimension 9 of"),
        ([("decode", [("kv_cache_k_0", "kv_cache_k_0", 2)], "mask")], 16, "is not 16"),
        ([("decode", [("kv_cache_k_0", "kv_cache_k_0", 2)], "mask")], LENGTH, "no cache and no"),
    ],
    ids=["nothing", "signature", "name", "axis", "axis_of_no_tensor", "length", "half"],
)
def test_ports_that_are_not_in_the_file_are_fixed(ports: Ports, length: int, reason: str) -> None:
    plan = LengthPlan.analyse(attention().to_bytes(), ports, length)
    assert plan.use == "fixed"
    assert reason in plan.reason


SDPA = "odml.scaled_dot_product_attention"


@pytest.mark.parametrize(
    ("options", "use"),
    [
        (Attention(composite=SDPA), "resizable"),
        (Attention(composite=SDPA, mask="table"), "rewritable"),
        (Attention(composite=SDPA, mask="none"), "fixed"),
        (Attention(composite=SDPA, changes={"scores": operator(Op.CUMSUM)}), "fixed"),
        (Attention(composite="odml.unknown"), "fixed"),
    ],
    ids=["mask", "table", "no_mask", "cumulated", "unknown"],
)
def test_attention_in_a_composite_is_followed(options: Attention, use: str) -> None:
    model = attention(options)
    plan = LengthPlan.analyse(
        model.to_bytes(),
        [
            (key, caches, "mask" * (options.mask == "input"))
            for key, caches, _ in ports_of(attention().to_bytes())
        ],
        LENGTH,
    )
    shapes = [tensor.shape for graph in model.table.subgraphs for tensor in graph.tensors]
    # With a table, its rows stay and the constant shape of its reshaped rows changes.
    num_sizes = sum(shape.tolist().count(LENGTH) for shape in shapes)
    assert plan.use == use
    assert plan.num_places == (0 if use == "fixed" else num_sizes)


# --- what is stored once for several readers ---


def shape_place(content: bytes, subgraph: int, wanted: list[int]) -> tuple[int, int]:
    graph = schema.Model.GetRootAs(content).Subgraphs(subgraph)
    for index in range(graph.TensorsLength()):
        if graph.Tensors(index).ShapeAsNumpy().tolist() == wanted:
            return subgraph, index
    raise AssertionError(f"no tensor has the shape {wanted}")


def test_shape_shared_by_caches_is_changed_once() -> None:
    content = attention().to_bytes()
    wanted = [1, 1, LENGTH, 8]
    kept, moved = shape_place(content, 1, wanted), shape_place(content, 0, wanted)
    # Offsets of a flatbuffer lead forwards only.
    try:
        shared = share_vector(content, kept, moved)
    except OverflowError:
        shared = share_vector(content, moved, kept)
    assert plan_of(shared).num_places == plan_of(content).num_places - 1
    np.testing.assert_array_equal(
        generate(rewritten(shared, LENGTH, 16), 16, prefill="prefill_4"),
        generate(content, LENGTH, prefill="prefill_4"),
    )


def test_shape_shared_with_an_equal_one_is_fixed() -> None:
    # Queries of a prefill that reads as many tokens as the cache has slots.
    content = attention(Attention(num_tokens=(LENGTH, 1))).to_bytes()
    cache = shape_place(content, 1, [1, 1, LENGTH, 8])
    query = schema.Model.GetRootAs(content).Subgraphs(0)
    index = next(i for i in range(query.TensorsLength()) if query.Tensors(i).Name() == b"reshaped")
    try:
        shared = share_vector(content, cache, (0, index))
    except OverflowError:
        shared = share_vector(content, (0, index), cache)
    plan = plan_of(shared)
    assert (plan.use, "one place" in plan.reason) == ("fixed", True)


def test_constant_shared_with_an_equal_shape_is_fixed() -> None:
    def reshape_both(graph: Graph, tensor: int) -> int:
        shape = graph.const("shape", np.int32([LENGTH, 8]))
        flat = graph.op1(Op.RESHAPE, [tensor, shape], graph.tensor("flat", [LENGTH, 8]))
        unrelated = graph.const("unrelated", np.zeros(LENGTH * 8, np.float32))
        graph.op(Op.RESHAPE, [unrelated, shape], [graph.tensor("other", [LENGTH, 8])])
        return reshape(graph, flat, [1, 1, LENGTH, 8])

    plan = plan_of(attention(Attention(changes={"keys": reshape_both})).to_bytes())
    assert (plan.use, "one place" in plan.reason) == ("fixed", True)


def test_overlapping_constants_are_fixed() -> None:
    model = attention(Attention(mask="table"))
    ports = ports_of(model.to_bytes())
    table, other = model.table.buffers[1:3]
    other.data, other.offset, other.size = None, 2, 4
    data = move_outside(model, 1)[-table.size :]
    other.offset = table.offset + 4
    content = model.to_bytes().ljust(table.offset, b"\0") + data
    plan = LengthPlan.analyse(content, ports, LENGTH)
    assert (plan.use, "one place" in plan.reason) == ("fixed", True)


def test_signatures_of_another_length_stay_as_they_are() -> None:
    model: Model = attention(Attention(mask="table", suffix="_a"))
    attention(Attention(length=16, mask="table", suffix="_b"), model=model)
    content = model.to_bytes()
    copy = bytearray(content)
    plan_of(content, suffix="_a").apply(copy, 12)
    for length, new_length, suffix in ((LENGTH, 12, "_a"), (16, 16, "_b")):
        np.testing.assert_array_equal(
            generate(copy, new_length, prefill="prefill_4", suffix=suffix),
            generate(content, length, prefill="prefill_4", suffix=suffix),
        )


def test_signature_that_is_not_named_but_shares_the_graph_is_fixed() -> None:
    content = attention().to_bytes()
    ports = ports_of(content)
    model = attention()
    first = model.table.signatureDefs[0]
    model.table.signatureDefs.append(
        schema.SignatureDefT(
            signatureKey="twin", subgraphIndex=0, inputs=first.inputs, outputs=first.outputs
        )
    )
    plan = LengthPlan.analyse(model.to_bytes(), ports, LENGTH)
    assert (plan.use, "shared" in plan.reason) == ("fixed", True)


def test_tensor_with_several_scales_is_fixed() -> None:
    model = attention()
    cache = model.table.subgraphs[0].tensors[2]
    cache.quantization = schema.QuantizationParametersT(
        scale=np.ones(LENGTH, np.float32),
        zeroPoint=np.zeros(LENGTH, np.int64),
        quantizedDimension=2,
    )
    content = attention().to_bytes()
    plan = LengthPlan.analyse(model.to_bytes(), ports_of(content), LENGTH)
    assert (plan.use, "several scales" in plan.reason) == ("fixed", True)
