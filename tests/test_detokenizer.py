"""Ids to text: the core, Python's table and the tokenizers themselves say the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby

import pytest

import tiny_tokenizers as tiny
from litert import _native
from litert.backends.language_protocol import TextDecoder
from litert.language.detokenizer import DecodingDetokenizer, TableDetokenizer
from litert.language.load_tokenizer import load_tokenizer
from litert.language.token_table import TokenTable
from litert.language.tokenizer import Tokenizer

NUM_SEQUENCES = 100_000 if os.environ.get("LITERT_TEST_FULL") == "1" else 1500


def pieces_of(decoder: TextDecoder, tokens: list[int]) -> list[str]:
    return [*(decoder.push(token) for token in tokens), decoder.flush()]


def text_of(decoder: TextDecoder, tokens: list[int]) -> str:
    return "".join(pieces_of(decoder, tokens))


def random_sequences(tokenizer: Tokenizer, count: int) -> Iterator[list[int]]:
    """Yield ids of every kind, many of them special, of spaces, or parts of characters."""
    table = tokenizer.make_table()
    assert table is not None
    id_of = {row: token for token, row in enumerate(table.rows)}
    whole = [[id_of.get(bytes([byte]), 0) for byte in text.encode()] for text in "éß日😀"]
    telling = [
        [token]
        for token, row in enumerate(table.rows)
        if table.is_skipped[token] or row.startswith(b" ") or len(row) == 0
    ]
    broken = [[token] for token, row in enumerate(table.rows) if not row.isascii()]
    for seed in range(count):
        snippets = whole * 8 + telling + (broken if seed % 3 == 0 else [])
        yield tiny.random_tokens(seed, tokenizer.vocab_size, snippets)


def has_broken_byte_run(table: TokenTable, tokens: list[int]) -> bool:
    """Return whether byte tokens of ``tokens`` that stand together are not UTF-8 as a whole."""
    shown = [token for token in tokens if not table.is_skipped[token]]
    # The vocabularies here end with the byte tokens.
    for is_byte, run in groupby(shown, lambda token: token >= len(table.rows) - 256):
        joined = b"".join(table.rows[token] for token in run)
        if is_byte and joined.decode("utf-8", "ignore").encode() != joined:
            return True
    return False


@pytest.mark.stress
@pytest.mark.parametrize("name", tiny.EVERY)
def test_every_detokenizer_gives_what_the_tokenizer_decodes(name: str) -> None:
    tokenizer = load_tokenizer(tiny.EVERY[name]())
    table = tokenizer.make_table()
    assert table is not None
    native_table = table.to_native()
    # SentencePiece, and tokenizers without byte tokens, decode broken runs as streams do.
    gives_up_runs = name in tiny.HUGGINGFACE and table.replaces_each_byte
    num_compared = 0
    for tokens in random_sequences(tokenizer, NUM_SEQUENCES):
        in_core = _native.decode_tokens(_native.Detokenizer(native_table), tokens)
        assert in_core == text_of(TableDetokenizer(table), tokens), tokens
        if not (gives_up_runs and has_broken_byte_run(table, tokens)):
            assert in_core == tokenizer.decode(tokens), tokens
            num_compared += 1
    assert num_compared > NUM_SEQUENCES / 3


@pytest.mark.parametrize("name", ["small_llama.tokenizer.json", "small_llama.tokenizer.model"])
def test_detokenizer_gives_what_the_tokenizer_of_a_model_decodes(name: str, shared_model) -> None:
    tokenizer = load_tokenizer(shared_model(f"llm/{name}"))
    for text in ("Hello, world", " two  spaces ", "日本語 😀\n\tx", ""):
        tokens = tokenizer.encode(text)
        assert text_of(tokenizer.stream(native=True), tokens) == tokenizer.decode(tokens)


@pytest.mark.parametrize("name", tiny.EVERY)
def test_streams_hand_out_the_same_pieces_of_whole_characters(name: str) -> None:
    tokenizer = load_tokenizer(tiny.EVERY[name]())
    for tokens in random_sequences(tokenizer, 200):
        in_core = pieces_of(tokenizer.stream(native=True), tokens)
        assert in_core == pieces_of(tokenizer.stream(native=False), tokens)
        assert all(piece.encode() is not None for piece in in_core)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", tiny.EVERY)
def test_text_comes_back_from_its_tokens(name: str, native: bool) -> None:
    tokenizer = load_tokenizer(tiny.EVERY[name]())
    text = "hello world, this is the text"
    came_back = text_of(tokenizer.stream(native), tokenizer.encode(text))
    # A decoder that keeps the space which the vocabulary's pre-tokenizer puts before a text.
    keeps_space = name == "metaspace-never"
    assert came_back == (" " + text if keeps_space else text)


@pytest.mark.parametrize("native", [True, False])
def test_stream_of_a_continuation_keeps_the_space_at_its_start(native: bool) -> None:
    for make in (tiny.llama_like, tiny.sentencepiece):
        tokenizer = load_tokenizer(make())
        tokens = tokenizer.encode("the dog")
        assert text_of(tokenizer.stream(native), tokens) == "the dog"
        assert text_of(tokenizer.stream(native, is_continuation=True), tokens) == " the dog"


@pytest.mark.parametrize("native", [True, False])
def test_broken_byte_run_gives_its_whole_characters_and_a_mark_for_each_other_byte(
    native: bool,
) -> None:
    tokenizer = load_tokenizer(tiny.llama_like())
    tokens = [tokenizer.id_of(f"<0x{byte:02X}>") or 0 for byte in "é".encode() + b"\xe2\x82A"]
    assert text_of(tokenizer.stream(native), tokens) == "é\ufffd\ufffdA"
    assert tokenizer.decode(tokens) == "\ufffd" * 5


@pytest.mark.parametrize("native", [True, False])
def test_ids_outside_of_the_vocabulary_give_no_text(native: bool) -> None:
    for make in (tiny.byte_level, tiny.sentencepiece):
        tokenizer = load_tokenizer(make())
        tokens = [-1, tokenizer.vocab_size, 2**31 - 1]
        assert text_of(tokenizer.stream(native), tokens) == ""
        assert tokenizer.decode(tokens) == ""


def test_table_is_none_where_neighbours_change_a_tokens_text() -> None:
    regex = {"type": "Replace", "pattern": {"Regex": "▁+"}, "content": " "}
    for decoder in (
        None,
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        {"type": "BPEDecoder", "suffix": "</w>"},
        {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        regex,
        tiny.chain({"type": "Fuse"}, tiny.metaspace("always")),
    ):
        assert load_tokenizer(tiny.spaced(decoder)).make_table() is None


def test_table_is_none_for_a_sentencepiece_model_whose_words_end_with_the_space() -> None:
    tokenizer = load_tokenizer(tiny.sentencepiece(treat_whitespace_as_suffix=True))
    tokens = tokenizer.encode("the quick brown fox")
    assert tokenizer.make_table() is None
    assert text_of(tokenizer.stream(native=True), tokens) == tokenizer.decode(tokens)


@pytest.mark.parametrize("decoder", [{"type": "WordPiece", "prefix": "##", "cleanup": True}, None])
def test_stream_without_a_table_gives_what_the_tokenizer_decodes(decoder: dict | None) -> None:
    tokenizer = load_tokenizer(tiny.spaced(decoder))
    for seed in range(300):
        tokens = tiny.random_tokens(seed, tokenizer.vocab_size, [[5], [6, 7]])
        assert text_of(tokenizer.stream(native=True), tokens) == tokenizer.decode(tokens)


def test_stream_without_a_table_waits_for_text_that_may_still_change() -> None:
    texts = {1: "do", 2: "do n", 3: "do n '", 4: "don't", 5: "don't go", 6: "don't go on"}
    decoder = DecodingDetokenizer(lambda tokens: texts[len(tokens)])
    assert pieces_of(decoder, [0] * 6) == ["", "", "", "do", "", "", "n't go on"]


def test_stream_without_a_table_does_not_repeat_its_context() -> None:
    tokenizer = load_tokenizer(tiny.spaced({"type": "WordPiece", "prefix": "##", "cleanup": False}))
    tokens = [20, 21, 22]
    stream = tokenizer.stream(native=True, is_continuation=True)
    assert text_of(stream, tokens) == " " + tokenizer.decode(tokens)


def test_decode_tokens_takes_a_decoder_written_in_python() -> None:
    table = load_tokenizer(tiny.byte_level()).make_table()
    assert table is not None
    tokens = [table.rows.index(bytes([byte])) for byte in "é!".encode()]
    assert _native.decode_tokens(TableDetokenizer(table), tokens) == "é!"


class Failing:
    def __init__(self, reply: object) -> None:
        self.reply = reply

    def push(self, token: int) -> str:
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply  # type: ignore[return-value]

    def flush(self) -> str:
        return ""


def test_error_of_a_decoder_written_in_python_comes_out_as_itself() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError, match="mine") as caught:
        _native.decode_tokens(Failing(error), [1])
    assert caught.value is error


def test_decoder_written_in_python_that_gives_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="give str, got int"):
        _native.decode_tokens(Failing(7), [1])  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        _native.decode_tokens(Failing("\ud800"), [1])


def test_native_table_refuses_rows_that_do_not_fit_together() -> None:
    with pytest.raises(Exception, match="expected 2 start rows, or none"):
        _native.TokenTable([b"a", b"b"], [b"a"], b"\0\0", False, False)
