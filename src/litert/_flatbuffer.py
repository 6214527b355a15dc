"""A small FlatBuffers reader that trusts nothing it reads.

Every offset and length is checked against the buffer before it is used. Source of the format: the
"FlatBuffers internals" document. All numbers are little-endian; an offset field of a table counts
from the field itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from litert.errors import FileFormatError

_UINT16 = struct.Struct("<H")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_SCALARS = {code: struct.Struct("<" + code) for code in "?bBhHiIqQfd"}

# Units of work, each about a byte of Python memory. A well-formed file needs less than
# _UNITS_PER_BYTE; a hostile one, whose vectors all point to one table, could ask for far more.
_UNITS_PER_TABLE = 64
_UNITS_PER_NUMBER = 16
_UNITS_PER_BYTE = 16
_MIN_UNITS = 1 << 16
_MAX_UNITS = 1 << 26


class Span(NamedTuple):
    """A stretch of the file, unread.

    Attributes:
        offset: Bytes from the start of the file.
        size: Bytes.
    """

    offset: int
    size: int


class Reader:
    """The bytes of one FlatBuffer and how much may still be read of them. One thread at a time."""

    __slots__ = ("_units", "data", "size")

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self._units = min(_MIN_UNITS + _UNITS_PER_BYTE * self.size, _MAX_UNITS)

    def root(self) -> Table:
        """Return the root table."""
        return Table(self, self.follow(0))

    def spend(self, units: int) -> None:
        """Count work, so that a file whose parts overlap cannot make reading it endless."""
        self._units -= units
        if self._units < 0:
            raise FileFormatError("damaged FlatBuffer: its parts overlap or are too many")

    def check(self, offset: int, size: int) -> None:
        """Raise unless ``size`` bytes at ``offset`` lie in the buffer."""
        if offset < 0 or offset + size > self.size:
            raise FileFormatError(
                f"damaged FlatBuffer: {size} bytes at offset {offset} are outside of its "
                f"{self.size} bytes; the file may be cut short"
            )

    def uint16(self, offset: int) -> int:
        self.check(offset, 2)
        return int(_UINT16.unpack_from(self.data, offset)[0])

    def uint32(self, offset: int) -> int:
        self.check(offset, 4)
        return int(_UINT32.unpack_from(self.data, offset)[0])

    def int32(self, offset: int) -> int:
        self.check(offset, 4)
        return int(_INT32.unpack_from(self.data, offset)[0])

    def follow(self, offset: int) -> int:
        """Return the position that the offset stored at ``offset`` points to."""
        return offset + self.uint32(offset)

    def vector(self, offset: int, item_size: int) -> Span:
        """Return where the items of the vector at ``offset`` lie; ``size`` is in bytes."""
        size = self.uint32(offset) * item_size
        self.check(offset + 4, size)
        return Span(offset + 4, size)

    def numbers(self, span: Span, code: str) -> tuple[int | float, ...]:
        """Read the numbers of ``span``, of the type that ``code`` names as in ``struct``."""
        count = span.size // _SCALARS[code].size
        self.spend(count * _UNITS_PER_NUMBER)
        return struct.unpack_from(f"<{count}{code}", self.data, span.offset)


class Table:
    """One table. Fields are named by their id: their place in the schema, from 0."""

    __slots__ = ("_position", "_reader", "_vtable", "_vtable_size")

    def __init__(self, reader: Reader, position: int) -> None:
        reader.spend(_UNITS_PER_TABLE)
        self._reader = reader
        self._position = position
        self._vtable = position - reader.int32(position)
        self._vtable_size = reader.uint16(self._vtable)
        reader.check(self._vtable, self._vtable_size)

    def _field(self, field: int) -> int | None:
        """Return the position of a field, None where the table leaves it out."""
        entry = 4 + 2 * field
        if entry + 2 > self._vtable_size:
            return None
        relative = self._reader.uint16(self._vtable + entry)
        return self._position + relative if relative else None

    def _target(self, field: int) -> int | None:
        position = self._field(field)
        return None if position is None else self._reader.follow(position)

    def has(self, field: int) -> bool:
        """Return whether the table holds the field."""
        return self._field(field) is not None

    def integer(self, field: int, code: str, default: int = 0) -> int:
        """Read an integer (or bool) of the type that ``code`` names as in ``struct``."""
        position = self._field(field)
        if position is None:
            return default
        scalar = _SCALARS[code]
        self._reader.check(position, scalar.size)
        return int(scalar.unpack_from(self._reader.data, position)[0])

    def string(self, field: int) -> str | None:
        """Read a string; bytes that are not UTF-8 come as escapes such as ``\\xff``."""
        span = self.span(field, 1)
        if span is None:
            return None
        self._reader.spend(span.size)
        text = bytes(self._reader.data[span.offset : span.offset + span.size])
        return text.decode("utf-8", "backslashreplace")

    def span(self, field: int, item_size: int) -> Span | None:
        """Return where the items of a vector lie, without reading them."""
        position = self._target(field)
        return None if position is None else self._reader.vector(position, item_size)

    def integers(self, field: int, code: str) -> tuple[int, ...] | None:
        """Read a vector of integers."""
        span = self.span(field, _SCALARS[code].size)
        return None if span is None else self._reader.numbers(span, code)  # type: ignore[return-value]

    def table(self, field: int) -> Table | None:
        """Return a table that a field points to."""
        position = self._target(field)
        return None if position is None else Table(self._reader, position)

    def tables(self, field: int) -> Iterator[Table]:
        """Yield the tables of a vector; none where the field is left out."""
        span = self.span(field, 4)
        if span is None:
            return
        for offset in range(span.offset, span.offset + span.size, 4):
            yield Table(self._reader, self._reader.follow(offset))
