"""Opening language models: bare ones with a tokenizer beside them, and everything that is wrong."""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import litert
from language_models import small_llama, speller
from litert.language.language_file import open_language_file
from litert.options import Backend


@pytest.fixture
def bare_model(tmp_path: Path) -> Path:
    """The speller's model alone, without tokenizer and metadata."""
    span = open_language_file(speller()).model
    path = tmp_path / "speller.tflite"
    path.write_bytes(speller().read_bytes()[span.offset : span.offset + span.size])
    return path


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """The speller's tokenizer."""
    content = open_language_file(speller()).tokenizer_bytes()
    assert content is not None
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def expected() -> Iterator[litert.Generation]:
    with litert.LanguageModel(speller(), num_threads=1) as lm:
        yield lm.generate("spell 3", max_tokens=6, temperature=0)


def test_bare_model_takes_and_gives_ids(bare_model: Path, backend: Backend) -> None:
    with litert.LanguageModel(bare_model, num_threads=1, backend=backend) as lm:
        generation = lm.generate([0, 7, 11], max_tokens=4, logprobs=1)
        assert (generation.text, len(generation.tokens)) == ("", 4)
        assert [len(chunk.tokens) for chunk in lm.stream([0, 7, 11], max_tokens=4)] == [1] * 4


def test_bare_model_without_a_tokenizer_says_what_to_do_with_text(
    bare_model: Path, backend: Backend
) -> None:
    with litert.LanguageModel(bare_model, num_threads=1, backend=backend) as lm:
        for use in (
            lambda: lm.generate("spell 3"),
            lambda: lm.chat([{"role": "user", "content": "spell 3"}]),
            lambda: lm.generate([0, 7], stop=["x"]),
            lambda: lm.tokenizer,
        ):
            with pytest.raises(litert.TokenizerError, match="without a tokenizer; pass tokenizer="):
                use()
        assert lm.generate([0, 7], max_tokens=1).tokens  # ids still work


def test_bare_model_takes_a_tokenizer_beside_it(
    bare_model: Path, tokenizer_file: Path, expected: litert.Generation, backend: Backend
) -> None:
    for tokenizer in (tokenizer_file, tokenizer_file.parent):
        with litert.LanguageModel(
            bare_model, tokenizer=tokenizer, num_threads=1, backend=backend
        ) as lm:
            ids = [0, *lm.tokenizer.encode("spell 3")]
            generation = lm.generate(ids, max_tokens=6, temperature=0)
            assert generation.text.strip() == expected.text.strip()


def test_tokenizer_of_another_model_is_refused(bare_model: Path, backend: Backend) -> None:
    other = small_llama("small_llama.tokenizer.json")
    with pytest.raises(litert.TokenizerError, match="512 tokens, the model 399: it is another"):
        litert.LanguageModel(bare_model, tokenizer=other, backend=backend)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\x00" * 40, b"no tokenizer"])
def test_damaged_tokenizer_is_refused(
    content: bytes, bare_model: Path, tmp_path: Path, backend: Backend
) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(litert.TokenizerError, match=r"damaged\.json"):
        litert.LanguageModel(bare_model, tokenizer=path, backend=backend)


def test_missing_files_are_named(bare_model: Path, tmp_path: Path) -> None:
    with pytest.raises(litert.ModelNotFoundError, match=r"nothing\.litertlm"):
        litert.LanguageModel(tmp_path / "nothing.litertlm")
    with pytest.raises(litert.TokenizerError, match=r"nothing\.json"):
        litert.LanguageModel(bare_model, tokenizer=tmp_path / "nothing.json")


def test_model_without_a_chat_template_says_so(bare_model: Path, tokenizer_file: Path) -> None:
    with (
        litert.LanguageModel(bare_model, tokenizer=tokenizer_file, num_threads=1) as lm,
        pytest.raises(litert.ChatTemplateError, match="no chat template"),
    ):
        lm.chat([{"role": "user", "content": "spell 3"}])


def test_model_that_is_no_language_model_is_refused(data: Path, backend: Backend) -> None:
    with pytest.raises(litert.UnsupportedModelError, match="expected a signature 'decode'"):
        litert.LanguageModel(data / "mlp.tflite", backend=backend)


def test_cut_off_containers_are_refused_everywhere(tmp_path: Path) -> None:
    whole = speller().read_bytes()
    path = tmp_path / "cut.litertlm"
    for size in (0, 7, 8, 31, 32, 300, 16384, 20000, 40000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(litert.ModelError):
            litert.LanguageModel(path, weight_cache=None)


def test_flipped_bytes_give_errors_or_text_and_never_end_the_process(tmp_path: Path) -> None:
    whole = speller().read_bytes()
    path = tmp_path / "flipped.litertlm"
    draw = random.Random(5)
    begin = open_language_file(speller()).model.offset
    for number in range(60):
        damaged = bytearray(whole)
        # In the header, the metadata and the tokenizer, and in the graph.
        low, high = ((0, begin), (begin, len(whole)))[number % 2]
        for _ in range(draw.choice((1, 3, 30))):
            damaged[draw.randrange(low, high)] = draw.randrange(256)
        path.write_bytes(damaged)
        # Whatever comes out but an error of ours, or the end of the process, fails this test.
        with (
            contextlib.suppress(litert.LiteRTError),
            litert.LanguageModel(path, num_threads=1, weight_cache=None) as lm,
        ):
            lm.generate([0, 7, 11], max_tokens=2)


def test_refused_models_leave_nothing_behind(tmp_path: Path) -> None:
    def open_files() -> int:
        gc.collect()
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    path = tmp_path / "cut.litertlm"
    path.write_bytes(speller().read_bytes()[:40000])
    with pytest.raises(litert.ModelError):
        litert.LanguageModel(path, weight_cache=None)
    before = open_files()
    for _ in range(5):
        with pytest.raises(litert.ModelError):
            litert.LanguageModel(path, weight_cache=None)
    assert open_files() == before


def test_close_gives_the_files_back(tmp_path: Path) -> None:
    def mapped() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text(errors="replace").count(str(tmp_path))

    for _ in range(2):
        lm = litert.LanguageModel(speller(), num_threads=1, weight_cache=tmp_path)
        lm.generate([0, 7], max_tokens=1)
        lm.close()
        del lm
        assert mapped() == 0


def test_warmup_changes_nothing_but_the_time(expected: litert.Generation, backend: Backend) -> None:
    with litert.LanguageModel(speller(), num_threads=1, warmup=True, backend=backend) as lm:
        assert lm.generate("spell 3", max_tokens=6, temperature=0).tokens == expected.tokens


def test_unusable_cache_folder_costs_nothing_but_time(
    tmp_path: Path, expected: litert.Generation, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    with (
        caplog.at_level("DEBUG", "litert"),
        litert.LanguageModel(speller(), num_threads=1, weight_cache=file / "inner") as lm,
    ):
        assert lm.generate("spell 3", max_tokens=6, temperature=0).tokens == expected.tokens
    assert "cannot be used: packed weights stay in memory" in caplog.text
