"""Text to ids and back, whichever library a model's tokenizer needs."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from litert.backends.language_protocol import TextDecoder
from litert.errors import TokenizerError
from litert.language.detokenizer import DecodingDetokenizer, TableDetokenizer
from litert.language.token_table import TokenTable

if TYPE_CHECKING:
    from litert import _native

# How control tokens are written, where a tokenizer's own words, emoji or runs of spaces are not.
_TAG = re.compile(r"[<\[{|].+[>\]}|]", re.DOTALL)


class Tokenizer(ABC):
    """A tokenizer. Immutable; any number of threads may use it.

    Control tokens are those that structure a prompt: special ones, and others that are matched in
    any text and are written as tags, such as ``<think>``. Only a template may write them.

    Attributes:
        vocab_size: The largest id and one.
        bos_token: Id that stands before a text, None where the tokenizer does not know.
        eos_token: Id that ends a text, None where the tokenizer does not know.
        chat_template: Source of the template that came with the tokenizer, None for none.

    Example:
        >>> tokenizer = load_tokenizer("smollm2/tokenizer.json")
        >>> tokenizer.decode(tokenizer.encode("Why is the sky blue?"))
        'Why is the sky blue?'
    """

    vocab_size: int
    bos_token: int | None = None
    eos_token: int | None = None
    chat_template: str | None = None

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of all ids; special tokens and unknown ids give none."""

    @abstractmethod
    def id_of(self, piece: str) -> int | None:
        """Return the id of a token as the vocabulary spells it, None where it has no such one."""

    @abstractmethod
    def piece_of(self, token: int) -> str | None:
        """Return how the vocabulary spells a token, None for an id that it does not have."""

    @abstractmethod
    def make_table(self) -> TokenTable | None:
        """Return the bytes of each id, None where a token's text depends on its neighbours."""

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Return the ids of a text, without any before or after it.

        Args:
            text: Any text.
            allow_special: Control tokens that are written in the text are taken as such; else
                they are ordinary text.

        Raises:
            TokenizerError: It is no text that has a UTF-8 form.
        """
        _check_text(text)
        tokens = self._encode(text, is_start=True)
        if allow_special or self._control_tokens.isdisjoint(tokens):
            return tokens
        return self.encode_parts(self.split_control(text))

    def encode_parts(self, parts: Sequence[str]) -> list[int]:
        """Return the ids of a text in parts; no token reaches from one part into the next.

        Control tokens that are written in a part are taken as such.

        Raises:
            TokenizerError: A part has no UTF-8 form.
        """
        tokens: list[int] = []
        for number, part in enumerate(parts):
            _check_text(part)
            tokens += self._encode(part, is_start=number == 0)
        return tokens

    def split_control(self, text: str, *, keep_tags: bool = False) -> list[str]:
        """Cut a text inside of each control token that is written in it.

        Args:
            text: Any text.
            keep_tags: Leave those whole that are not special: a model's reply shows them, and they
                are to be the same tokens when it is read again.

        Returns:
            The parts, which joined are the text; one where it has no control token.

        Raises:
            TokenizerError: It is no text that has a UTF-8 form.
        """
        _check_text(text)
        control = self._special_tokens if keep_tags else self._control_tokens
        parts: list[str] = []
        left = [text]
        while left:
            part = left.pop()
            found = control.intersection(self._encode(part, is_start=True))
            if found and len(part) > 1:
                left += reversed(_cut(part, [self._text_of(token) for token in found]))
            else:
                parts.append(part)
        return parts

    def stream(self, native: bool, *, is_continuation: bool = False) -> TextDecoder:
        """Return what turns the ids of one generation into text.

        Args:
            native: Let the core do it where it can.
            is_continuation: Text comes before; no space is dropped at the start.
        """
        if native and self._native_table is not None:
            from litert._extension import native as extension

            return extension.Detokenizer(self._native_table, is_continuation)
        if not native and self._table is not None:
            return TableDetokenizer(self._table, is_continuation=is_continuation)
        context = self._encode("a", is_start=True) if is_continuation else ()
        return DecodingDetokenizer(self.decode, context)

    @cached_property
    def _table(self) -> TokenTable | None:
        return self.make_table()

    @cached_property
    def _native_table(self) -> _native.TokenTable | None:
        # A table of Python's own objects takes megabytes: it goes again.
        table = self.make_table()
        return None if table is None else table.to_native()

    @cached_property
    def _control_tokens(self) -> frozenset[int]:
        return self._special_tokens | self._tag_tokens

    @property
    @abstractmethod
    def _special_tokens(self) -> frozenset[int]:
        """Control tokens that no reply shows."""

    @property
    @abstractmethod
    def _tag_tokens(self) -> frozenset[int]:
        """Control tokens that a reply shows."""

    @abstractmethod
    def _encode(self, text: str, *, is_start: bool) -> list[int]:
        """Encode with control tokens; without a space that is added at the start of a text."""

    @abstractmethod
    def _text_of(self, token: int) -> str:
        """Return how a control token is written in a text."""


def is_control_text(text: str, *, is_special: bool) -> bool:
    """Return whether a token with this text structures a prompt."""
    if is_special:
        return len(text) > 1 and not text.isspace()
    return _TAG.fullmatch(text) is not None


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TokenizerError(f"expected text, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise TokenizerError(
            f"the text has half of a surrogate pair at character {err.start}; it has no UTF-8 form"
        ) from err


def _cut(text: str, written: Iterable[str]) -> list[str]:
    """Cut a text behind the first character of each of these, which encoding found in it.

    Where none is there as it is written, normalization made it: then the text is cut in half.
    """
    pattern = re.compile(f"(?={'|'.join(map(re.escape, written))})")
    ends = [match.start() + 1 for match in pattern.finditer(text)] or [len(text) // 2]
    ends = [end for end in ends if end < len(text)]
    return [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
