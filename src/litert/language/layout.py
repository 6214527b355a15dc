"""The signatures of a language model that work together, and those of its embedder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from litert.errors import FileFormatError, UnsupportedModelError
from litert.language.metadata import StateBuffer
from litert.language.signature_roles import (
    Kind,
    SignatureRoles,
    expect,
    listed,
    read_signature,
    unsupported,
)
from litert.tensor_info import Signature

# Signatures with other keys are entry points for other uses: verification, images, LoRA ranks.
_KEY = re.compile(r"(prefill|decode)(_\d+)?(_cache_\d+)?")
_IDS = ("token_ids", "tokens")


@dataclass(frozen=True, slots=True)
class Layout:
    """The signatures that work on one set of caches.

    Attributes:
        cache_length: Tokens that the caches hold, as exported.
        vocab_size: Length of the logits.
        hidden_size: Length of an embedding, None where tokens go in.
        prefills: By ascending ``num_tokens``; may be empty.
        decode: Reads one token and gives logits.
    """

    cache_length: int
    vocab_size: int
    hidden_size: int | None
    prefills: tuple[SignatureRoles, ...]
    decode: SignatureRoles


@dataclass(frozen=True, slots=True)
class EmbedderSignature:
    """A signature that turns ids into embeddings.

    Attributes:
        key: Its key.
        num_tokens: Tokens that one run takes.
        tokens: The input, ``int32[1, num_tokens]``.
        embeddings: The output, ``float32[1, num_tokens, hidden_size]``.
    """

    key: str
    num_tokens: int
    tokens: str
    embeddings: str


@dataclass(frozen=True, slots=True)
class EmbedderRoles:
    """A model that turns ids into embeddings.

    Attributes:
        hidden_size: Length of an embedding.
        signatures: By ascending ``num_tokens``; at least one.
    """

    hidden_size: int
    signatures: tuple[EmbedderSignature, ...]


def find_layouts(
    signatures: Mapping[str, Signature], state_buffers: Sequence[StateBuffer] = ()
) -> tuple[Layout, ...]:
    """Find the roles of a language model's tensors.

    Args:
        signatures: The model's signatures by key; other entry points among them are passed over.
        state_buffers: The caches as executor metadata describes them, if there is any.

    Returns:
        One layout for each length of the caches, the shortest first; at least one.

    Raises:
        UnsupportedModelError: It is no language model, or a role cannot be told.
        FileFormatError: Shapes or metadata contradict each other.
    """
    kinds: dict[str, Kind] = {
        key: "prefill" if match[1] == "prefill" else "decode"
        for key in signatures
        if (match := _KEY.fullmatch(key))
    }
    if "decode" not in kinds.values():
        known = ", ".join(map(repr, signatures)) or "none"
        raise UnsupportedModelError(
            f"no language model: expected a signature 'decode' beside 'prefill_N', got {known}"
        )
    roles = [read_signature(signatures[key], kind, state_buffers) for key, kind in kinds.items()]
    lengths = sorted({role.cache_length for role in roles})
    return tuple(
        _group([role for role in roles if role.cache_length == length], kinds, signatures)
        for length in lengths
    )


def find_embedder(signatures: Mapping[str, Signature]) -> EmbedderRoles:
    """Find the roles of an embedder's tensors.

    Args:
        signatures: The embedder's signatures by key, whatever the keys are.

    Raises:
        UnsupportedModelError: A signature does anything else than to turn ids into embeddings.
        FileFormatError: The embeddings have several lengths.
    """
    found = [_embedder_signature(signature) for signature in signatures.values()]
    if not found:
        raise UnsupportedModelError("embedder: it has no signature")
    sizes = {signatures[role.key].outputs[role.embeddings].shape[2] for role in found}
    if len(sizes) > 1:
        raise FileFormatError(f"embedder: embeddings of several lengths: {sorted(sizes)}")
    return EmbedderRoles(sizes.pop(), tuple(sorted(found, key=lambda role: role.num_tokens)))


def check_embedder(layout: Layout, embedder: EmbedderRoles | None) -> None:
    """Refuse an embedder that does not fit the model, or none where it needs one.

    Raises:
        UnsupportedModelError: There is one too few or one too many.
        FileFormatError: Its embeddings have another length than the model's.
    """
    if layout.hidden_size is None and embedder is not None:
        raise UnsupportedModelError("the model takes tokens, so its embedder would not be used")
    if layout.hidden_size is not None and embedder is None:
        raise UnsupportedModelError("the model takes embeddings, and there is no embedder")
    if embedder is not None and embedder.hidden_size != layout.hidden_size:
        raise FileFormatError(
            f"the model takes embeddings of length {layout.hidden_size}, "
            f"its embedder makes {embedder.hidden_size}"
        )


def _embedder_signature(signature: Signature) -> EmbedderSignature:
    inputs, outputs = list(signature.inputs.values()), signature.outputs
    if len(inputs) != 1 or inputs[0].name not in _IDS or "embeddings" not in outputs:
        raise unsupported(
            signature,
            f"expected an embedder of {' or '.join(map(repr, _IDS))} to 'embeddings', got "
            f"{listed(signature.inputs)} to {listed(outputs)}",
        )
    tokens, embeddings = inputs[0], outputs["embeddings"]
    is_right = len(tokens.shape) == 2 and tokens.shape[0] == 1 and tokens.shape[1] > 0
    expect(signature, tokens, ("int32",), "[1, N]", is_right)
    num_tokens = tokens.shape[1]
    is_right = embeddings.shape[:2] == (1, num_tokens) and len(embeddings.shape) == 3
    expect(signature, embeddings, ("float32",), f"[1, {num_tokens}, hidden]", is_right)
    return EmbedderSignature(signature.key, num_tokens, tokens.name, embeddings.name)


def _group(
    roles: Sequence[SignatureRoles], kinds: Mapping[str, Kind], signatures: Mapping[str, Signature]
) -> Layout:
    """Build a layout of signatures whose caches have one length."""
    decodes = [role for role in roles if kinds[role.key] == "decode"]
    prefills = [role for role in roles if kinds[role.key] == "prefill"]
    if len(decodes) != 1:
        raise UnsupportedModelError(
            f"expected one decode signature with caches of {roles[0].cache_length} tokens, got "
            f"{', '.join(repr(role.key) for role in decodes) or 'none'} beside "
            f"{', '.join(repr(role.key) for role in prefills) or 'no prefill'}"
        )
    decode = decodes[0]
    for role in prefills:
        if _what_is_shared(role, signatures) != _what_is_shared(decode, signatures):
            raise UnsupportedModelError(
                f"signatures {role.key!r} and {decode.key!r} cannot work on the same caches: "
                f"{listed(signatures[role.key].inputs)}; {listed(signatures[decode.key].inputs)}"
            )
    return Layout(
        cache_length=decode.cache_length,
        vocab_size=signatures[decode.key].outputs[decode.logits].shape[2],
        hidden_size=_hidden_size(decode, signatures),
        prefills=tuple(sorted(prefills, key=lambda role: role.num_tokens)),
        decode=decode,
    )


def _what_is_shared(role: SignatureRoles, signatures: Mapping[str, Signature]) -> object:
    """Return what must be equal for two signatures to work on the same caches."""
    inputs = signatures[role.key].inputs
    caches = [(cache.name, cache.sequence_axis, inputs[cache.input]) for cache in role.caches]
    forms = [(name, axis, info.shape, info.element_type) for name, axis, info in caches]
    return forms, _hidden_size(role, signatures)


def _hidden_size(role: SignatureRoles, signatures: Mapping[str, Signature]) -> int | None:
    if role.embeddings is None:
        return None
    return signatures[role.key].inputs[role.embeddings].shape[2]
