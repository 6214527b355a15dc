"""Tokenizers of the ``tokenizers`` package: a ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from litert.errors import MissingExtraError, TokenizerError
from litert.language.token_table import TokenTable, table_of_huggingface
from litert.language.tokenizer import Tokenizer, is_control_text

if TYPE_CHECKING:
    import tokenizers

_MAX_MESSAGE = 200
_END_OF_IDS = 1 << 32


class HuggingFaceTokenizer(Tokenizer):
    """A ``tokenizer.json``. Immutable; any number of threads may use it."""

    def __init__(self, data: bytes) -> None:
        """Read it.

        Args:
            data: The content of the file.

        Raises:
            TokenizerError: It is damaged.
            MissingExtraError: The package is not installed.
        """
        self._tokenizer = _parse(data)
        # Both are for training; a prompt must not be cut or filled up without a word.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._added = self._tokenizer.get_added_tokens_decoder()
        self.vocab_size = max(
            self._tokenizer.get_vocab_size(with_added_tokens=True), max(self._added, default=-1) + 1
        )
        self.bos_token, self.eos_token = self._added_around()

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of all ids; special tokens and unknown ids give none."""
        # Ids that the vocabulary does not have are passed over; these do not even fit.
        known = [token for token in tokens if 0 <= token < _END_OF_IDS]
        return self._tokenizer.decode(known, skip_special_tokens=True)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a token as the vocabulary spells it, None where it has no such one."""
        return self._tokenizer.token_to_id(piece)

    def piece_of(self, token: int) -> str | None:
        """Return how the vocabulary spells a token, None for an id that it does not have."""
        return self._tokenizer.id_to_token(token) if 0 <= token < _END_OF_IDS else None

    def make_table(self) -> TokenTable | None:
        """Return the bytes of each id, None where a token's text depends on its neighbours."""
        return table_of_huggingface(self._tokenizer)

    @cached_property
    def _special_tokens(self) -> frozenset[int]:
        return frozenset(
            token
            for token, added in self._added.items()
            if added.special and is_control_text(added.content, is_special=True)
        )

    @cached_property
    def _tag_tokens(self) -> frozenset[int]:
        return frozenset(
            token
            for token, added in self._added.items()
            if not added.special and is_control_text(added.content, is_special=False)
        )

    def _text_of(self, token: int) -> str:
        return self._added[token].content

    def _encode(self, text: str, *, is_start: bool) -> list[int]:
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        if is_start or self._without_added_space is None:
            return tokens
        # After an added token the text starts anew, with a space where the tokenizer adds one.
        head = self._without_added_space.encode(text, add_special_tokens=False).ids
        return head[: self._num_before_added(head)] + tokens[self._num_before_added(tokens) :]

    def _num_before_added(self, tokens: list[int]) -> int:
        found = (number for number, token in enumerate(tokens) if token in self._added)
        return next(found, len(tokens))

    @cached_property
    def _without_added_space(self) -> tokenizers.Tokenizer | None:
        """The same tokenizer, without the space that it adds before a text; None for no space."""
        if self._tokenizer.encode("a", add_special_tokens=False).tokens == ["a"]:
            return None
        content = json.loads(self._tokenizer.to_str())
        changed = {
            key: _without_added_space(content[key]) for key in ("normalizer", "pre_tokenizer")
        }
        if all(content[key] == value for key, value in changed.items()):
            return None
        return _parse(json.dumps({**content, **changed}).encode())

    def _added_around(self) -> tuple[int | None, int | None]:
        """Return the ids that the tokenizer itself would put before and after a text."""
        plain = self._tokenizer.encode("a", add_special_tokens=False).ids
        full = self._tokenizer.encode("a", add_special_tokens=True).ids
        num_around = len(full) - len(plain)
        for num_before in range(num_around + 1):
            if full[num_before : num_before + len(plain)] == plain:
                num_after = num_around - num_before
                return full[0] if num_before == 1 else None, full[-1] if num_after == 1 else None
        return None, None


def _parse(data: bytes) -> tokenizers.Tokenizer:
    try:
        from tokenizers import Tokenizer as Parsed
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            "a tokenizer.json needs tokenizers: pip install 'litert-native[llm]'"
        ) from err
    try:
        return Parsed.from_buffer(data)
    # The package raises plain Exception too.
    except Exception as err:
        reason = str(err).partition("\n")[0][:_MAX_MESSAGE]
        raise TokenizerError(f"damaged tokenizer.json: {reason}") from err


def _without_added_space(step: Any) -> Any:
    """Return a normalizer or pre-tokenizer that puts nothing before a text, None for none."""
    if step is None or step["type"] == "Prepend":
        return None
    changed = dict(step)
    for key in ("normalizers", "pretokenizers"):
        if key in step:
            steps = map(_without_added_space, step[key])
            changed[key] = [inner for inner in steps if inner is not None]
    if "add_prefix_space" in step:
        changed["add_prefix_space"] = False
    if "prepend_scheme" in step:
        changed["prepend_scheme"] = "never"
    return changed
