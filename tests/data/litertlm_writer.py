"""Writes .litertlm files for tests: sound ones, and ones that are wrong in a chosen way."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers

ALIGNMENT = 16384

NUMBERS = {
    "none": 0,
    "generic_binary": 1,
    "deprecated": 2,
    "tflite_model": 3,
    "sentencepiece_tokenizer": 4,
    "llm_metadata": 5,
    "huggingface_tokenizer": 6,
    "tflite_weights": 7,
    "embedding_metadata": 8,
    "executor_metadata": 9,
    "tts_metadata": 10,
    "asr_metadata": 11,
}
_UINT32_VALUE, _STRING_VALUE = 5, 9

# What a reader takes for a .tflite model from its first bytes alone.
TFLITE_STUB = b"\x1c\x00\x00\x00TFL3" + bytes(24)


@dataclass(frozen=True)
class Part:
    """One section: its kind (a name or a number), its content and its items.

    ``begin`` and ``end`` replace the true offsets in the header.
    """

    kind: str | int
    content: bytes
    items: Mapping[str, str | int] = field(default_factory=dict)
    begin: int | None = None
    end: int | None = None


def model(kind: str = "tf_lite_prefill_decode", content: bytes = TFLITE_STUB, **items: str) -> Part:
    """Make a section with a .tflite model; ``items`` such as ``backend_constraint``."""
    return Part("tflite_model", content, {"model_type": kind, **items})


def huggingface(text: bytes, size: int | None = None) -> Part:
    """Make a section with a compressed tokenizer.json, of a declared size."""
    declared = len(text) if size is None else size
    return Part("huggingface_tokenizer", struct.pack("<Q", declared) + zlib.compress(text))


def container(
    parts: Sequence[Part],
    *,
    entries: Mapping[str, str | int] | None = None,
    version: tuple[int, int, int] = (1, 7, 0),
    alignment: int = ALIGNMENT,
    header_end: int | None = None,
) -> bytes:
    """Write a file; ``header_end`` replaces the true end of the header."""
    # The header's size depends on no offset, so a first one tells where the sections begin.
    offsets = [(0, 0) for _ in parts]
    end = 32 + len(_header(parts, offsets, entries or {}))
    body = b""
    begin = end
    for number, part in enumerate(parts):
        padding = -(end + len(body)) % alignment
        body += bytes(padding)
        begin = end + len(body)
        body += part.content
        offsets[number] = (begin, begin + len(part.content))
    header = _header(parts, offsets, entries or {})
    prologue = struct.pack("<8sIII4xQ", b"LITERTLM", *version, header_end or end)
    return prologue + header + body


def _header(
    parts: Sequence[Part], offsets: Sequence[tuple[int, int]], entries: Mapping[str, str | int]
) -> bytes:
    builder = flatbuffers.Builder()
    builder.ForceDefaults(True)  # zeros are written, so that the size never changes
    sections = [_section(builder, part, place) for part, place in zip(parts, offsets, strict=True)]
    listing = _table(builder, (_vector(builder, sections),))
    system = _table(builder, (_items(builder, entries),))
    builder.Finish(_table(builder, (system, listing)))
    return bytes(builder.Output())


def _section(builder: flatbuffers.Builder, part: Part, place: tuple[int, int]) -> int:
    items = _items(builder, part.items)
    begin = place[0] if part.begin is None else part.begin
    end = place[1] if part.end is None else part.end
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, items, 0)
    builder.PrependUint64Slot(1, begin, 0)
    builder.PrependUint64Slot(2, end, 0)
    number = NUMBERS[part.kind] if isinstance(part.kind, str) else part.kind
    builder.PrependUint8Slot(3, number, 0)
    return int(builder.EndObject())


def _items(builder: flatbuffers.Builder, items: Mapping[str, str | int]) -> int:
    return _vector(builder, [_item(builder, key, value) for key, value in items.items()])


def _item(builder: flatbuffers.Builder, key: str, value: str | int) -> int:
    name = builder.CreateString(key)
    if isinstance(value, str):
        stored = _table(builder, (builder.CreateString(value),))
    else:
        builder.StartObject(1)
        builder.PrependUint32Slot(0, value, 0)
        stored = builder.EndObject()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint8Slot(1, _STRING_VALUE if isinstance(value, str) else _UINT32_VALUE, 0)
    builder.PrependUOffsetTRelativeSlot(2, stored, 0)
    return int(builder.EndObject())


def _table(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartObject(len(offsets))
    for number, offset in enumerate(offsets):
        builder.PrependUOffsetTRelativeSlot(number, offset, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def varint(value: int) -> bytes:
    """Encode an integer; a negative one in ten bytes."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes([*encoded, value])


def message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """Encode a protocol buffer: ints as varints, floats in 4 bytes, text and messages by length."""
    encoded = b""
    for number, value in fields:
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            encoded += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            content = value.encode() if isinstance(value, str) else value
            encoded += varint(number << 3 | 2) + varint(len(content)) + content
    return encoded


def packed(*values: int) -> bytes:
    """Encode the content of a packed repeated field."""
    return b"".join(map(varint, values))


def ids(*values: int) -> bytes:
    """Encode a TokenUnion of ids."""
    return message((1, message((1, packed(*values)))))


# Every field that is read, with a value of its own.
LLM_METADATA = message(
    (1, ids(2)),
    (2, ids(1)),
    (2, message((2, "<end_of_turn>"))),
    (3, message((1, message((1, "<user>"), (2, "</user>"))), (2, message((1, "<model>"))))),
    (4, message((1, 2), (2, 40), (3, 0.95), (4, 0.5), (5, 7))),
    (5, 1280),
    (6, message((4, b""))),
    (7, "{{ messages[0].content }}\nsecond line"),
    (8, message((1, "thought"), (2, "<think>"), (3, "</think>"), (4, 1))),
    (9, message((1, packed(5, 300)))),
    (10, -3),
    (11, 1),
    (12, 0),
    (13, ids(0)),
    (14, "0.18.0"),
)


def state_buffer(name: str, kind: int, axis: int) -> bytes:
    """Encode a StateBuffer whose four names are the same."""
    names = [(number, name) for number in range(1, 5)]
    return message(*names, (6, kind), (7, axis), (8, 64), (9, 1280))


EXECUTOR_METADATA = message(
    (
        1,
        message(
            (1, 1280),
            (2, state_buffer("kv_cache_k_0", 1, 1)),
            (2, state_buffer("kv_cache_v_0", 4, 3)),
            (3, message((1, 1), (2, 2), (3, 512))),
        ),
    )
)


def sound_parts() -> list[Part]:
    """Return the sections of a file that can be loaded, as far as its first bytes tell."""
    return [
        Part("llm_metadata", LLM_METADATA),
        Part("executor_metadata", EXECUTOR_METADATA),
        huggingface(b'{"model": "a tokenizer"}'),
        model(prefer_activation_type="fp32_fp16"),
        model("tf_lite_embedder"),
    ]
