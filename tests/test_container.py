"""The table of contents of .litertlm files: sound, damaged and hostile ones."""

from __future__ import annotations

import importlib.metadata
import struct
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import litertlm_writer as writer
from fuzz.make_corpus import seeds
from litert.errors import FileFormatError, UnsupportedModelError
from litert.language.container import Container, read_container

# Earlier releases lay out some tables in another order.
FLATBUFFERS_VERSION = "25.12.19"
SMALL = writer.container(writer.sound_parts(), entries={"Authors": "a test"}, alignment=16)


def read(content: bytes) -> Container:
    return read_container(memoryview(content))


def test_sections_have_kind_place_and_items() -> None:
    parts = writer.sound_parts()
    content = writer.container(parts)
    sections = read(content).sections
    assert [section.kind for section in sections] == [part.kind for part in parts]
    assert [content[section.begin : section.end] for section in sections] == [
        part.content for part in parts
    ]
    assert sections[3].items == {
        "model_type": "tf_lite_prefill_decode",
        "prefer_activation_type": "fp32_fp16",
    }
    assert sections[3].size == len(writer.TFLITE_STUB)


def test_version_and_entries_are_told() -> None:
    container = read(writer.container([], entries={"Authors": "me"}, version=(1, 99, 3)))
    assert container.version == (1, 99, 3)
    assert container.entries == {"Authors": "me"}


def test_empty_header_is_a_container_of_nothing() -> None:
    content = struct.pack("<8sIII4xQ", b"LITERTLM", 1, 0, 0, 44) + struct.pack("<IHHi", 8, 4, 4, 4)
    assert read(content) == Container((1, 0, 0), {}, ())


def test_sections_in_any_order_are_read() -> None:
    parts = [writer.Part(1, b"a" * 16, begin=16400, end=16416), writer.Part(1, b"b" * 16)]
    parts[1] = writer.Part(1, b"b" * 16, begin=16384, end=16400)
    content = writer.container(parts)
    assert [section.begin for section in read(content).sections] == [16400, 16384]


def test_unknown_section_kind_and_values_are_kept() -> None:
    part = writer.Part(99, b"later", {"model_type": "tf_lite_later", "count": 7})
    container = read(writer.container([part], entries={"number": 7}))
    assert container.sections[0].kind == "type_99"
    assert container.sections[0].items == {"model_type": "tf_lite_later", "count": None}
    assert container.sections[0].item("count") == ""
    assert container.entries == {"number": None}


def test_item_is_compared_in_lower_case() -> None:
    section = read(writer.container([writer.model(" TF_LITE_AUX ")])).sections[0]
    assert section.item("model_type") == "tf_lite_aux"


@pytest.mark.parametrize("size", [0, 7, 8, 31, 32, 40, 200])
def test_truncated_file_is_refused(size: int) -> None:
    with pytest.raises(FileFormatError, match=r"no .litertlm file|header ends at byte"):
        read(writer.container(writer.sound_parts())[:size])


def test_truncated_section_is_named() -> None:
    content = writer.container(writer.sound_parts())
    with pytest.raises(FileFormatError, match=r"section 4 \(tflite_model\) .* cut short"):
        read(content[:-1])


def test_other_magic_is_refused() -> None:
    with pytest.raises(FileFormatError, match=r"got 64 bytes that start with b'GGUF"):
        read(b"GGUF" + bytes(60))


@pytest.mark.parametrize("major", [0, 2, 2**32 - 1])
def test_other_major_version_is_not_supported(major: int) -> None:
    content = writer.container([], version=(major, 1, 2))
    with pytest.raises(UnsupportedModelError, match=rf"version {major}\.1\.2 .*update"):
        read(content)


@pytest.mark.parametrize("header_end", [1, 32, 2**40, 2**64 - 1])
def test_header_outside_of_the_file_is_refused(header_end: int) -> None:
    with pytest.raises(FileFormatError, match=f"header ends at byte {header_end} of"):
        read(writer.container(writer.sound_parts(), header_end=header_end))


def test_absurd_header_is_refused() -> None:
    content = writer.container(writer.sound_parts(), header_end=2**20 + 1) + bytes(2**20)
    with pytest.raises(FileFormatError, match="expected a header of 1048576 bytes at most"):
        read(content)


def test_garbage_header_is_refused() -> None:
    content = bytearray(SMALL)
    content[32:36] = b"\xff\xff\xff\x7f"
    with pytest.raises(FileFormatError, match=r"^header of the container: damaged FlatBuffer"):
        read(bytes(content))


@pytest.mark.parametrize(
    ("begin", "end"),
    [(16400, 16390), (0, 16), (40, 16400), (16384, 2**63), (2**64 - 1, 2**64 - 1)],
    ids=["backwards", "in-prologue", "in-header", "behind-end", "maximal"],
)
def test_section_outside_of_its_place_is_refused(begin: int, end: int) -> None:
    part = writer.Part("llm_metadata", bytes(32), begin=begin, end=end)
    with pytest.raises(FileFormatError, match=rf"section 0 .llm_metadata. is at bytes {begin} to"):
        read(writer.container([part]))


