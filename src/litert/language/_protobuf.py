"""A small reader of protocol buffers that trusts nothing it reads.

Source of the format: the "Encoding" page of the protocol buffers documentation. Fields that are
not asked for, or that have another type than is asked for, are skipped as the format wants it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from litert.errors import FileFormatError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_FLOAT = struct.Struct("<f")
_MAX_VARINT_BYTES = 10
# Each is a tuple in memory; the messages read here have some hundreds.
_MAX_FIELDS = 1 << 17


class Message:
    """The fields of one message. Nested ones are read when they are asked for. Immutable."""

    __slots__ = ("_fields", "_name")

    def __init__(self, data: bytes, name: str) -> None:
        """Split a message into its fields.

        Args:
            data: The message.
            name: What errors call it.

        Raises:
            FileFormatError: The bytes are no message.
        """
        self._name = name
        self._fields: list[tuple[int, int, int | bytes]] = []
        try:
            for field in _fields(data):
                self._fields.append(field)
                if len(self._fields) > _MAX_FIELDS:
                    raise FileFormatError(f"more than {_MAX_FIELDS} fields")
        except FileFormatError as err:
            raise FileFormatError(f"damaged {name}: {err}") from err

    def last(self, numbers: Collection[int] | None = None) -> int | None:
        """Return which text or message comes last: the one of a ``oneof`` that counts.

        Args:
            numbers: The fields of the ``oneof``; None for any.
        """
        for field, wire_type, _ in reversed(self._fields):
            if wire_type == _BYTES and (numbers is None or field in numbers):
                return field
        return None

    def integer(self, number: int, bits: int = 32) -> int | None:
        """Read a signed integer or an enum of ``bits`` bits; None where it is left out."""
        values = self._varints(number)
        return _signed(values[-1], bits) if values else None

    def boolean(self, number: int) -> bool | None:
        """Read a bool; None where it is left out."""
        values = self._varints(number)
        return bool(values[-1]) if values else None

    def floating(self, number: int) -> float | None:
        """Read a float; None where it is left out."""
        values = self._stretches(number, _FIXED32)
        return float(_FLOAT.unpack(values[-1])[0]) if values else None

    def text(self, number: int) -> str | None:
        """Read a string; None where it is left out.

        Raises:
            FileFormatError: It is not UTF-8.
        """
        values = self._stretches(number)
        if not values:
            return None
        try:
            return values[-1].decode()
        except UnicodeDecodeError as err:
            raise FileFormatError(
                f"damaged {self._name}: expected UTF-8 text in field {number}, got {err}"
            ) from err

    def integers(self, number: int) -> tuple[int, ...]:
        """Read a repeated int32, packed or not, or both."""
        values: list[int] = []
        for field, wire_type, value in self._fields:
            if field != number:
                continue
            if isinstance(value, int):
                values.append(_signed(value, 32))
            elif wire_type == _BYTES:
                values += self._unpack(value)
        return tuple(values)

    def message(self, number: int, name: str) -> Message | None:
        """Read a nested message; None where it is left out.

        One that comes in pieces is merged, which for protocol buffers is joining their bytes.
        """
        values = self._stretches(number)
        return Message(b"".join(values), name) if values else None

    def messages(self, number: int, name: str) -> Iterator[Message]:
        """Yield the messages of a repeated field."""
        for value in self._stretches(number):
            yield Message(value, name)

    def _varints(self, number: int) -> list[int]:
        return [
            value for field, _, value in self._fields if field == number and isinstance(value, int)
        ]

    def _stretches(self, number: int, wire_type: int = _BYTES) -> list[bytes]:
        return [
            value
            for field, wire, value in self._fields
            if (field, wire) == (number, wire_type) and isinstance(value, bytes)
        ]

    def _unpack(self, data: bytes) -> Iterator[int]:
        offset = 0
        try:
            while offset < len(data):
                value, offset = _varint(data, offset)
                yield _signed(value, 32)
        except FileFormatError as err:
            raise FileFormatError(f"damaged {self._name}: {err}") from err


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield number, wire type and value of each field."""
    offset = 0
    while offset < len(data):
        tag, offset = _varint(data, offset)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise FileFormatError(f"field number 0 before byte {offset}")
        if wire_type == _VARINT:
            value, offset = _varint(data, offset)
            yield number, wire_type, value
            continue
        if wire_type == _BYTES:
            size, offset = _varint(data, offset)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise FileFormatError(f"wire type {wire_type} before byte {offset}")
        if size > len(data) - offset:
            raise FileFormatError(
                f"field {number} has {size} bytes at byte {offset} of {len(data)}"
            )
        yield number, wire_type, data[offset : offset + size]
        offset += size


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return an unsigned number of 64 bits and where it ends."""
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        if offset == len(data):
            raise FileFormatError(f"a number is cut short at byte {offset}")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, offset
    raise FileFormatError(f"a number has more than {_MAX_VARINT_BYTES} bytes at byte {offset}")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
