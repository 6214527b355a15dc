"""What the file of a SentencePiece model says that its processor does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from litert.language._protobuf import Message

# Fields of ModelProto, NormalizerSpec, TrainerSpec and SentencePiece (sentencepiece_model.proto).
_PIECES, _TRAINER, _NORMALIZER, _DENORMALIZER = 1, 2, 3, 5
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_WHITESPACE, _ESCAPE_WHITESPACE = 2, 3, 4, 5
_SUFFIX_WHITESPACE = 24
_PIECE_TYPE = 3
_USER_DEFINED = 4

_PIECE_TAG = _PIECES << 3 | 2

# A message that is appended is merged: its fields replace those before.
WITHOUT_ADDED_SPACE = bytes(
    [_NORMALIZER << 3 | 2, 4, _DUMMY_PREFIX << 3, 0, _EXTRA_WHITESPACE << 3, 0]
)


@dataclass(frozen=True, slots=True)
class DecodingRules:
    """How pieces become text. Immutable.

    Attributes:
        adds_dummy_prefix: Encoding puts a space before a text; decoding drops one.
        removes_extra_whitespace: Decoding drops a space of each piece until there is text.
        rewrites_text: The decoded text is changed in other ways too.
    """

    adds_dummy_prefix: bool
    removes_extra_whitespace: bool
    rewrites_text: bool


def read_decoding_rules(data: bytes, vocab_size: int) -> DecodingRules | None:
    """Read how a model decodes.

    Args:
        data: A model that SentencePiece has read without complaint.
        vocab_size: How many pieces it has.

    Returns:
        The rules, None for a file whose fields are in another order than SentencePiece writes.
    """
    places = list(_places_of_pieces(data))
    if len(places) != vocab_size:
        return None
    message = Message(data[places[-1][1] :], "SentencePiece model")
    normalizer = message.message(_NORMALIZER, "normalizer")
    denormalizer = message.message(_DENORMALIZER, "denormalizer")
    trainer = message.message(_TRAINER, "trainer")

    def flag(spec: Message | None, number: int, default: bool) -> bool:
        value = None if spec is None else spec.boolean(number)
        return default if value is None else value

    return DecodingRules(
        adds_dummy_prefix=flag(normalizer, _DUMMY_PREFIX, True),
        removes_extra_whitespace=flag(normalizer, _EXTRA_WHITESPACE, True),
        rewrites_text=(denormalizer is not None and denormalizer.last([_CHARSMAP]) is not None)
        or flag(trainer, _SUFFIX_WHITESPACE, False)
        or not flag(normalizer, _ESCAPE_WHITESPACE, True),
    )


def find_user_defined(data: bytes, vocab_size: int, candidates: list[int]) -> list[int]:
    """Return which of the ids are pieces that are matched in any text, whatever is around them.

    Args:
        data: A model that SentencePiece has read without complaint.
        vocab_size: How many pieces it has.
        candidates: Ids to look at; all are returned where the file does not tell.
    """
    places = list(_places_of_pieces(data)) if candidates else []
    if len(places) != vocab_size:
        return candidates
    return [
        token
        for token in candidates
        if Message(data[slice(*places[token])], "piece").integer(_PIECE_TYPE) == _USER_DEFINED
    ]


def _places_of_pieces(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each piece's message begins and ends; they come first in the file, by id."""
    offset, size = 0, len(data)
    while offset + 2 < size and data[offset] == _PIECE_TAG:
        length, offset = data[offset + 1], offset + 2
        if length >= 0x80:  # a varint of two bytes; no piece is longer
            length, offset = length & 0x7F | data[offset] << 7, offset + 1
        yield offset, offset + length
        offset += length
