"""Tokenizers: loading, ids of a text, and control tokens that a text has written out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_tokenizers as tiny
from litert import MissingExtraError, TokenizerError
from litert.language.load_tokenizer import load_tokenizer
from litert.language.tokenizer import Tokenizer

CONTROL = {
    "byte-level": "<|im_end|>",
    "byte-level-with-added": "<think>",
    "llama-like": "</s>",
    "bytes-and-metaspace": "</s>",
    "sentencepiece-bpe": "<eot>",
    "sentencepiece-unigram": "<ctl>",
    "sentencepiece-neither": "</s>",
}


def load(name: str) -> Tokenizer:
    return load_tokenizer(tiny.EVERY[name]())


@pytest.mark.parametrize("name", CONTROL)
def test_encode_takes_no_control_token_from_a_text(name: str) -> None:
    tokenizer, control = load(name), CONTROL[name]
    text = f"the dog{control} fox {control}{control}"
    tokens = tokenizer.encode(text)
    assert tokenizer.id_of(control) not in tokens
    assert tokenizer.decode(tokens) == text


@pytest.mark.parametrize("name", CONTROL)
def test_encode_takes_control_tokens_where_they_are_allowed(name: str) -> None:
    tokenizer, control = load(name), CONTROL[name]
    tokens = tokenizer.encode(f"the dog{control}fox", allow_special=True)
    assert tokens.count(tokenizer.id_of(control)) == 1


@pytest.mark.parametrize("name", tiny.EVERY)
@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.sampled_from(
            ["</s>", "<|im_end|>", "<think>", "<eot>", "<ctl>", "<s", "s>", "a", " ", "<"]
        )
    )
)
def test_encode_gives_no_control_token_whatever_the_text(name: str, pieces: list[str]) -> None:
    tokenizer = load(name)
    texts = ("</s>", "<|im_end|>", "<think>", "<eot>", "<ctl>", "<s>")
    control = {tokenizer.id_of(text) for text in texts} - {None}
    assert control.isdisjoint(tokenizer.encode("".join(pieces)))


@pytest.mark.parametrize("name", tiny.EVERY)
def test_encode_of_a_plain_text_is_the_same_with_control_tokens_allowed(name: str) -> None:
    tokenizer = load(name)
    text = "the quick brown fox, 日本 two words"
    assert tokenizer.encode(text) == tokenizer.encode(text, allow_special=True)


def test_encode_takes_added_words_from_a_text_that_are_no_tags() -> None:
    tokenizer = load("byte-level-with-added")
    for word in ("two words", "日本", "😀😀"):
        assert tokenizer.encode(f"a{word}b")[1:-1] == [tokenizer.id_of(word)]


def test_encode_refuses_a_control_token_that_normalization_would_write() -> None:
    tokenizer = load("sentencepiece-bpe")
    assert tokenizer.id_of("<eot>") not in tokenizer.encode("a＜eot＞b")  # noqa: RUF001


@pytest.mark.parametrize("name", tiny.EVERY)
def test_encode_adds_neither_start_nor_end_token(name: str) -> None:
    tokenizer = load(name)
    tokens = tokenizer.encode("the dog")
    assert tokenizer.encode("") == []
    assert {tokenizer.id_of("<s>"), tokenizer.id_of("</s>")}.isdisjoint(tokens)


def test_encode_neither_cuts_nor_fills_up_a_text() -> None:
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    tokenizer = load_tokenizer(tiny.llama_like(truncation=cut))
    text = "the quick brown fox jumps over the lazy dog"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_control_tokens_of_a_template_give_the_ids_of_a_models_own_tokenizers(
    shared_model: Callable[[str], Path],
) -> None:
    of_json, of_model = (
        load_tokenizer(shared_model(f"llm/small_llama.tokenizer.{ending}"))
        for ending in ("json", "model")
    )
    for text in ("hi<s> x</s>y", "<s>one</s> <s>two", "plain", "", "</s></s>"):
        expected = of_json.encode(text, allow_special=True)
        assert of_model.encode(text, allow_special=True) == expected
        assert of_model.encode(text) == of_json.encode(text)


@pytest.mark.parametrize("name", tiny.EVERY)
def test_split_control_cuts_inside_of_control_tokens_alone(name: str) -> None:
    tokenizer = load(name)
    assert tokenizer.split_control("plain text") == ["plain text"]
    parts = tokenizer.split_control("one</s></s>two")
    assert parts == ["one<", "/s><", "/s>two"]


def test_split_control_leaves_tags_whole_that_a_reply_shows() -> None:
    tokenizer = load("byte-level-with-added")
    text = "<think>a</s>"
    assert tokenizer.split_control(text) == ["<", "think>a<", "/s>"]
    assert tokenizer.split_control(text, keep_tags=True) == ["<think>a<", "/s>"]


@pytest.mark.parametrize("name", tiny.EVERY)
def test_encode_parts_puts_no_space_between_the_parts(name: str) -> None:
    tokenizer = load(name)
    tokens = tokenizer.encode_parts(["the do", "g fox"])
    assert tokenizer.decode(tokens).lstrip() == "the dog fox"


def test_encode_parts_starts_anew_behind_a_control_token() -> None:
    tokenizer = load("llama-like")
    whole = tokenizer.encode("the<s>dog", allow_special=True)
    assert tokenizer.encode_parts(["the<s>dog"]) == whole
    behind = whole[whole.index(tokenizer.id_of("<s>")) :]
    assert tokenizer.encode_parts(["the", "x<s>dog"])[-len(behind) :] == behind


@pytest.mark.parametrize("name", tiny.EVERY)
def test_encode_of_half_a_surrogate_pair_is_refused(name: str) -> None:
    with pytest.raises(TokenizerError, match="half of a surrogate pair at character 1"):
        load(name).encode("a\ud83d")


def test_encode_of_something_else_than_text_is_refused() -> None:
    with pytest.raises(TokenizerError, match="expected text, got int"):
        load("byte-level").encode(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", tiny.EVERY)
def test_ids_and_pieces_belong_together(name: str) -> None:
    tokenizer = load(name)
    for token in range(tokenizer.vocab_size):
        piece = tokenizer.piece_of(token)
        assert piece is not None
        assert tokenizer.id_of(piece) == token
    assert tokenizer.piece_of(tokenizer.vocab_size) is None
    assert tokenizer.piece_of(-1) is None
    assert tokenizer.id_of("no such piece") is None


def test_sentencepiece_knows_its_start_and_end_token() -> None:
    tokenizer = load("sentencepiece-bpe")
    assert (tokenizer.bos_token, tokenizer.eos_token) == (1, 2)
    tokenizer = load_tokenizer(tiny.sentencepiece(bos_id=-1, eos_id=-1))
    assert (tokenizer.bos_token, tokenizer.eos_token) == (None, None)


def test_tokenizer_json_tells_the_start_token_that_it_puts_before_a_text() -> None:
    assert load("llama-like").bos_token is None
    start, text = (
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    )
    processor = {
        "type": "TemplateProcessing",
        "single": [start, text],
        "pair": [start, text],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    tokenizer = load_tokenizer(tiny.llama_like(post_processor=processor))
    assert (tokenizer.bos_token, tokenizer.eos_token) == (1, None)
    assert 1 not in tokenizer.encode("a")


def test_load_tokenizer_reads_a_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(tiny.sentencepiece())
    assert load_tokenizer(tmp_path).id_of("<ctl>") is not None
    (tmp_path / "tokenizer.json").write_bytes(tiny.byte_level())
    assert load_tokenizer(str(tmp_path)).id_of("<|im_end|>") is not None
    assert load_tokenizer(tmp_path / "tokenizer.model").id_of("<ctl>") is not None


def test_load_tokenizer_reads_what_lies_beside_it_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tiny.byte_level())
    config = {
        "bos_token": {"content": "<s>"},
        "chat_template": [
            {"name": "tool_use", "template": "x"},
            {"name": "default", "template": "y"},
        ],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.bos_token == tokenizer.id_of("<s>")
    assert tokenizer.eos_token == tokenizer.id_of("<|im_end|>")
    assert tokenizer.chat_template == "y"
    (tmp_path / "chat_template.jinja").write_text("z")
    assert load_tokenizer(tmp_path).chat_template == "z"


def test_load_tokenizer_of_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"cannot be read: No such file.*expected a tokenizer"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: cannot be read"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"junk", "4 bytes that start with b'junk' and are neither"),
        (b"{}", "damaged tokenizer.json"),
        (b'{"model": [', "damaged tokenizer.json"),
        (bytes(4096), "are neither, or are damaged"),
    ],
)
def test_load_tokenizer_of_damaged_bytes_says_so_in_short(content: bytes, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        load_tokenizer(content)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("make", [tiny.llama_like, tiny.sentencepiece])
def test_load_tokenizer_of_a_file_cut_short_says_so_in_short(make: Callable[[], bytes]) -> None:
    content = make()
    for size in range(1, len(content), len(content) // 20):
        with pytest.raises(TokenizerError, match="damaged") as caught:
            load_tokenizer(content[:size])
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("package", "make"),
    [("tokenizers", tiny.byte_level), ("sentencepiece", tiny.sentencepiece)],
)
def test_load_tokenizer_names_the_extra_that_is_missing(
    package: str, make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'litert-native\[llm\]'"):
        load_tokenizer(content)


@pytest.mark.parametrize("name", ["byte-level", "llama-like", "sentencepiece-bpe"])
def test_threads_share_a_tokenizer(name: str) -> None:
    tokenizer = load(name)
    texts = [f"the dog {number} </s> fox" for number in range(200)]
    expected = list(map(load(name).encode, texts))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == expected


def test_sentencepiece_with_a_piece_that_is_no_text_is_refused() -> None:
    model = tiny.sentencepiece()
    space = "\N{LOWER ONE EIGHTH BLOCK}".encode()
    place = model.index(space + b"t")
    damaged = model[:place] + b"\xff" + model[place + 1 :]
    with pytest.raises(TokenizerError, match="a piece is no UTF-8 text"):
        load_tokenizer(damaged)
