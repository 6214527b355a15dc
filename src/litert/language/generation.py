"""What a generation gives: text, tokens, why it ended, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled", "timeout"]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How probable the model itself held a token, before penalties, hook and temperature.

    Attributes:
        token: Its id.
        logprob: Natural logarithm of its probability.
        top: The most probable tokens of that step and their logprobs, best first; as many as were
            asked for.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts and times of one generation.

    Attributes:
        prompt_tokens: Tokens that were in the context when it began.
        cached_tokens: How many of them the cache held already.
        generated_tokens: Tokens sampled, those of a stop token included.
        time_to_first_token_s: From the call to the first token: prefill and one decode step.
        prefill_tokens_per_s: Tokens of the prompt that were read before its last one, which is
            read by a decode step, over the time that took; 0 where there were none.
        decode_tokens_per_s: Tokens after the first one over the time they took; 0 for one token.
    """

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    time_to_first_token_s: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float


def make_metrics(
    prompt_tokens: int,
    cached_tokens: int,
    generated_tokens: int,
    prefill_s: float,
    time_to_first_token_s: float,
    decode_s: float,
) -> Metrics:
    """Return counts and times as rates; ``decode_s`` is the time after the first token."""
    num_prefilled = max(prompt_tokens - cached_tokens - 1, 0)
    return Metrics(
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        generated_tokens=generated_tokens,
        time_to_first_token_s=time_to_first_token_s,
        prefill_tokens_per_s=num_prefilled / prefill_s if prefill_s else 0.0,
        decode_tokens_per_s=(generated_tokens - 1) / decode_s if decode_s else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a generation, as a stream yields it.

    Attributes:
        text: Text that will not change any more: whole characters, no part of a stop string.
        tokens: Ids of the tokens it was made from, in order.
        logprobs: One entry a token where logprobs were asked for, else empty.
        finish_reason: None until the last chunk.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason | None


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished generation.

    Attributes:
        text: The whole text; a stop string and what follows it is not in it.
        tokens: Ids of the tokens, without the stop token that ended it.
        finish_reason: ``"stop"``: a stop token or stop string came. ``"length"``: ``max_tokens``
            or the end of the context. ``"cancelled"`` and ``"timeout"``: what there was by then.
        logprobs: One entry a token where logprobs were asked for, else None.
        metrics: Counts and times.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] | None
    metrics: Metrics

    def __str__(self) -> str:
        return self.text
