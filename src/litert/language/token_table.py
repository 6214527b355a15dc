"""What each id stands for in bytes, for the tokenizers whose text is a join of such rows.

Whether it is follows from how a tokenizer decodes. Where a token's text depends on its neighbours
(WordPiece, CTC, word ends as suffixes) there is no table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litert.language.sentencepiece_file import read_decoding_rules

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

    from litert import _native

SPACE_SYMBOL = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """Rows of bytes by id, and how they join to text. Immutable.

    Attributes:
        rows: UTF-8, or parts of it; joined they are the text.
        start_rows: What the ids give at the start of a text, where some tokenizers drop spaces;
            empty where they give the same everywhere.
        is_skipped: One byte a row; 1 for special tokens, which give no text.
        replaces_each_byte: Of a broken character each byte becomes one U+FFFD, or all of them
            together one.
        start_lasts_until_text: The start rows serve until there is text, or for the first row that
            is not empty.
    """

    rows: tuple[bytes, ...]
    start_rows: tuple[bytes, ...] = ()
    is_skipped: bytes
    replaces_each_byte: bool = False
    start_lasts_until_text: bool = False

    def to_native(self) -> _native.TokenTable:
        """Copy it into the core.

        Raises:
            ImportError: There is no extension module.
        """
        from litert._extension import native

        return native.TokenTable(
            self.rows,
            self.start_rows,
            self.is_skipped,
            self.replaces_each_byte,
            self.start_lasts_until_text,
        )


def table_of_huggingface(tokenizer: Tokenizer) -> TokenTable | None:
    """Build the table of a tokenizer of the ``tokenizers`` package.

    Returns:
        The table, None where its decoder has a step that looks at more than one token.
    """
    if tokenizer.decoder is None:
        return None
    # The only way to a decoder's settings that does not write out the whole vocabulary.
    steps = _steps_of(json.loads(tokenizer.decoder.__getstate__()))
    pieces, is_skipped = _pieces_of(tokenizer)
    if [step["type"] for step in steps if step["type"] != "Fuse"] == ["ByteLevel"]:
        return TokenTable(rows=tuple(_byte_level_rows(pieces)), is_skipped=is_skipped)
    chain = _DecoderChain(pieces)
    if not all(chain.apply(step) for step in steps):
        return None
    return TokenTable(
        rows=chain.to_bytes(chain.rows),
        start_rows=chain.start_bytes(),
        is_skipped=is_skipped,
        replaces_each_byte=chain.byte_rows is not None,
    )


def table_of_sentencepiece(processor: SentencePieceProcessor) -> TokenTable | None:
    """Build the table of a SentencePiece model.

    Returns:
        The table, None for models that rewrite the decoded text.
    """
    rules = read_decoding_rules(processor.serialized_model_proto(), processor.vocab_size())
    if rules is None or rules.rewrites_text:
        return None
    ids = list(range(processor.vocab_size()))
    pieces: list[str] = processor.id_to_piece(ids)
    is_control: list[bool] = processor.is_control(ids)
    is_byte: list[bool] = processor.is_byte(ids)
    unknown = processor.unk_id()
    rows = [piece.replace(SPACE_SYMBOL, " ").encode() for piece in pieces]
    for token, (control, byte) in enumerate(zip(is_control, is_byte, strict=True)):
        if control:
            rows[token] = b""
        elif byte:
            rows[token] = bytes([int(pieces[token][3:5], 16)])
        elif token == unknown:
            rows[token] = processor.decode([token]).encode()
    start_rows = [
        row[1:] if piece.startswith(SPACE_SYMBOL) else row
        for piece, row in zip(pieces, rows, strict=True)
    ]
    drops_space = rules.adds_dummy_prefix or rules.removes_extra_whitespace
    return TokenTable(
        rows=tuple(rows),
        start_rows=tuple(start_rows) if drops_space else (),
        is_skipped=bytes(len(rows)),
        replaces_each_byte=True,
        start_lasts_until_text=rules.removes_extra_whitespace,
    )


class _DecoderChain:
    """Applies a decoder's steps to every token at once.

    What a step behind ByteFallback replaces is replaced in texts, not where byte tokens spell it:
    a vocabulary that has the piece never encodes it as bytes.

    Attributes:
        rows: Texts by id.
        start_rows: Those at the start of a text, None until a step makes a difference.
        byte_rows: Tokens that are a byte and no text, None until a step makes them so.
    """

    def __init__(self, pieces: list[str]) -> None:
        self.rows = pieces
        self.start_rows: list[str] | None = None
        self.byte_rows: dict[int, bytes] | None = None
        self._is_fused = False
        self._is_stripped = False

    def apply(self, step: dict[str, Any]) -> bool:
        """Apply a step; False where it is none that rows can show."""
        kind = step["type"]
        if kind == "Fuse":
            self._is_fused = True
            return True
        if kind == "Strip":
            # One space, of the whole text, which Fuse has made one token.
            is_known = (step["content"], step["start"], step["stop"]) == (" ", 1, 0)
            if not is_known or not self._is_fused or self._is_stripped or self.start_rows:
                return False
            self._is_stripped = True
            return True
        # Any other step after Fuse sees the whole text as one token.
        if self._is_fused:
            return False
        if kind == "ByteFallback":
            self.byte_rows = _find_byte_rows(self.rows)
            return True
        if kind == "Replace" and "String" in step["pattern"]:
            self._replace(step["pattern"]["String"], step["content"])
            return True
        return kind == "Metaspace" and self._metaspace(step)

    def to_bytes(self, rows: list[str]) -> tuple[bytes, ...]:
        """Return rows as bytes."""
        encoded = [row.encode() for row in rows]
        for token, byte in (self.byte_rows or {}).items():
            encoded[token] = byte
        return tuple(encoded)

    def start_bytes(self) -> tuple[bytes, ...]:
        """Return the start rows as bytes, none where they are the others."""
        if self._is_stripped:
            return tuple(row.removeprefix(b" ") for row in self.to_bytes(self.rows))
        return () if self.start_rows is None else self.to_bytes(self.start_rows)

    def _metaspace(self, step: dict[str, Any]) -> bool:
        if self.start_rows is not None:
            return False
        symbol = step["replacement"]
        if step.get("prepend_scheme", "always") != "never":
            self.start_rows = [row.replace(symbol, "") for row in self.rows]
        self._replace(symbol, " ")
        return True

    def _replace(self, old: str, new: str) -> None:
        self.rows = [row.replace(old, new) for row in self.rows]
        if self.start_rows is not None:
            self.start_rows = [row.replace(old, new) for row in self.start_rows]


def _steps_of(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] != "Sequence":
        return [decoder]
    return [step for inner in decoder["decoders"] for step in _steps_of(inner)]


def _pieces_of(tokenizer: Tokenizer) -> tuple[list[str], bytes]:
    """Return the pieces by id, and which of them are skipped: special ones and holes."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    size = max(vocabulary.values(), default=-1) + 1
    pieces, is_skipped = [""] * size, bytearray(b"\1" * size)
    for piece, token in vocabulary.items():
        pieces[token], is_skipped[token] = piece, 0
    for token, added in tokenizer.get_added_tokens_decoder().items():
        pieces[token], is_skipped[token] = added.content, added.special
    return pieces, bytes(is_skipped)


def _find_byte_rows(pieces: Sequence[str]) -> dict[int, bytes]:
    matches = ((token, _BYTE_TOKEN.fullmatch(piece)) for token, piece in enumerate(pieces))
    return {token: bytes([int(match[1], 16)]) for token, match in matches if match is not None}


class _ByteLevelCharacters(dict[int, int]):
    """The byte that each character of a byte-level vocabulary stands for, for str.translate.

    Printable characters of Latin-1 stand for themselves; the other bytes, in order, for the
    characters from U+0100 on. Any other character gets a number that is no byte.
    """

    def __init__(self) -> None:
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(0x100) if byte not in printable]
        super().__init__(zip(printable, printable, strict=True))
        self.update((0x100 + number, byte) for number, byte in enumerate(others))

    def __missing__(self, character: int) -> int:
        return 0x100


def _byte_level_rows(pieces: Sequence[str]) -> Iterator[bytes]:
    """Yield what tokens stand for: one with a character that is no byte is text as it is."""
    characters = _ByteLevelCharacters()
    for piece in pieces:
        try:
            yield piece.translate(characters).encode("latin-1")
        except UnicodeEncodeError:
            yield piece.encode()
