"""A prompt as a template writes it, in which users' texts stay texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litert.language.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A rendered prompt. Immutable.

    Attributes:
        parts: The text, cut inside of each control token that a caller's text has written out, so
            that it is none in the prompt; one part where there is no such.
    """

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole prompt."""
        return "".join(self.parts)

    def __str__(self) -> str:
        return self.text


def encode_prompt(prompt: RenderedPrompt, tokenizer: Tokenizer) -> list[int]:
    """Return the ids of a prompt: control tokens that the template wrote are taken as such.

    A start token is there where the template writes one; see ``with_bos``.

    Args:
        prompt: What a template gave that knows the same tokenizer.
        tokenizer: The model's.

    Raises:
        TokenizerError: A part has no UTF-8 form.
    """
    return tokenizer.encode_parts(prompt.parts)


def with_bos(tokens: Sequence[int], bos: int | None) -> list[int]:
    """Return the ids with the start token before them, exactly once.

    Args:
        tokens: Ids that may begin with it.
        bos: The start token, None for none.
    """
    return list(tokens) if bos is None or (tokens and tokens[0] == bos) else [bos, *tokens]
