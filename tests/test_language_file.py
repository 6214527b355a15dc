"""What a loader is told about a language-model file, and every file that it is told not to load."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import litertlm_writer as writer
from data.litertlm_writer import Part, huggingface, model
from litert.errors import FileFormatError, ModelError, ModelNotFoundError, UnsupportedModelError
from litert.language.compressed_tokenizer import inflate_tokenizer
from litert.language.container import read_container
from litert.language.language_file import LanguageFile, find_parts, open_language_file

TOKENIZER = b'{"model": "a tokenizer"}'
SMALL = writer.container(writer.sound_parts(), alignment=16)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Sequence[Part]], Path]:
    """Write a .litertlm file with these sections."""

    def write(parts: Sequence[Part]) -> Path:
        path = tmp_path / "m.litertlm"
        path.write_bytes(writer.container(parts))
        return path

    return write


Write = Callable[[Sequence[Part]], Path]


def test_parts_of_a_sound_file_are_found(write: Write) -> None:
    path = write(writer.sound_parts())
    content = path.read_bytes()
    file = open_language_file(path)
    assert (file.path, file.kind, file.tokenizer_kind) == (path, "litertlm", "huggingface")
    assert file.embedder is not None
    for span in (file.model, file.embedder):
        assert content[span.offset : span.offset + span.size] == writer.TFLITE_STUB
    assert file.model.offset < file.embedder.offset
    assert file.metadata is not None
    assert file.metadata.context_length == 1280
    assert file.executor is not None
    assert file.executor.sliding_window_size == 512
    assert file.tokenizer_bytes() == TOKENIZER
    assert file.unused_models == ()


def test_parts_that_are_missing_are_none(write: Write) -> None:
    file = open_language_file(str(write([model()])))
    assert file.metadata is file.executor is file.embedder is None
    assert file.tokenizer is file.tokenizer_kind is file.tokenizer_path is None
    assert file.tokenizer_bytes() is None


def test_sentencepiece_tokenizer_is_read_as_it_is(write: Write) -> None:
    file = open_language_file(write([model(), Part("sentencepiece_tokenizer", b"\x0a\x01x")]))
    assert file.tokenizer_kind == "sentencepiece"
    assert file.tokenizer_bytes() == b"\x0a\x01x"


def test_models_and_sections_that_text_does_not_need_are_told(write: Write) -> None:
    parts = [
        model("tf_lite_vision_encoder", backend_constraint="gpu"),
        Part(99, b"from the future"),
        Part("tflite_model", writer.TFLITE_STUB),
        Part("tflite_weights", b"x", {"model_type": "tf_lite_vision_encoder"}),
        model(backend_constraint="CPU, gpu"),
    ]
    file = open_language_file(write(parts))
    assert file.unused_models == ("tf_lite_vision_encoder", "no model_type")


def test_bare_tflite_is_the_model_as_a_whole(data: Path, tmp_path: Path) -> None:
    path = data / "add.tflite"
    file = open_language_file(path, tokenizer=tmp_path)
    size = path.stat().st_size
    assert file == LanguageFile(path, "tflite", (0, size), tokenizer_path=tmp_path)


def test_kind_follows_the_content_not_the_name(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes((data / "add.tflite").read_bytes())
    assert open_language_file(path).kind == "tflite"


def test_given_tokenizer_is_told_beside_the_files_own(write: Write) -> None:
    file = open_language_file(write(writer.sound_parts()), tokenizer="tokenizer.json")
    assert file.tokenizer_path == Path("tokenizer.json")
    assert file.tokenizer_kind == "huggingface"


def test_given_tokenizer_settles_which_of_two(write: Write) -> None:
    path = write([model(), huggingface(TOKENIZER), Part("sentencepiece_tokenizer", b"x")])
    assert open_language_file(path, tokenizer="t").tokenizer_kind is None
    with pytest.raises(FileFormatError, match="one tokenizer at most, got 2; pass tokenizer="):
        open_language_file(path)


UNSUPPORTED = [
    (
        [Part("llm_metadata", b""), model("tf_lite_vision_encoder"), Part(99, b"")],
        "expected a model of type tf_lite_prefill_decode, "
        "found llm_metadata, tf_lite_vision_encoder, type_99; take the file that has",
    ),
    ([], "found no sections"),
    ([Part("tflite_model", writer.TFLITE_STUB)], "found no model_type"),
    (
        [model("tf_lite_artisan_text_decoder")],
        "tf_lite_artisan_text_decoder, for the GPU or the web only; take .*-web or -gpu",
    ),
    ([model(backend_constraint="gpu")], "tf_lite_prefill_decode runs on gpu only .*for the CPU"),
    ([model(backend_constraint="npu, GPU")], "runs on npu or gpu only"),
    (
        [model(), model("tf_lite_embedder", backend_constraint="npu")],
        "its tf_lite_embedder runs on npu only",
    ),
    ([model(), model()], "expected one prefill/decode model, got 2; take a release"),
    (
        [model(), model("tf_lite_per_layer_embedder")],
        "has a tf_lite_per_layer_embedder .Gemma 3n and Gemma 4., which is not supported yet",
    ),
    ([model(), Part("tflite_weights", b"w")], "weights of its model lie in a section of their own"),
    (
        [model(), Part("tflite_weights", b"w", {"model_type": "tf_lite_prefill_decode"})],
        "release with the weights in the model",
    ),
]


@pytest.mark.parametrize(("parts", "match"), UNSUPPORTED)
def test_sound_file_that_does_not_run_is_not_supported(
    write: Write, parts: list[Part], match: str
) -> None:
    path = write(parts)
    with pytest.raises(UnsupportedModelError, match=match) as caught:
        open_language_file(path)
    assert str(caught.value).startswith(f"model {str(path)!r}: ")
    assert not str(caught.value).endswith(".")


def test_message_does_not_repeat_all_that_a_file_says(write: Write) -> None:
    with pytest.raises(UnsupportedModelError, match=r"found x+…; take the file") as caught:
        open_language_file(write([model("x" * 100_000)]))
    assert len(str(caught.value)) < 1000


DAMAGED = [
    ([model(content=b"PK\x03\x04" + bytes(40))], "its tf_lite_prefill_decode at byte 16384 is no"),
    ([model(content=b"\x1c\x00\x00\x00TFL3")], "is no .tflite model"),
    ([model(content=b"")], "TFL3 at byte 4, got b''"),
    ([model(), model("tf_lite_embedder", b"\0" * 32)], "its tf_lite_embedder at byte 32768 is no"),
    (
        [model(), model("tf_lite_embedder"), model("tf_lite_embedder")],
        "one embedder at most, got 2",
    ),
    ([model(), huggingface(b"a"), huggingface(b"b")], "one tokenizer at most, got 2"),
    ([model(), *[Part("llm_metadata", b"")] * 2], "one llm_metadata section at most, got 2"),
    ([model(), *[Part("executor_metadata", b"")] * 3], "one executor_metadata section .* got 3"),
    ([model(), Part("llm_metadata", b"\xff")], "damaged LlmMetadata: a number is cut short"),
    ([model(), Part("executor_metadata", b"\x0a\x7f")], "damaged ExecutorMetadata: field 1 has"),
    (
        [Part("llm_metadata", b"x", begin=16384, end=1 << 40), model()],
        "section 0 .* cut short",
    ),
]


@pytest.mark.parametrize(("parts", "match"), DAMAGED)
def test_damaged_part_is_refused(write: Write, parts: list[Part], match: str) -> None:
    path = write(parts)
    with pytest.raises(FileFormatError, match=match) as caught:
        open_language_file(path)
    assert str(caught.value).startswith(f"model {str(path)!r}: ")


def test_oversized_metadata_is_refused(write: Write) -> None:
    path = write([model(), Part("llm_metadata", bytes(5 << 20))])
    with pytest.raises(FileFormatError, match="damaged LlmMetadata: expected 4194304 bytes"):
        open_language_file(path)


def test_model_at_an_odd_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes(writer.container([Part(1, b"x"), model()], alignment=1))
    with pytest.raises(FileFormatError, match="does not start at a multiple of 16"):
        open_language_file(path)


def test_other_version_is_not_supported_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes(writer.container(writer.sound_parts(), version=(2, 0, 0)))
    with pytest.raises(UnsupportedModelError, match=r"m.litertlm': version 2.0.0 of the .litertlm"):
        open_language_file(path)


@pytest.mark.parametrize("size", [8, 40, 16384, 65000])
def test_truncated_file_is_refused(write: Write, size: int) -> None:
    path = write(writer.sound_parts())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FileFormatError, match=r"m.litertlm': (no .litertlm file|.*cut short)"):
        open_language_file(path)


def test_task_bundle_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "gemma.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("TF_LITE_PREFILL_DECODE", writer.TFLITE_STUB)
    with pytest.raises(
        FileFormatError,
        match=r"expected a .litertlm or .tflite language model, got a .task bundle .*"
        r"the .litertlm release of a language model with litert.LanguageModel",
    ):
        open_language_file(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "got an empty file"),
        (b"GGUF" + bytes(60), "got a GGUF model; take the model's .litertlm"),
        (b"LITERTL", "got a text file"),
        (bytes(64), "expected a .litertlm or .tflite language model .* damaged or of another"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        open_language_file(path)


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        open_language_file(tmp_path / "none.litertlm")
    with pytest.raises(FileFormatError, match="language model, got a directory"):
        open_language_file(tmp_path)


def test_file_is_let_go_of_after_an_error(write: Write) -> None:
    path = write([model(content=bytes(32))])
    with pytest.raises(FileFormatError, match=r"is no .tflite model") as caught:
        open_language_file(path)
    # The traceback keeps the frames alive, but the mapping is closed.
    assert caught.tb is not None
    assert str(path) not in Path("/proc/self/maps").read_text(errors="replace")


# The compressed tokenizer


def stored(text: bytes, size: int) -> bytes:
    return struct.pack("<Q", size) + zlib.compress(text, 9)


@pytest.mark.parametrize(
    ("section", "match"),
    [
        (b"", "got a size of 0 in 0 bytes"),
        (b"\1\0\0", "got a size of 1 in 3 bytes"),
        (stored(b"abc", 2), "expected 2 bytes of compressed data, got more"),
        (stored(b"abc", 4), "expected 4 bytes of compressed data, got less"),
        (stored(b"abc", 3) + b"x", "expected 3 bytes of compressed data, got more"),
        (stored(b"abc" * 99, 297)[:-1], "expected 297 bytes of compressed data, got less"),
        (stored(b"", 0) + stored(b"", 0), "got more"),
        (struct.pack("<Q", 8) + b"notzlib!", "incorrect header check"),
        (stored(b"abc", 3)[:-4] + bytes(4), "incorrect data check"),
        (stored(b"x", 2**63), "a size of 268435456 bytes at most"),
    ],
)
def test_damaged_tokenizer_is_refused(section: bytes, match: str) -> None:
    with pytest.raises(FileFormatError, match=f"^damaged tokenizer: .*{match}"):
        inflate_tokenizer(section)


def test_bomb_is_not_inflated_beyond_its_declared_size() -> None:
    with pytest.raises(FileFormatError, match="expected 1000 bytes of compressed data, got more"):
        inflate_tokenizer(stored(bytes(50 << 20), 1000))


def test_declared_size_above_the_bound_is_refused() -> None:
    with pytest.raises(FileFormatError, match="a size of 999 bytes at most"):
        inflate_tokenizer(stored(bytes(1000), 1000), max_bytes=999)


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_tokenizer_comes_back_as_it_was(text: bytes) -> None:
    assert inflate_tokenizer(stored(text, len(text))) == text


def test_damaged_tokenizer_names_the_file(write: Write) -> None:
    file = open_language_file(write([model(), huggingface(b"abc", 5)]))
    with pytest.raises(FileFormatError, match=r"m.litertlm': damaged tokenizer"):
        file.tokenizer_bytes()


def test_file_that_shrank_since_is_noticed(write: Write) -> None:
    path = write([model(), Part("sentencepiece_tokenizer", b"abc")])
    file = open_language_file(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="became shorter since it was opened"):
        file.tokenizer_bytes()


def test_file_that_is_gone_is_a_model_error(write: Write) -> None:
    path = write(writer.sound_parts())
    file = open_language_file(path)
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        file.tokenizer_bytes()


# Real and random files


@pytest.mark.parametrize(
    ("name", "tokenizer", "kind"),
    [
        ("transposed_wi8", "small_llama.tokenizer.json", "huggingface"),
        ("transposed_f32_sp", "small_llama.tokenizer.model", "sentencepiece"),
    ],
)
def test_real_file_has_the_tokenizer_beside_it(
    shared_model: Callable[[str], Path], name: str, tokenizer: str, kind: str
) -> None:
    file = open_language_file(shared_model(f"llm/small_llama_{name}.litertlm"))
    assert file.tokenizer_kind == kind
    assert file.tokenizer_bytes() == shared_model(f"llm/{tokenizer}").read_bytes()


def test_real_file_with_split_embedder_has_both_models(
    shared_model: Callable[[str], Path],
) -> None:
    path = shared_model("llm/small_llama_split_f32.litertlm")
    file, content = open_language_file(path), path.read_bytes()
    assert file.embedder is not None
    for span, name in ((file.model, ""), (file.embedder, ".embedder")):
        expected = shared_model(f"llm/small_llama_split_f32{name}.tflite").read_bytes()
        assert content[span.offset : span.offset + span.size] == expected
    assert file.metadata is not None
    assert file.metadata.context_length == 256


def test_real_executor_metadata_names_the_sequence_axis(
    shared_model: Callable[[str], Path],
) -> None:
    file = open_language_file(shared_model("llm/small_llama_reauthored_f32.litertlm"))
    assert file.executor is not None
    assert {
        (buffer.decode_input, buffer.kind, buffer.sequence_axis)
        for buffer in file.executor.state_buffers
    } == {
        (f"kv_cache_{short}_{layer}", f"global_{kind}", 1)
        for short, kind in (("k", "key"), ("v", "value"))
        for layer in (0, 1)
    }


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(1, 255)), max_size=6),
    st.integers(0, len(SMALL)),
)
def test_any_damage_ends_in_parts_or_an_error_of_ours(
    edits: list[tuple[int, int]], size: int
) -> None:
    content = bytearray(SMALL)
    for place, change in edits:
        content[place] ^= change
    view = memoryview(bytes(content[:size]))
    try:
        file = find_parts(view, read_container(view), Path("m.litertlm"))
    except (FileFormatError, UnsupportedModelError):
        return
    assert file.model.offset + file.model.size <= size
    assert bytes(view[file.model.offset + 4 : file.model.offset + 8]) == b"TFL3"
