"""Roles of a language model's tensors: by name and shape, and refused where they cannot be told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from litert import FileFormatError, UnsupportedModelError
from litert.language.layout import EmbedderRoles, check_embedder, find_embedder, find_layouts
from litert.language.metadata import StateBuffer
from litert.tensor_info import Signature, TensorInfo

Tensors = dict[str, TensorInfo]


def tensors(**described: tuple[str, tuple[int, ...]]) -> Tensors:
    return {name: TensorInfo(name, shape, kind) for name, (kind, shape) in described.items()}


def caches(key: tuple[int, ...], value: tuple[int, ...], kind: str = "float32") -> Tensors:
    named = {"kv_cache_k_0": key, "kv_cache_v_0": value, "kv_cache_k_10": key}
    named["kv_cache_v_10"] = value
    return tensors(**{name: (kind, shape) for name, shape in named.items()})


def transposed(key: str, num_tokens: int, length: int = 64, **more: TensorInfo) -> Signature:
    """Return a signature with a mask input, caches [1, 2, C, 16] and [1, 2, 16, C]."""
    state = caches((1, 2, length, 16), (1, 2, 16, length))
    inputs = tensors(
        tokens=("int32", (1, num_tokens)),
        input_pos=("int32", (num_tokens,)),
        mask=("float32", (1, 1, num_tokens, length)),
    )
    outputs = dict(state)
    if key.startswith("decode"):
        outputs |= tensors(logits=("float32", (1, 1, 512)))
    return Signature(key, inputs | state | more, outputs)


def re_authored(key: str, num_tokens: int, length: int = 64) -> Signature:
    """Return a signature without a mask input, caches [1, C, 2, 16]."""
    state = caches((1, length, 2, 16), (1, length, 2, 16))
    inputs = tensors(tokens=("int32", (1, num_tokens)), input_pos=("int32", (num_tokens,)))
    outputs = state | tensors(logits=("float32", (1, 1, 512)))
    return Signature(key, inputs | state, outputs)


def model(*signatures: Signature) -> dict[str, Signature]:
    return {signature.key: signature for signature in signatures}


def changed(signature: Signature, inputs: Mapping[str, TensorInfo | None]) -> Signature:
    """Return the signature with other inputs; None takes one away, caches change on both sides."""
    given = {name: info for name, info in (dict(signature.inputs) | dict(inputs)).items() if info}
    outputs = {name: given.get(name, info) for name, info in signature.outputs.items()}
    return Signature(signature.key, given, outputs)


def state_buffer(name: str, axis: int | None, kind: str = "global_key") -> StateBuffer:
    return StateBuffer(name, name, name, name, kind, axis, None, None)


def test_find_layouts_transposed_takes_the_axes_from_the_mask() -> None:
    (layout,) = find_layouts(model(transposed("prefill_8", 8), transposed("decode", 1)))
    assert (layout.cache_length, layout.vocab_size, layout.hidden_size) == (64, 512, None)
    decode = layout.decode
    assert (decode.tokens, decode.positions, decode.mask) == ("tokens", "input_pos", "mask")
    assert (decode.mask_kind, decode.logits, decode.param_tensor) == ("float32", "logits", None)
    assert {cache.input: cache.sequence_axis for cache in decode.caches} == {
        "kv_cache_k_0": 2,
        "kv_cache_k_10": 2,
        "kv_cache_v_0": 3,
        "kv_cache_v_10": 3,
    }


def test_find_layouts_re_authored_without_mask_takes_axis_1() -> None:
    # A head is longer than a prefill: the size alone could not tell.
    (layout,) = find_layouts(model(re_authored("prefill_8", 8), re_authored("decode", 1)))
    assert layout.cache_length == 64
    assert layout.decode.mask is None
    assert layout.decode.mask_kind is None
    assert {cache.sequence_axis for cache in layout.decode.caches} == {1}


def test_find_layouts_prefills_are_sorted_by_length() -> None:
    keys = {"prefill_32": 32, "prefill_8": 8, "prefill_64": 64, "decode": 1}
    (layout,) = find_layouts(model(*(transposed(key, num) for key, num in keys.items())))
    assert [roles.num_tokens for roles in layout.prefills] == [8, 32, 64]
    assert [roles.logits for roles in layout.prefills] == ["", "", ""]


def test_find_layouts_several_cache_lengths_give_a_layout_each() -> None:
    long, short = find_layouts(
        model(
            transposed("prefill_8_cache_256", 8, 256),
            transposed("decode_cache_256", 1, 256),
            transposed("prefill_8_cache_64", 8, 64),
            transposed("decode_cache_64", 1, 64),
        )
    )[::-1]
    assert (short.cache_length, short.decode.key) == (64, "decode_cache_64")
    assert (long.cache_length, long.decode.key) == (256, "decode_cache_256")
    assert [roles.key for roles in long.prefills] == ["prefill_8_cache_256"]


def test_find_layouts_other_names_have_the_same_roles() -> None:
    state = tensors(
        k_cache_0=("int8", (1, 2, 64, 16)),
        v_cache_0=("int8", (1, 2, 16, 64)),
    )
    inputs = tensors(
        embeddings=("float32", (1, 1, 32)),
        positions=("int32", (1, 1)),
        attn_mask=("bool", (1, 1, 1, 64)),
        param_tensor=("int32", (1, 1, 1, 7)),
    )
    outputs = state | tensors(logits=("float32", (1, 1, 512)), activations=("float32", (1, 1, 32)))
    (layout,) = find_layouts(model(Signature("decode", inputs | state, outputs)))
    decode = layout.decode
    assert (decode.tokens, decode.embeddings, layout.hidden_size) == (None, "embeddings", 32)
    assert (decode.positions, decode.mask, decode.mask_kind) == ("positions", "attn_mask", "bool")
    assert decode.param_tensor == "param_tensor"
    assert [cache.name for cache in decode.caches] == ["k_cache_0", "v_cache_0"]


def test_find_layouts_other_entry_points_are_passed_over() -> None:
    verify = Signature("verify", tensors(anything=("float32", (3,))), {})
    (layout,) = find_layouts(model(verify, transposed("decode", 1)))
    assert layout.decode.key == "decode"


def test_find_layouts_metadata_tells_the_axis_that_the_shape_cannot() -> None:
    # Length and head size are equal: 16.
    signatures = model(transposed("decode", 1, length=16))
    with pytest.raises(UnsupportedModelError, match="got dimensions 2 and 3; executor metadata"):
        find_layouts(signatures)
    buffers = [
        state_buffer("kv_cache_k_0", 2),
        state_buffer("kv_cache_k_10", 2),
        state_buffer("kv_cache_v_0", 3),
        state_buffer("kv_cache_v_10", 3),
    ]
    (layout,) = find_layouts(signatures, buffers)
    assert [cache.sequence_axis for cache in layout.decode.caches] == [2, 2, 3, 3]


def test_find_layouts_metadata_names_what_no_rule_would_find() -> None:
    state = {"past": TensorInfo("past", (1, 64, 2, 16), "float32")}
    new = {"present": TensorInfo("present", (1, 64, 2, 16), "float32")}
    inputs = tensors(tokens=("int32", (1, 1)), input_pos=("int32", (1,)))
    outputs = new | tensors(logits=("float32", (1, 1, 512)))
    buffer = StateBuffer("past", "present", "past", "present", "global_key", 1, None, None)
    (layout,) = find_layouts(model(Signature("decode", inputs | state, outputs)), [buffer])
    (cache,) = layout.decode.caches
    assert (cache.input, cache.output, cache.sequence_axis) == ("past", "present", 1)


def test_find_layouts_metadata_pairs_caches_by_their_name_in_decode() -> None:
    state = {"in_b": TensorInfo("in_b", (1, 2, 64, 16), "float32")}
    prefill = transposed("prefill_8", 8)
    inputs = {name: info for name, info in prefill.inputs.items() if "cache" not in name}
    prefill = Signature("prefill_8", inputs | state, {"out_b": state["in_b"]})
    cache = {"kv_cache_k_0": TensorInfo("kv_cache_k_0", (1, 2, 64, 16), "float32")}
    decode = transposed("decode", 1)
    inputs = {name: info for name, info in decode.inputs.items() if "cache" not in name}
    outputs = cache | {"logits": decode.outputs["logits"]}
    buffer = StateBuffer("in_b", "out_b", "kv_cache_k_0", "kv_cache_k_0", "global_key", 2, None, 64)
    (layout,) = find_layouts(
        model(prefill, Signature("decode", inputs | cache, outputs)),
        [buffer],
    )
    (role,) = layout.prefills[0].caches
    assert (role.name, role.input, role.output) == ("kv_cache_k_0", "in_b", "out_b")


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (state_buffer("kv_cache_k_0", 1), "cannot have its context in dimension 1; the mask has"),
        (state_buffer("kv_cache_k_0", 4), "cannot have its context in dimension 4"),
        (state_buffer("kv_cache_k_7", 2), "has no input 'kv_cache_k_7'; its inputs are"),
        (state_buffer("tokens", 1), "expected tokens or embeddings, positions and"),
        (
            StateBuffer(
                "kv_cache_k_0", "kv_cache_k_10", "kv_cache_k_0", "kv_cache_k_10", "", 2, 0, 0
            ),
            "two caches have one output",
        ),
        (state_buffer("kv_cache_k_0", 2, "linear_attention"), "linear attention is not supported"),
    ],
)
def test_find_layouts_wrong_metadata_is_refused(buffer: StateBuffer, message: str) -> None:
    with pytest.raises((FileFormatError, UnsupportedModelError), match=message):
        find_layouts(model(transposed("decode", 1)), [buffer])


def test_find_layouts_no_decode_lists_the_signatures() -> None:
    signature = Signature("serving_default", tensors(x=("float32", (1, 4))), {})
    with pytest.raises(UnsupportedModelError, match=r"no language model.*got 'serving_default'"):
        find_layouts(model(signature))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"ids": ("int32", (1, 1))}, r"unknown input 'ids' int32\[1, 1\]; expected tokens, token"),
        ({"token_ids": ("int32", (1, 1))}, "inputs 'tokens' and 'token_ids' mean the same"),
        ({"local_mask": ("float32", (1, 1, 1, 8))}, "sliding-window caches of their own length"),
        ({"per_layer_embeddings": ("float32", (1, 1, 2, 8))}, "per-layer embeddings are not"),
        ({"embeddings": ("float32", (1, 1, 8))}, "expected tokens or embeddings, positions"),
        ({"tokens": None}, "expected tokens or embeddings, positions and caches"),
        ({"input_pos": None}, "expected tokens or embeddings, positions and caches"),
        ({"tokens": ("int64", (1, 1))}, r"'tokens': expected int32 \[1, N\], got int64\[1, 1\]"),
        ({"tokens": ("int32", (1,))}, r"'tokens': expected int32 \[1, N\], got int32\[1\]"),
        ({"tokens": ("int32", (1, -1))}, "has an open dimension"),
        ({"tokens": ("int32", (1, 0))}, r"expected int32 \[1, N\], got int32\[1, 0\]"),
        ({"tokens": ("int32", (1, 2))}, "expected one token a run"),
        ({"input_pos": ("int32", (2,))}, r"'input_pos': expected int32 \[1\], got int32\[2\]"),
        ({"mask": ("float32", (1, 1, 2, 64))}, r"'mask': expected float32 or float16 or bool"),
        ({"mask": ("int32", (1, 1, 1, 64))}, "'mask': expected float32 or float16 or bool"),
        ({"mask": ("float32", (1, 1, 1, 65))}, "of the mask's length 65, got none"),
        ({"mask": None}, r"without a mask input, expected caches \[1, length, heads, head_size\]"),
        ({"param_tensor": ("int32", (7,))}, r"expected int32 \[1, 1, 1, 7\], got int32\[7\]"),
        ({"kv_cache_k_0": ("int64", (1, 2, 64, 16))}, "expected float32 or float16 or int8 of"),
        ({"kv_cache_k_0": ("float32", (2, 64, 16))}, "expected float32 or float16 or int8 of"),
        ({"kv_cache_c_0": ("float32", (1, 2, 3))}, "unknown input 'kv_cache_c_0'"),
    ],
)
def test_find_layouts_wrong_input_is_refused_by_name(
    inputs: dict[str, tuple[str, tuple[int, ...]] | None], message: str
) -> None:
    given = {name: TensorInfo(name, d[1], d[0]) if d else None for name, d in inputs.items()}
    with pytest.raises(UnsupportedModelError, match=message):
        find_layouts(model(changed(transposed("decode", 1), given)))


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        ({"logits": None}, UnsupportedModelError, "expected an output 'logits', got 'kv_cache_k"),
        ({"logits": ("float32", (1, 512))}, UnsupportedModelError, r"expected float32 \[1, 1, voc"),
        ({"logits": ("float16", (1, 1, 512))}, UnsupportedModelError, "'logits': expected float32"),
        ({"kv_cache_k_0": None}, UnsupportedModelError, "expected an output 'kv_cache_k_0', got"),
        ({"kv_cache_k_0": ("float32", (1, 2, 8, 16))}, FileFormatError, "goes in as .* comes out"),
        ({"kv_cache_k_0": ("int8", (1, 2, 64, 16))}, FileFormatError, "goes in as .* comes out"),
    ],
)
def test_find_layouts_wrong_output_is_refused_by_name(
    outputs: dict[str, tuple[str, tuple[int, ...]] | None],
    error: type[Exception],
    message: str,
) -> None:
    decode = transposed("decode", 1)
    given = {name: TensorInfo(name, d[1], d[0]) if d else None for name, d in outputs.items()}
    merged = {name: info for name, info in (dict(decode.outputs) | given).items() if info}
    with pytest.raises(error, match=message):
        find_layouts(model(Signature("decode", decode.inputs, merged)))


def test_find_layouts_caches_of_several_lengths_are_refused() -> None:
    state = caches((1, 64, 2, 16), (1, 64, 2, 16))
    state |= tensors(
        kv_cache_k_1=("float32", (1, 32, 2, 16)), kv_cache_v_1=("float32", (1, 32, 2, 16))
    )
    with pytest.raises(UnsupportedModelError, match=r"several lengths.*'kv_cache_k_1' 32"):
        find_layouts(model(changed(re_authored("decode", 1), state)))


def test_find_layouts_prefill_longer_than_the_caches_is_refused() -> None:
    signatures = model(re_authored("prefill_128", 128), re_authored("decode", 1))
    with pytest.raises(UnsupportedModelError, match="reads 128 tokens into caches that hold 64"):
        find_layouts(signatures)


def test_find_layouts_prefill_without_a_decode_of_its_length_is_refused() -> None:
    signatures = model(transposed("prefill_8", 8, 32), transposed("decode", 1, 64))
    with pytest.raises(UnsupportedModelError, match="caches of 32 tokens, got none beside 'prefil"):
        find_layouts(signatures)


def test_find_layouts_prefill_with_other_caches_is_refused() -> None:
    state: dict[str, TensorInfo | None] = {"kv_cache_k_10": None}
    prefill = changed(transposed("prefill_8", 8), state)
    with pytest.raises(UnsupportedModelError, match="'prefill_8' and 'decode' cannot work on the"):
        find_layouts(model(prefill, transposed("decode", 1)))


def test_find_embedder_sorts_by_length() -> None:
    roles = find_embedder(
        model(embedder("prefill_embedder_8", 8, "token_ids"), embedder("decode", 1, "tokens"))
    )
    assert roles.hidden_size == 32
    assert [(s.num_tokens, s.tokens) for s in roles.signatures] == [(1, "tokens"), (8, "token_ids")]


def embedder(key: str, num_tokens: int, name: str = "token_ids", hidden: int = 32) -> Signature:
    return Signature(
        key,
        tensors(**{name: ("int32", (1, num_tokens))}),
        tensors(embeddings=("float32", (1, num_tokens, hidden))),
    )


@pytest.mark.parametrize(
    ("signatures", "error", "message"),
    [
        ([], UnsupportedModelError, "it has no signature"),
        ([transposed("decode", 1)], UnsupportedModelError, "expected an embedder of 'token_ids'"),
        ([embedder("a", 1), embedder("b", 8, hidden=16)], FileFormatError, r"lengths: \[16, 32\]"),
        ([embedder("a", -1)], UnsupportedModelError, r"expected int32 \[1, N\]"),
        (
            [
                Signature(
                    "per_layer_embedder",
                    tensors(token_ids=("int32", (1, 1))),
                    tensors(embeddings=("float32", (1, 1, 35, 256))),
                )
            ],
            UnsupportedModelError,
            r"expected float32 \[1, 1, hidden\], got float32\[1, 1, 35, 256\]",
        ),
    ],
)
def test_find_embedder_anything_else_is_refused(
    signatures: list[Signature], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_embedder(model(*signatures))


@pytest.mark.parametrize(
    ("hidden_size", "embedder_size", "message"),
    [
        (None, 32, "the model takes tokens"),
        (32, None, "there is no embedder"),
        (32, 16, "embeddings of length 32, its embedder makes 16"),
    ],
)
def test_check_embedder_misfit_is_refused(
    hidden_size: int | None, embedder_size: int | None, message: str
) -> None:
    decode = transposed("decode", 1)
    if hidden_size is not None:
        info = TensorInfo("embeddings", (1, 1, hidden_size), "float32")
        decode = changed(decode, {"tokens": None, "embeddings": info})
    (layout,) = find_layouts(model(decode))
    roles = EmbedderRoles(embedder_size, ()) if embedder_size is not None else None
    with pytest.raises((UnsupportedModelError, FileFormatError), match=message):
        check_embedder(layout, roles)
