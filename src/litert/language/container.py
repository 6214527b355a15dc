"""Reads the table of contents of a .litertlm file: which sections it has and where they lie.

The format: 32 bytes of prologue, a FlatBuffer header that lists the sections, and the sections.
All numbers are little-endian, all offsets count from the start of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from litert._flatbuffer import Reader, Table
from litert.errors import FileFormatError, UnsupportedModelError

MAGIC = b"LITERTLM"
MAJOR_VERSION = 1

# Magic, major, minor and patch version, padding, end of the header.
_PROLOGUE = struct.Struct("<8sIII4xQ")
# Headers have some hundred bytes a section.
_MAX_HEADER_BYTES = 1 << 20

# By the numbers of the header's schema (litertlm_header_schema.fbs of LiteRT-LM).
_KINDS = (
    *("none", "generic_binary", "deprecated", "tflite_model", "sentencepiece_tokenizer"),
    *("llm_metadata", "huggingface_tokenizer", "tflite_weights", "embedding_metadata"),
    *("executor_metadata", "tts_metadata", "asr_metadata"),
)
# The only type of value whose encoding is the same in every release of the format.
_STRING_VALUE = 9


@dataclass(frozen=True, slots=True)
class Section:
    """One section. Immutable.

    Attributes:
        kind: What it holds, such as ``"tflite_model"``; ``"type_99"`` for a number that the schema
            does not have.
        begin: Its first byte in the file.
        end: The byte behind its last one.
        items: What the file says about it, such as ``model_type``; None for a value that is no
            string. Of a key that comes twice, the first value.
    """

    kind: str
    begin: int
    end: int
    items: Mapping[str, str | None]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin

    def item(self, key: str) -> str:
        """Return a value in lower case, empty where the section does not have the key."""
        return (self.items.get(key) or "").strip().lower()


@dataclass(frozen=True, slots=True)
class Container:
    """What a .litertlm file holds. Immutable.

    Attributes:
        version: Major, minor and patch version of the format.
        entries: What the file says about itself, such as ``Authors``; values as in a section.
        sections: In the order of the header; they lie in the file and do not overlap.
    """

    version: tuple[int, int, int]
    entries: Mapping[str, str | None]
    sections: tuple[Section, ...]

    def of_kind(self, kind: str) -> list[Section]:
        """Return the sections of a kind."""
        return [section for section in self.sections if section.kind == kind]


def read_container(data: memoryview) -> Container:
    """Read the table of contents.

    Args:
        data: The whole file, uint8; a mapping of it is read only where the header lies, and no
            view of it is kept.

    Returns:
        The container. Section types and keys that are not known are kept as they are.

    Raises:
        FileFormatError: The bytes are no sound .litertlm file.
        UnsupportedModelError: It is of another major version.

    Example:
        >>> read_container(memoryview(content)).sections[0].kind
        'llm_metadata'
    """
    version, header_end = _read_prologue(data)
    header = bytes(data[_PROLOGUE.size : header_end])
    try:
        root = Reader(memoryview(header)).root()
        system, listing = root.table(0), root.table(1)
        entries = {} if system is None else _read_items(system, 0)
        tables = () if listing is None else listing.tables(0)
        sections = tuple(_read_section(table) for table in tables)
    except FileFormatError as err:
        raise FileFormatError(f"header of the container: {err}") from err
    _check_places(sections, header_end, len(data))
    return Container(version, entries, sections)


def _read_prologue(data: memoryview) -> tuple[tuple[int, int, int], int]:
    """Return the version and where the header ends."""
    if len(data) < _PROLOGUE.size or data[: len(MAGIC)] != MAGIC:
        raise FileFormatError(
            f"no .litertlm file: expected {_PROLOGUE.size} bytes or more that start with "
            f"LITERTLM, got {len(data)} bytes that start with {bytes(data[:8])!r}"
        )
    _, major, minor, patch, header_end = _PROLOGUE.unpack_from(data)
    if major != MAJOR_VERSION:
        raise UnsupportedModelError(
            f"version {major}.{minor}.{patch} of the .litertlm format; version {MAJOR_VERSION} "
            "can be read: update litert-native, or take a release of the model in that version"
        )
    if not _PROLOGUE.size < header_end <= len(data):
        raise FileFormatError(
            f"damaged container: its header ends at byte {header_end} of {len(data)}; "
            "the file may be cut short"
        )
    if header_end > _MAX_HEADER_BYTES:
        raise FileFormatError(
            f"damaged container: expected a header of {_MAX_HEADER_BYTES} bytes at most, "
            f"got one that ends at byte {header_end}"
        )
    return (major, minor, patch), header_end


def _read_section(table: Table) -> Section:
    number = table.integer(3, "B")
    return Section(
        kind=_KINDS[number] if number < len(_KINDS) else f"type_{number}",
        begin=table.integer(1, "Q"),
        end=table.integer(2, "Q"),
        items=_read_items(table, 0),
    )


def _read_items(table: Table, field: int) -> dict[str, str | None]:
    items: dict[str, str | None] = {}
    for entry in table.tables(field):
        value = entry.table(2) if entry.integer(1, "B") == _STRING_VALUE else None
        items.setdefault(entry.string(0) or "", None if value is None else value.string(0) or "")
    return items


def _check_places(sections: tuple[Section, ...], header_end: int, size: int) -> None:
    """Raise unless the sections lie behind the header, in the file and beside each other."""
    for number, section in enumerate(sections):
        if not header_end <= section.begin <= section.end <= size:
            raise FileFormatError(
                f"damaged container: section {number} ({section.kind}) is at bytes "
                f"{section.begin} to {section.end}, but sections lie between the header's end "
                f"{header_end} and the file's end {size}; the file may be cut short"
            )
    last_end = header_end
    for section in sorted(sections, key=lambda section: (section.begin, section.end)):
        if section.begin < last_end:
            raise FileFormatError(
                f"damaged container: two sections overlap at byte {section.begin} ({section.kind})"
            )
        last_end = section.end
