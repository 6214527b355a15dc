"""Text from ids in Python: by a table, or by a tokenizer that decodes all of them again."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Sequence

from litert.language.token_table import TokenTable

_EACH_BYTE = "litert.replace_each_byte"
# Tokens that may still change text before them: a character of four bytes, or the longest
# contraction that a tokenizer puts together from its parts (``do n ' t``).
_NUM_OPEN_TOKENS = 4


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(_EACH_BYTE, _replace_each_byte)


class TableDetokenizer:
    """Does in Python what the core's Detokenizer does. One thread at a time.

    Joined, the pieces are what the tokenizer decodes from all ids at once, but for one case: in a
    run of byte tokens that is not UTF-8 as a whole, some tokenizers give up the whole characters
    too, which have been handed out here by then. Ids outside the table give no text.
    """

    def __init__(self, table: TokenTable, *, is_continuation: bool = False) -> None:
        """Start before the first id.

        Args:
            table: The tokenizer's.
            is_continuation: Text comes before; no space is dropped at the start.
        """
        errors = _EACH_BYTE if table.replaces_each_byte else "replace"
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)
        self._table = table
        self._is_at_start = not is_continuation and bool(table.start_rows)

    def push(self, token: int) -> str:
        """Take the next id and return the text that is complete now."""
        table = self._table
        if not 0 <= token < len(table.rows) or table.is_skipped[token]:
            return ""
        row = table.rows[token]
        if self._is_at_start:
            start_row = table.start_rows[token]
            self._is_at_start = not (start_row if table.start_lasts_until_text else row)
            row = start_row
        # A row without bytes, a control piece, ends a character all the same.
        return self._decoder.decode(row) if row else self.flush()

    def flush(self) -> str:
        """Return what is left; a broken character as U+FFFD."""
        return self._decoder.decode(b"", final=True)


class DecodingDetokenizer:
    """Decodes all ids again with each one: slow, and right for any tokenizer.

    One thread at a time. Text is handed out once it has not changed for some tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        """Start before the first id.

        Args:
            decode: Of the tokenizer.
            context: Ids whose text comes before and is not handed out.
        """
        self._decode = decode
        self._tokens = list(context)
        self._text = decode(self._tokens) if context else ""
        self._num_shown = len(self._text)
        self._last_texts: deque[str] = deque(maxlen=_NUM_OPEN_TOKENS)

    def push(self, token: int) -> str:
        """Take the next id and return the text that is complete now."""
        self._tokens.append(token)
        self._text = self._decode(self._tokens)
        self._last_texts.append(self._text)
        if len(self._last_texts) < _NUM_OPEN_TOKENS:
            return ""
        return self._show_until(self._num_shown + self._num_settled())

    def flush(self) -> str:
        """Return what is left; a broken character as U+FFFD."""
        return self._show_until(len(self._text))

    def _num_settled(self) -> int:
        """Return how many characters that are not shown yet the last texts agree on."""
        first, *others = (text[self._num_shown :] for text in self._last_texts)
        for length, characters in enumerate(zip(first, *others, strict=False)):
            if len(set(characters)) > 1:
                return length
        return min(map(len, (first, *others)))

    def _show_until(self, end: int) -> str:
        shown, self._num_shown = self._num_shown, max(self._num_shown, end)
        return self._text[shown : self._num_shown]
