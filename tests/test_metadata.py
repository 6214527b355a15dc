"""The metadata of .litertlm files: what it says, and what damaged metadata ends in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import litertlm_writer as writer
from data.litertlm_writer import message, packed, varint
from litert.errors import FileFormatError
from litert.language._protobuf import Message
from litert.language.metadata import (
    MAX_METADATA_BYTES,
    ExecutorMetadata,
    LlmMetadata,
    OutputChannel,
    PromptAffixes,
    PromptTemplates,
    SamplerParameters,
    StateBuffer,
    TokenUnion,
    read_executor_metadata,
    read_llm_metadata,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def test_llm_metadata_has_every_field() -> None:
    assert read_llm_metadata(writer.LLM_METADATA) == LlmMetadata(
        start_token=TokenUnion((2,)),
        stop_tokens=(TokenUnion((1,)), TokenUnion((), "<end_of_turn>")),
        pad_token=TokenUnion((0,)),
        suppressed_tokens=(5, 300),
        chat_template="{{ messages[0].content }}\nsecond line",
        prompt_templates=PromptTemplates(
            user=PromptAffixes("<user>", "</user>"),
            model=PromptAffixes("<model>", ""),
            system=PromptAffixes("", ""),
        ),
        channels=(OutputChannel("thought", "<think>", "</think>", True),),
        sampler=SamplerParameters("top_p", 40, pytest.approx(0.95), 0.5, 7),
        context_length=1280,
        model_type="gemma3",
        cache_init_value=-3,
        supports_thinking=True,
        supports_function_calling=False,
        min_runtime_version="0.18.0",
    )


def test_executor_metadata_has_every_field() -> None:
    key, value = (
        StateBuffer(name, name, name, name, kind, axis, 64, 1280)
        for name, kind, axis in (
            ("kv_cache_k_0", "global_key", 1),
            ("kv_cache_v_0", "local_value", 3),
        )
    )
    assert read_executor_metadata(writer.EXECUTOR_METADATA) == ExecutorMetadata(
        state_buffers=(key, value),
        max_history_size=1280,
        attention_mask="causal",
        local_attention_mask="bidirectional",
        sliding_window_size=512,
    )


def test_empty_metadata_says_nothing() -> None:
    assert read_llm_metadata(b"") == LlmMetadata()
    assert read_executor_metadata(b"") == ExecutorMetadata()


def test_sequence_axis_0_differs_from_none() -> None:
    buffers = message((1, message((2, message((7, 0))), (2, message((1, "x"))))))
    axes = [buffer.sequence_axis for buffer in read_executor_metadata(buffers).state_buffers]
    assert axes == [0, None]


@settings(deadline=None)
@given(st.lists(INT32), st.lists(INT32))
def test_repeated_integers_are_read_packed_and_unpacked(left: list[int], right: list[int]) -> None:
    unpacked = message(*((1, value) for value in left))
    data = unpacked + message((1, packed(*right)))
    assert Message(data, "TokenIds").integers(1) == (*left, *right)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_keep_their_sign_and_wrap_to_their_bits(value: int) -> None:
    read = Message(message((1, value)), "m")
    assert read.integer(1, bits=64) == value
    assert read.integer(1) == (value + 2**31) % 2**32 - 2**31
    assert read.boolean(1) == (value != 0)


def test_last_value_of_a_field_counts() -> None:
    assert read_llm_metadata(message((5, 64), (5, 128))).context_length == 128


def test_last_field_of_a_oneof_counts() -> None:
    ids, text = (1, message((1, 7))), (2, "x")
    for fields, expected in (((ids, text), TokenUnion((), "x")), ((text, ids), TokenUnion((7,)))):
        assert read_llm_metadata(message((1, message(*fields)))).start_token == expected
    types = message((6, message((2, b""), (5, b""))))
    assert read_llm_metadata(types).model_type == "qwen3"


def test_field_of_a_oneof_in_another_wire_type_does_not_count() -> None:
    metadata = read_llm_metadata(
        message((1, message((1, message((1, 7))), (2, 0))), (6, message((4, b""), (5, 1))))
    )
    assert metadata.start_token == TokenUnion((7,))
    assert metadata.model_type == "gemma3"


def test_message_in_pieces_is_merged() -> None:
    sampler = read_llm_metadata(message((4, message((2, 40))), (4, message((3, 0.5))))).sampler
    assert sampler == SamplerParameters("unspecified", 40, 0.5, 0.0, None)


@pytest.mark.parametrize("empty", [b"", writer.ids(), message((1, b"")), message((2, ""))])
def test_token_without_ids_and_text_is_none(empty: bytes) -> None:
    metadata = read_llm_metadata(message((1, empty), (2, empty), (2, writer.ids(4))))
    assert metadata.start_token is None
    assert metadata.stop_tokens == (TokenUnion((4,)),)


def test_unknown_fields_are_skipped_by_wire_type() -> None:
    fixed64 = varint(600 << 3 | 1) + bytes(8)
    unknown = message((500, 1), (501, "text"), (502, 1.0)) + fixed64
    assert read_llm_metadata(unknown + writer.LLM_METADATA + unknown) == read_llm_metadata(
        writer.LLM_METADATA
    )


def test_known_field_of_another_wire_type_is_skipped() -> None:
    assert read_llm_metadata(message((5, "text"), (7, 3), (4, 1))) == LlmMetadata()
    assert Message(message((3, 7)), "m").floating(3) is None


def test_unknown_numbers_of_enums_are_told() -> None:
    metadata = read_llm_metadata(message((4, message((1, 9))), (6, message((99, b"")))))
    assert metadata.sampler is not None
    assert metadata.sampler.kind == "type_9"
    assert metadata.model_type == "type_99"
    negative = read_llm_metadata(message((4, message((1, -1))))).sampler
    assert negative is not None
    assert negative.kind == "type_-1"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (message((7, b"\xff\xfe")), "UTF-8 text in field 7"),
        (message((8, message((1, b"\xc3")))), "damaged channels: expected UTF-8"),
        (b"\x28", "a number is cut short at byte 1"),
        (b"\x28" + b"\xff" * 10 + b"\x01", "more than 10 bytes"),
        (b"\x3a\x05abc", "field 7 has 5 bytes at byte 2 of 5"),
        (b"\x3a" + varint(2**63), "field 7 has 9223372036854775808 bytes"),
        (b"\x25\x00\x00", "field 4 has 4 bytes"),
        (b"\x2b", "wire type 3"),
        (b"\x2f", "wire type 7"),
        (b"\x00\x01", "field number 0"),
        (message((9, message((1, b"\x80")))), "damaged suppress_tokens: a number is cut short"),
        (message((1, b"\x0a\x09")), "damaged start_token: field 1 has 9 bytes"),
        (message((5, -1)), "max_num_tokens of 0 or more, got -1"),
        (message((4, message((2, -1)))), "k of 0 or more, got -1"),
        (message((4, message((4, float("nan"))))), "expected finite numbers, got p 0.0 and"),
        (message((4, message((3, float("inf"))))), "expected finite numbers, got p inf"),
    ],
)
def test_damaged_metadata_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(FileFormatError, match=match) as caught:
        read_llm_metadata(data)
    assert str(caught.value).startswith("damaged ")


def test_oversized_metadata_is_refused_unread() -> None:
    with pytest.raises(FileFormatError, match="expected 4194304 bytes at most, got 4194305"):
        read_executor_metadata(bytes(MAX_METADATA_BYTES + 1))


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(FileFormatError, match="more than 131072 fields"):
        read_llm_metadata(b"\x28\x01" * (1 << 18))


def test_deeply_nested_bytes_are_read_as_deep_as_the_schema() -> None:
    data = b""
    for _ in range(2000):
        data = message((1, data))
    assert read_executor_metadata(data).state_buffers == ()


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([writer.LLM_METADATA, writer.EXECUTOR_METADATA]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    st.integers(0, 1 << 16),
)
def test_any_damage_ends_in_metadata_or_file_format_error(
    data: bytes, edits: list[tuple[int, int]], size: int
) -> None:
    content = bytearray(data)
    for place, value in edits:
        content[place % len(content)] = value
    for read in (read_llm_metadata, read_executor_metadata):
        try:
            result = read(bytes(content[: size % (len(content) + 1)]))
        except FileFormatError:
            continue
        assert isinstance(result, (LlmMetadata, ExecutorMetadata))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_metadata_or_file_format_error(data: bytes) -> None:
    for read in (read_llm_metadata, read_executor_metadata):
        try:
            result = read(data)
        except FileFormatError:
            continue
        assert isinstance(result, (LlmMetadata, ExecutorMetadata))


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_are_read_exactly(value: float) -> None:
    read = Message(message((4, value)), "m").floating(4)
    assert struct.pack("<f", read) == struct.pack("<f", value)
