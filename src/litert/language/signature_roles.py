"""Which tensor of one prefill or decode signature is what.

Tensors have a role by their name; how long the context is, and along which dimension of a cache it
lies, follows from the shapes. What cannot be told is refused by name, never guessed: a wrong role
would give wrong text without any error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from litert.errors import FileFormatError, ModelError, UnsupportedModelError
from litert.language.metadata import StateBuffer
from litert.tensor_info import Signature, TensorInfo

Kind = Literal["prefill", "decode"]
MaskKind = Literal["float32", "float16", "bool"]

_CACHE_NAME = re.compile(r"(?:kv_cache_(?P<kv>[kv])|(?P<short>[kv])_cache)_\d+")
_ROLE_OF_NAME = {
    "tokens": "tokens",
    "token_ids": "tokens",
    "embeddings": "embeddings",
    "input_pos": "positions",
    "positions": "positions",
    "mask": "mask",
    "attn_mask": "mask",
    "param_tensor": "param_tensor",
}
_MEANING_OF_UNSUPPORTED = {
    "per_layer_embeddings": "per-layer embeddings",
    "local_mask": "sliding-window caches of their own length",
    "attn_mask_local": "sliding-window caches of their own length",
    "local_attn_mask": "sliding-window caches of their own length",
}
_LOGITS = "logits"
_CACHE_TYPES = ("float32", "float16", "int8")
_NUM_PARAMS = 7


@dataclass(frozen=True, slots=True)
class CacheRole:
    """One cache of a signature.

    Attributes:
        name: What it is called in all signatures: the name of its input in decode.
        input: Name of the input that brings it in.
        output: Name of the output that has it with the new tokens in it.
        sequence_axis: The dimension that is the context's length.
    """

    name: str
    input: str
    output: str
    sequence_axis: int


@dataclass(frozen=True, slots=True)
class SignatureRoles:
    """The tensors of one prefill or decode signature; None where there is no such tensor.

    Attributes:
        key: The signature's key.
        num_tokens: Tokens that one run reads.
        cache_length: Tokens that its caches hold.
        tokens: ``int32[1, num_tokens]``, or None where embeddings go in.
        embeddings: ``float32[1, num_tokens, hidden_size]``.
        positions: ``int32[num_tokens]`` or ``int32[1, num_tokens]``.
        mask: ``[1, 1, num_tokens, cache_length]``.
        mask_kind: Floats are added to the scores, 0 keeps; of booleans, true keeps.
        param_tensor: ``int32[1, 1, 1, 7]``: first position, end, end again, zeros.
        caches: By ascending ``name``.
        logits: ``float32[1, 1, vocab_size]`` of decode; empty for prefill, which gives none.
    """

    key: str
    num_tokens: int
    cache_length: int
    tokens: str | None
    embeddings: str | None
    positions: str
    mask: str | None
    mask_kind: MaskKind | None
    param_tensor: str | None
    caches: tuple[CacheRole, ...]
    logits: str


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A cache that metadata names, as one kind of signature has it."""

    output: str
    decode_input: str
    sequence_axis: int | None


def _buffers_of(kind: Kind, state_buffers: Sequence[StateBuffer]) -> dict[str, _Buffer]:
    """Return what metadata says, by the name of the input."""
    buffers = {}
    for state in state_buffers:
        if kind == "prefill":
            name, output = state.prefill_input, state.prefill_output
        else:
            name, output = state.decode_input, state.decode_output
        if state.kind == "linear_attention":
            raise UnsupportedModelError(
                f"executor metadata: state {name!r}: linear attention is not supported"
            )
        buffers[name] = _Buffer(
            output or name, state.decode_input or name, state.sequence_axis or None
        )
    return buffers


