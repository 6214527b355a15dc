"""Tokenizers of the ``sentencepiece`` package: a serialized model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from litert.errors import MissingExtraError, TokenizerError
from litert.language.sentencepiece_file import WITHOUT_ADDED_SPACE, find_user_defined
from litert.language.token_table import SPACE_SYMBOL, TokenTable, table_of_sentencepiece
from litert.language.tokenizer import Tokenizer, is_control_text

if TYPE_CHECKING:
    import sentencepiece


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model. Immutable; any number of threads may use it.

    SentencePiece itself never takes control pieces from a text; here a template can write them.
    """

    def __init__(self, data: bytes) -> None:
        """Read it.

        Args:
            data: The content of the file.

        Raises:
            TokenizerError: It is damaged.
            MissingExtraError: The package is not installed.
        """
        self._processor = _parse(data)
        self.vocab_size = self._processor.vocab_size()
        try:
            self._processor.id_to_piece(list(range(self.vocab_size)))
        except UnicodeDecodeError as err:
            raise TokenizerError("damaged SentencePiece model: a piece is no UTF-8 text") from err
        self.bos_token = _known(self._processor.bos_id())
        self.eos_token = _known(self._processor.eos_id())

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of all ids; control pieces and unknown ids give none."""
        text: str = self._processor.decode(
            [token for token in tokens if 0 <= token < self.vocab_size]
        )
        return text

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece as the vocabulary spells it, None where it has no such one."""
        token: int = self._processor.piece_to_id(piece)
        return token if self.piece_of(token) == piece else None

    def piece_of(self, token: int) -> str | None:
        """Return how the vocabulary spells a piece, None for an id that it does not have."""
        if not 0 <= token < self.vocab_size:
            return None
        piece: str = self._processor.id_to_piece(token)
        return piece

    def make_table(self) -> TokenTable | None:
        """Return the bytes of each id, None where a token's text depends on its neighbours."""
        return table_of_sentencepiece(self._processor)

    @cached_property
    def _control_pieces(self) -> dict[str, int]:
        ids = list(range(self.vocab_size))
        pieces = self._processor.id_to_piece(ids)
        is_control = self._processor.is_control(ids)
        return {
            piece: token
            for token, piece in enumerate(pieces)
            if is_control[token] and is_control_text(piece, is_special=True)
        }

    @cached_property
    def _control_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._control_pieces, key=len, reverse=True)
        # (?!) matches nowhere.
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

    @cached_property
    def _special_tokens(self) -> frozenset[int]:
        """Control pieces, and user-defined tags: which of these a reply shows is not known."""
        ids = list(range(self.vocab_size))
        candidates = [
            token
            for token, piece in enumerate(self._processor.id_to_piece(ids))
            if is_control_text(piece, is_special=False)
        ]
        user_defined = find_user_defined(
            self._processor.serialized_model_proto(), self.vocab_size, candidates
        )
        return frozenset(user_defined).union(self._control_pieces.values())

    @property
    def _tag_tokens(self) -> frozenset[int]:
        return frozenset()

    def _text_of(self, token: int) -> str:
        piece: str = self._processor.id_to_piece(token)
        return piece.replace(SPACE_SYMBOL, " ")

    def _encode(self, text: str, *, is_start: bool) -> list[int]:
        processor = self._processor if is_start else self._without_added_space
        tokens: list[int] = []
        # Every second part is a control piece, after which the text starts anew.
        for number, part in enumerate(self._control_pattern.split(text)):
            if number % 2 == 0:
                tokens += processor.encode(part)
            else:
                tokens.append(self._control_pieces[part])
                processor = self._processor
        return tokens

    @cached_property
    def _without_added_space(self) -> sentencepiece.SentencePieceProcessor:
        """The same model, without the space that it adds before a text."""
        return _parse(self._processor.serialized_model_proto() + WITHOUT_ADDED_SPACE)


def _parse(data: bytes) -> sentencepiece.SentencePieceProcessor:
    try:
        from sentencepiece import SentencePieceProcessor
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            "a SentencePiece model needs sentencepiece: pip install 'litert-native[llm]'"
        ) from err
    if not data:
        raise TokenizerError("the tokenizer is empty")
    try:
        processor = SentencePieceProcessor(model_proto=data)
    except RuntimeError as err:
        raise TokenizerError(
            f"expected a tokenizer.json or a SentencePiece model, got {len(data)} bytes that "
            f"start with {data[:8]!r} and are neither, or are damaged"
        ) from err
    if processor.vocab_size() == 0:
        raise TokenizerError("the SentencePiece model has no pieces")
    return processor


def _known(token: int) -> int | None:
    return token if token >= 0 else None
