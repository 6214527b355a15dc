"""Makes small tokenizers of every kind that models come with, each in some milliseconds."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "hello world  this is a text   with spaces",
    "naïve café 日本語 テスト 😀 numbers 1 2 3, and\nlines",
] * 20
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>"]
# Matched in any text, and shown in replies.
ADDED = ["<think>", "two words", "日本", "😀😀", "é<x>"]

_REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_BYTES, _FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}


def metaspace(scheme: str) -> dict[str, Any]:
    """Return a pre-tokenizer, or decoder, that writes spaces as U+2581."""
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}


def chain(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a decoder of several steps."""
    return {"type": "Sequence", "decoders": list(steps)}


@cache
def byte_level(*, with_added: bool = False) -> bytes:
    """Return a byte-level tokenizer, as GPT-2 and Qwen have it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if with_added:
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ADDED])
    return tokenizer.to_str().encode()


@cache
def _spaced_vocabulary() -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer.to_str()


def spaced(decoder: dict[str, Any] | None, **changes: Any) -> bytes:
    """Return a BPE tokenizer whose spaces are U+2581, with byte tokens and a decoder.

    Args:
        decoder: As ``tokenizer.json`` holds it.
        **changes: Other entries of the file.
    """
    content = json.loads(_spaced_vocabulary())
    vocabulary = content["model"]["vocab"]
    texts = ["▁▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary.update(zip(texts, range(len(vocabulary), 1000), strict=False))
    content["model"].update(byte_fallback=True, fuse_unk=True)
    content.update(decoder=decoder, **changes)
    return json.dumps(content).encode()


def llama_like(**changes: Any) -> bytes:
    """Return what Llama 2 and Mistral have: a space is put before the text, and stripped."""
    prepend = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return spaced(
        chain(_REPLACE, _BYTES, _FUSE, _STRIP),
        normalizer={"type": "Sequence", "normalizers": [prepend, replace]},
        pre_tokenizer=None,
        **changes,
    )


def gemma_like() -> bytes:
    """Return what Gemma has: no space before the text."""
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return spaced(chain(_REPLACE, _BYTES, _FUSE), normalizer=replace, pre_tokenizer=None)


HUGGINGFACE: dict[str, Callable[[], bytes]] = {
    "byte-level": byte_level,
    "byte-level-with-added": lambda: byte_level(with_added=True),
    "llama-like": llama_like,
    "gemma-like": gemma_like,
    "metaspace-always": lambda: spaced(metaspace("always")),
    "metaspace-first": lambda: spaced(metaspace("first")),
    "metaspace-never": lambda: spaced(metaspace("never")),
    "bytes-and-metaspace": lambda: spaced(chain(_BYTES, metaspace("always"))),
}


@cache
def sentencepiece(kind: str = "bpe", **options: Any) -> bytes:
    """Return a SentencePiece model with a control piece and user-defined ones."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        model_type=kind,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
        control_symbols=["<ctl>"],
        user_defined_symbols=["<eot>", "▁▁", "word"],
        **{"byte_fallback": True, **options},
    )
    return model.getvalue()


SENTENCEPIECE: dict[str, Callable[[], bytes]] = {
    "bpe": sentencepiece,
    "unigram": lambda: sentencepiece("unigram"),
    "no-dummy-prefix": lambda: sentencepiece(add_dummy_prefix=False),
    "keeps-whitespace": lambda: sentencepiece(remove_extra_whitespaces=False),
    "neither": lambda: sentencepiece(add_dummy_prefix=False, remove_extra_whitespaces=False),
    "unigram-without-bytes": lambda: sentencepiece("unigram", byte_fallback=False),
}
EVERY = {**HUGGINGFACE, **{f"sentencepiece-{name}": make for name, make in SENTENCEPIECE.items()}}


def random_tokens(seed: int, vocab_size: int, snippets: list[list[int]]) -> list[int]:
    """Return a short sequence of ids: snippets, and every third time any id."""
    rng = random.Random(seed)
    tokens: list[int] = []
    for _ in range(rng.randrange(8)):
        tokens += rng.choice(snippets) if rng.random() < 0.67 else [rng.randrange(vocab_size)]
    return tokens