def read_signature(
    signature: Signature, kind: Kind, state_buffers: Sequence[StateBuffer] = ()
) -> SignatureRoles:
    """Find the roles of a signature's tensors.

    Args:
        signature: It.
        kind: What it is for, as its key says.
        state_buffers: The caches as executor metadata describes them, if there is any.

    Raises:
        UnsupportedModelError: A role cannot be told, or is not supported.
        FileFormatError: Shapes or metadata contradict each other.
    """
    buffers = _buffers_of(kind, state_buffers)
    names, cache_names = _sort_inputs(signature, buffers)
    num_tokens = _num_tokens(signature, names, kind)
    mask_kind, mask_length = _read_mask(signature, names.get("mask"), num_tokens)
    axes = {
        name: _sequence_axis(signature, name, buffers.get(name), mask_length)
        for name in cache_names
    }
    if mask_length is None and not any(name in buffers for name in cache_names):
        _check_unmasked(signature, cache_names)
    lengths = {name: signature.inputs[name].shape[axis] for name, axis in axes.items()}
    cache_length = next(iter(lengths.values()))
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise unsupported(signature, f"caches of several lengths cannot be run: {found}")
    if num_tokens > cache_length:
        raise unsupported(
            signature, f"it reads {num_tokens} tokens into caches that hold {cache_length}"
        )
    caches = tuple(_cache(signature, name, axes[name], buffers) for name in cache_names)
    if len({cache.output for cache in caches}) < len(caches):
        raise FileFormatError(
            f"executor metadata: signature {signature.key!r}: two caches have one output: "
            + ", ".join(f"{cache.input!r} to {cache.output!r}" for cache in caches)
        )
    return SignatureRoles(
        key=signature.key,
        num_tokens=num_tokens,
        cache_length=cache_length,
        tokens=names.get("tokens"),
        embeddings=names.get("embeddings"),
        positions=names["positions"],
        mask=names.get("mask"),
        mask_kind=mask_kind,
        param_tensor=names.get("param_tensor"),
        caches=caches,
        logits=_logits(signature) if kind == "decode" else "",
    )


def _sort_inputs(
    signature: Signature, buffers: Mapping[str, _Buffer]
) -> tuple[dict[str, str], list[str]]:
    """Return the inputs that are no caches, by role, and the caches in the order of decode."""
    names: dict[str, str] = {}
    caches: list[str] = []
    for name, info in signature.inputs.items():
        if info.is_dynamic:
            raise unsupported(signature, f"input {name!r} {info} has an open dimension")
        if name in buffers or _CACHE_NAME.fullmatch(name):
            caches.append(name)
        elif name in _ROLE_OF_NAME:
            other = names.setdefault(_ROLE_OF_NAME[name], name)
            if other != name:
                raise unsupported(signature, f"inputs {other!r} and {name!r} mean the same")
        elif name in _MEANING_OF_UNSUPPORTED:
            meaning = _MEANING_OF_UNSUPPORTED[name]
            raise unsupported(signature, f"input {name!r}: {meaning} are not supported")
        else:
            known = ", ".join(_ROLE_OF_NAME)
            raise unsupported(
                signature,
                f"unknown input {name!r} {info}; expected {known}, kv_cache_k_N and kv_cache_v_N",
            )
    for name in buffers:
        if name not in caches:
            raise FileFormatError(
                f"executor metadata: signature {signature.key!r} has no input {name!r}; "
                f"its inputs are {listed(signature.inputs)}"
            )
    if not caches or "positions" not in names or ("tokens" in names) == ("embeddings" in names):
        raise unsupported(
            signature,
            "expected tokens or embeddings, positions and caches among the inputs, "
            f"got {listed(signature.inputs)}",
        )
    return names, sorted(caches, key=lambda name: _decode_name(name, buffers))


def _decode_name(name: str, buffers: Mapping[str, _Buffer]) -> str:
    """Return the name that a cache has in decode."""
    return buffers[name].decode_input if name in buffers else name


def _num_tokens(signature: Signature, names: Mapping[str, str], kind: Kind) -> int:
    """Return how many tokens a run reads; all small inputs must agree."""
    if "tokens" in names:
        info = signature.inputs[names["tokens"]]
        is_right = len(info.shape) == 2 and info.shape[0] == 1 and info.shape[1] > 0
        expect(signature, info, ("int32",), "[1, N]", is_right)
    else:
        info = signature.inputs[names["embeddings"]]
        is_right = len(info.shape) == 3 and info.shape[0] == 1 and info.shape[1] > 0
        expect(signature, info, ("float32",), "[1, N, hidden]", is_right)
    num_tokens = info.shape[1]
    if kind == "decode" and num_tokens != 1:
        raise unsupported(signature, f"expected one token a run, got {info.name!r} {info}")
    positions = signature.inputs[names["positions"]]
    is_right = positions.shape in ((num_tokens,), (1, num_tokens))
    expect(signature, positions, ("int32",), f"[{num_tokens}]", is_right)
    if "param_tensor" in names:
        params = signature.inputs[names["param_tensor"]]
        is_right = params.shape == (1, 1, 1, _NUM_PARAMS)
        expect(signature, params, ("int32",), f"[1, 1, 1, {_NUM_PARAMS}]", is_right)
    return num_tokens