def test_overlapping_sections_are_refused() -> None:
    parts = [
        writer.Part("llm_metadata", bytes(32)),
        writer.Part("executor_metadata", bytes(32), begin=16400, end=16432),
    ]
    with pytest.raises(FileFormatError, match="two sections overlap at byte 16400"):
        read(writer.container(parts))


def test_empty_section_between_others_is_read() -> None:
    parts = [writer.Part(1, b""), writer.Part(1, b"x"), writer.Part(1, b"")]
    assert [section.size for section in read(writer.container(parts)).sections] == [0, 1, 0]


def test_header_whose_parts_overlap_is_refused_before_it_fills_memory() -> None:
    # 1,000 sections that are one table, with 1,000 items that are one table: a million if believed.
    count, vtable = 1000, struct.pack("<HHH", 6, 8, 4)
    item = 16 + 12 + 8 * count + 40
    body = bytearray(item + 16)
    # Root, which has its vtable at 4, and the listing of the sections, which has its own at 20.
    struct.pack_into("<IHHHH", body, 0, 12, 8, 8, 0, 4)
    struct.pack_into("<iI", body, 12, 8, 28 - 16)
    body[20:26] = vtable
    struct.pack_into("<iI", body, 28, 8, 4)
    sections, section = 36, 36 + 4 + 4 * count
    struct.pack_into("<I", body, sections, count)
    for place in range(sections + 4, section, 4):
        struct.pack_into("<I", body, place, section + 8 - place)
    body[section : section + 6] = vtable
    struct.pack_into("<iI", body, section + 8, 8, 4)
    items = section + 16
    struct.pack_into("<I", body, items, count)
    for place in range(items + 4, items + 4 + 4 * count, 4):
        struct.pack_into("<I", body, place, item + 4 - place)
    struct.pack_into("<HHi", body, item, 4, 4, 4)
    content = struct.pack("<8sIII4xQ", b"LITERTLM", 1, 7, 0, 32 + len(body)) + bytes(body)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="its parts overlap or are too many"):
            read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "name", ["transposed_f32", "transposed_f32_sp", "reauthored_wi8", "split_f32"]
)
def test_real_file_holds_the_model_beside_it(
    name: str, shared_model: Callable[[str], Path]
) -> None:
    content = shared_model(f"llm/small_llama_{name}.litertlm").read_bytes()
    model = shared_model(f"llm/small_llama_{name.removesuffix('_sp')}.tflite").read_bytes()
    container = read(content)
    assert container.version == (1, 7, 0)
    assert container.entries["Authors"] == "litert-native"
    main = next(
        section
        for section in container.sections
        if section.item("model_type") == "tf_lite_prefill_decode"
    )
    assert content[main.begin : main.end] == model
    assert all(section.begin % 16384 == 0 for section in container.sections)


def test_seeds_of_the_fuzz_targets_are_what_their_script_writes() -> None:
    if importlib.metadata.version("flatbuffers") != FLATBUFFERS_VERSION:
        pytest.skip(f"the seeds are written with flatbuffers {FLATBUFFERS_VERSION}")
    corpus = Path(__file__).parent / "fuzz" / "corpus"
    written = {
        str(path.relative_to(corpus)): path.read_bytes()
        for path in corpus.rglob("*")
        if path.is_file()
    }
    assert written == seeds()


def check_soundness(content: bytes) -> None:
    """Read what may be damaged: an error of ours, or sections that lie in the file."""
    try:
        container = read(content)
    except (FileFormatError, UnsupportedModelError):
        return
    assert all(32 <= part.begin <= part.end <= len(content) for part in container.sections)
    places = sorted((part.begin, part.end) for part in container.sections)
    assert all(first[1] <= second[0] for first, second in pairwise(places))


@settings(deadline=None)
@given(st.integers(0, len(SMALL) - 1))
def test_any_truncation_is_refused(size: int) -> None:
    with pytest.raises(FileFormatError, match=r"litertlm|container"):
        read(SMALL[:size])


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(st.integers(0, 8 * len(SMALL) - 1)), min_size=1, max_size=8))
def test_any_flipped_bits_are_survived(bits: list[tuple[int]]) -> None:
    content = bytearray(SMALL)
    for (bit,) in bits:
        content[bit // 8] ^= 1 << (bit % 8)
    check_soundness(bytes(content))


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 600), st.binary(max_size=64))
def test_any_overwritten_header_is_survived(offset: int, patch: bytes) -> None:
    place = 32 + offset
    check_soundness(SMALL[:place] + patch + SMALL[place + len(patch) :])


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_prologue_are_survived(body: bytes) -> None:
    prologue = struct.pack("<8sIII4xQ", b"LITERTLM", 1, 7, 0, 32 + len(body))
    check_soundness(prologue + body)
