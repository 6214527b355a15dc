"""Loads the tokenizer that a file or folder holds, whichever library it needs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litert.errors import TokenizerError
from litert.language.tokenizer import Tokenizer


def load_tokenizer(source: bytes | str | os.PathLike[str]) -> Tokenizer:
    """Load a tokenizer.

    Args:
        source: The content of a ``tokenizer.json`` or of a SentencePiece model, the path of such a
            file, or a folder with a ``tokenizer.json``, else a ``tokenizer.model``. What lies
            beside it in a folder tells the start and end tokens and the chat template:
            ``tokenizer_config.json``, ``special_tokens_map.json``, ``chat_template.jinja``.

    Raises:
        TokenizerError: There is none, or it is damaged.
        MissingExtraError: The package that it needs is not installed.
    """
    if isinstance(source, bytes):
        return _load(source)
    path = Path(source)
    folder = path if path.is_dir() else None
    if folder is not None:
        found = [folder / name for name in ("tokenizer.json", "tokenizer.model")]
        path = next((file for file in found if file.is_file()), found[0])
    try:
        tokenizer = _load(path.read_bytes())
        if folder is not None:
            _read_companions(tokenizer, folder)
    except OSError as err:
        raise TokenizerError(
            f"{path}: cannot be read: {err.strerror}; expected a tokenizer.json, a SentencePiece "
            "model, or a folder with tokenizer.json or tokenizer.model"
        ) from err
    except TokenizerError as err:
        raise TokenizerError(f"{path}: {err}") from err
    return tokenizer


def _load(data: bytes) -> Tokenizer:
    if data.lstrip()[:1] == b"{":
        from litert.language.huggingface_tokenizer import HuggingFaceTokenizer

        return HuggingFaceTokenizer(data)
    from litert.language.sentencepiece_tokenizer import SentencePieceTokenizer

    return SentencePieceTokenizer(data)


def _read_companions(tokenizer: Tokenizer, folder: Path) -> None:
    """Set what the files beside a tokenizer say about it."""
    config = _read_json(folder / "tokenizer_config.json")
    special = {**_read_json(folder / "special_tokens_map.json"), **config}
    bos, eos = (_name_of(special.get(key)) for key in ("bos_token", "eos_token"))
    if bos is not None:
        tokenizer.bos_token = tokenizer.id_of(bos)
    if eos is not None:
        tokenizer.eos_token = tokenizer.id_of(eos)
    file = folder / "chat_template.jinja"
    if file.is_file():
        tokenizer.chat_template = file.read_text(encoding="utf-8", errors="replace")
    else:
        tokenizer.chat_template = _template_of(config.get("chat_template"))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise TokenizerError(f"{path.name} beside it is no JSON: {err}") from err
    return content if isinstance(content, dict) else {}


def _name_of(entry: object) -> str | None:
    """Return a token's text: entries are a string, or a mapping that holds it."""
    if isinstance(entry, Mapping):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


def _template_of(entry: object) -> str | None:
    """Return a template's source: entries are a string, or a list of named ones."""
    if isinstance(entry, list):
        named = {each.get("name"): each.get("template") for each in entry if isinstance(each, dict)}
        entry = named.get("default")
    return entry if isinstance(entry, str) else None