def _read_mask(
    signature: Signature, name: str | None, num_tokens: int
) -> tuple[MaskKind | None, int | None]:
    """Return the type of the mask and its last dimension."""
    if name is None:
        return None, None
    info = signature.inputs[name]
    is_right = len(info.shape) == 4 and info.shape[:3] == (1, 1, num_tokens)
    expect(signature, info, get_args(MaskKind), f"[1, 1, {num_tokens}, length]", is_right)
    kind: MaskKind = info.element_type  # type: ignore[assignment]
    return kind, info.shape[3]


def _sequence_axis(
    signature: Signature, name: str, buffer: _Buffer | None, mask_length: int | None
) -> int:
    """Return which dimension of a cache is the context's length.

    Metadata knows; else it is the one that is as long as the mask. Only one layout has no mask: it
    builds its own from a table, and its caches are ``[1, length, heads, head_size]``.
    """
    info = signature.inputs[name]
    expect(signature, info, _CACHE_TYPES, "of rank 4", len(info.shape) == 4)
    declared = buffer.sequence_axis if buffer is not None else None
    if declared is not None:
        if not 0 < declared < 4 or mask_length not in (None, info.shape[declared]):
            raise FileFormatError(
                f"executor metadata: cache {name!r} {info} cannot have its context in dimension "
                f"{declared}" + (f"; the mask has {mask_length}" if mask_length else "")
            )
        return declared
    if mask_length is None:
        return 1
    candidates = [axis for axis in range(1, 4) if info.shape[axis] == mask_length]
    if len(candidates) != 1:
        found = " and ".join(map(str, candidates))
        raise unsupported(
            signature,
            f"cache {name!r} {info}: expected one dimension of the mask's length {mask_length}, "
            + (f"got dimensions {found}; executor metadata could tell" if found else "got none"),
        )
    return candidates[0]


def _check_unmasked(signature: Signature, cache_names: Sequence[str]) -> None:
    """Refuse caches of another layout than the one that has no mask.

    There keys and values have the same shape; in the others they are transposed.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {"k": [], "v": []}
    for name in cache_names:
        match = _CACHE_NAME.fullmatch(name)
        if match is not None:
            shapes[match["kv"] or match["short"]].append(signature.inputs[name].shape)
    if sorted(shapes["k"]) != sorted(shapes["v"]):
        raise unsupported(
            signature,
            "without a mask input, expected caches [1, length, heads, head_size], got "
            + listed({name: signature.inputs[name] for name in cache_names}),
        )


def _cache(signature: Signature, name: str, axis: int, buffers: Mapping[str, _Buffer]) -> CacheRole:
    output = buffers[name].output if name in buffers else name
    info = signature.inputs[name]
    if output not in signature.outputs:
        raise unsupported(
            signature,
            f"cache {name!r}: expected an output {output!r}, got {listed(signature.outputs)}",
        )
    out = signature.outputs[output]
    if (out.shape, out.element_type) != (info.shape, info.element_type):
        raise FileFormatError(
            f"signature {signature.key!r}: cache {name!r} goes in as {info} and comes out as {out}"
        )
    return CacheRole(_decode_name(name, buffers), name, output, axis)


def _logits(signature: Signature) -> str:
    info = signature.outputs.get(_LOGITS)
    if info is None:
        outputs = listed(signature.outputs)
        raise unsupported(signature, f"expected an output {_LOGITS!r}, got {outputs}")
    is_right = len(info.shape) == 3 and info.shape[:2] == (1, 1) and info.shape[2] > 0
    expect(signature, info, ("float32",), "[1, 1, vocab]", is_right)
    return info.name


def expect(
    signature: Signature, info: TensorInfo, types: Sequence[str], shape: str, is_right: bool
) -> None:
    """Refuse a tensor that has another type or, as ``is_right`` tells, another shape.

    Raises:
        UnsupportedModelError: It has.
    """
    if info.element_type not in types or not is_right:
        raise unsupported(
            signature, f"tensor {info.name!r}: expected {' or '.join(types)} {shape}, got {info}"
        )


def unsupported(signature: Signature, what: str) -> ModelError:
    """Build the error for a signature that cannot be run."""
    return UnsupportedModelError(f"signature {signature.key!r}: {what}")


def listed(tensors: Mapping[str, TensorInfo]) -> str:
    """Return tensors as a message lists them."""
    return ", ".join(f"{name!r} {info}" for name, info in tensors.items()) or "none"
