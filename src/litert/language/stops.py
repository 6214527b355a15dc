"""What ends a generation: a text, or a sequence of ids, found as it comes and never shown.

Does in Python what the core's StopMatcher and StopTokens do. Of several stops the one that ends
first counts; of those that end together, the longest.
"""

from __future__ import annotations

from collections.abc import Sequence

from litert.errors import OptionError


class StopMatcher:
    """Finds stop strings in text that comes in pieces. One thread at a time.

    Example:
        >>> matcher = StopMatcher(["User:"])
        >>> matcher.push("Yes. Us")
        (False, 'Yes. ')
        >>> matcher.push("er: and")
        (True, '')
    """

    __slots__ = ("_held", "_is_stopped", "_stops")

    def __init__(self, stop_strings: Sequence[str]) -> None:
        """Start before the text.

        Args:
            stop_strings: Any number, also none.

        Raises:
            OptionError: One is empty.
        """
        self._stops = tuple(stop_strings)
        if not all(self._stops):
            raise OptionError("a stop string is empty; expected one character or more")
        self._held = ""
        self._is_stopped = False

    def push(self, text: str) -> tuple[bool, str]:
        """Take the next piece of text.

        Returns:
            Whether a stop string is complete, and the text that is free to be shown: what comes
            before it, or what no stop string can begin in. After a stop all text is dropped.
        """
        if self._is_stopped:
            return True, ""
        self._held += text
        found = [
            (begin + len(stop), begin)
            for stop in self._stops
            if (begin := self._held.find(stop)) >= 0
        ]
        if found:
            visible, self._held = self._held[: min(found)[1]], ""
            self._is_stopped = True
            return True, visible
        num_visible = len(self._held) - _num_open(self._held, self._stops)
        visible, self._held = self._held[:num_visible], self._held[num_visible:]
        return False, visible

    def flush(self) -> str:
        """Return what was held back: the text has ended."""
        visible, self._held = self._held, ""
        return visible


class StopTokens:
    """Finds stop sequences in ids that come one by one. One thread at a time."""

    __slots__ = ("_held", "_is_stopped", "_stops")

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        """Start before the first id.

        Args:
            sequences: Any number, also none; most have one id.

        Raises:
            OptionError: One is empty.
        """
        self._stops = tuple(tuple(sequence) for sequence in sequences)
        if not all(self._stops):
            raise OptionError("a stop sequence is empty; expected one id or more")
        self._held: tuple[int, ...] = ()
        self._is_stopped = False

    def push(self, token: int) -> tuple[bool, list[int]]:
        """Take the next id.

        Returns:
            Whether a sequence is complete, whose ids are dropped then, and the ids that no
            sequence can begin with any more, in order. After a stop all ids are dropped.
        """
        if self._is_stopped:
            return True, []
        self._held = (*self._held, token)
        complete = [len(stop) for stop in self._stops if self._held[-len(stop) :] == stop]
        self._is_stopped = bool(complete)
        num_kept = max(complete) if complete else _num_open(self._held, self._stops)
        num_released = len(self._held) - num_kept
        released = list(self._held[:num_released])
        self._held = () if self._is_stopped else self._held[num_released:]
        return self._is_stopped, released

    def flush(self) -> list[int]:
        """Return the ids that were held back."""
        released, self._held = list(self._held), ()
        return released


def _num_open(held: Sequence[object], stops: Sequence[Sequence[object]]) -> int:
    """Return how many of the last symbols may be the beginning of a stop."""
    longest = max((len(stop) for stop in stops), default=1)
    for length in range(min(longest - 1, len(held)), 0, -1):
        end = held[len(held) - length :]
        if any(stop[:length] == end for stop in stops):
            return length
    return 0
