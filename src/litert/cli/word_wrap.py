"""Breaks a text into lines while it comes."""

from __future__ import annotations

import unicodedata

_TAB = "    "


class WordWrap:
    """Breaks a text that comes in pieces at spaces, into lines of a width.

    A word is held until it is complete, and line breaks until a word follows. Where the pieces
    begin and end changes nothing.

    Args:
        width: Columns of the terminal.
        indent: What stands before each line that is not empty.
    """

    def __init__(self, width: int, indent: str = "") -> None:
        self._room = max(width - len(indent), 1)
        self._indent = indent
        self._column = 0  # of the line under way, without the indent
        self._breaks = ""  # before the word, and after them
        self._spaces = ""
        self._word = ""
        self._word_columns = 0

    def push(self, text: str) -> str:
        """Take the next piece and return what can be shown by now."""
        return "".join(map(self._take, text.replace("\t", _TAB)))

    def flush(self) -> str:
        """Return the word that is left at the end."""
        return self._end_word()

    def _take(self, character: str) -> str:
        if character == "\n":
            shown = self._end_word()
            self._column, self._spaces = 0, ""
            self._breaks += "\n"
            return shown
        if character == " ":
            shown = self._end_word()
            self._spaces += " "
            return shown
        columns = _columns(character)
        shown = ""
        # Wide characters are words by themselves; what is longer than a line breaks anywhere.
        if columns == 2 or self._word_columns + columns > self._room:
            shown = self._end_word()
        self._word += character
        self._word_columns += columns
        return shown + self._end_word() if columns == 2 else shown

    def _end_word(self) -> str:
        if not self._word:
            return ""
        word, columns = self._word, self._word_columns
        breaks, spaces = self._breaks, self._spaces
        self._word, self._word_columns, self._breaks, self._spaces = "", 0, "", ""
        if self._column + len(spaces) + columns > self._room:
            breaks += "\n" if self._column else ""
            self._column, spaces = 0, ""
        start = "" if self._column else self._indent
        self._column += len(spaces) + columns
        return f"{breaks}{start}{spaces}{word}"


def _columns(character: str) -> int:
    """Return the columns of a terminal that a character takes."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
