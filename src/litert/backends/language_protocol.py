"""The complete list of what a backend does for language models.

``litert.LanguageModel`` and ``litert.Session`` are written against these protocols and know neither
backend. Text stays above, but for the pieces that a loop hands out: how ids become text is an
object that the loop is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from litert.language.generation import Chunk, Metrics

# Called with the logits, float32[vocab], a writable view of the loop's own memory that is valid
# during the call, and with the ids generated so far.
LogitsHook = Callable[[npt.NDArray[np.float32], Sequence[int]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRequest:
    """What a token loop is asked for. Every value is already checked and resolved.

    Attributes:
        max_tokens: Tokens to generate at most, 1 or more; the context may end it sooner.
        min_tokens: Until as many are generated, no stop token is sampled, no stop string counts.
        temperature: 0 is greedy.
        top_k: 0 keeps all.
        top_p: 1 keeps all.
        min_p: 0 keeps all.
        typical_p: 1 keeps all.
        seed: 64 bits.
        repetition_penalty: 1 does nothing; counts the prompt.
        presence_penalty: 0 does nothing; counts generated tokens only, as the next one.
        frequency_penalty: 0 does nothing.
        no_repeat_ngram: Length of n-grams that may not come twice, 0 for none.
        logit_bias: Pairs of id and what is added to its logit.
        suppressed_tokens: Ids that are never sampled.
        stop_tokens: Sequences of ids that end the generation; most have one id.
        stop_strings: Texts that end it.
        num_logprobs: Alternatives a token, 0 for the token alone, -1 for no logprobs.
        logits_hook: Called after the penalties and before sampling; None for none.
        timeout_s: Seconds after which it ends, None for never.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram: int = 0
    logit_bias: tuple[tuple[int, float], ...] = ()
    suppressed_tokens: tuple[int, ...] = ()
    stop_tokens: tuple[tuple[int, ...], ...] = ()
    stop_strings: tuple[str, ...] = ()
    num_logprobs: int = -1
    logits_hook: LogitsHook | None = None
    timeout_s: float | None = None


class BackendLoop(Protocol):
    """One generation under way. One thread at a time, but for ``cancel``."""

    def next(self) -> Chunk | None:
        """Go on until there is text to show or the end; None after the end.

        The first call prefills. Without a detokenizer each token is a chunk with empty text.
        """

    def run(self) -> Chunk:
        """Go on to the end and return all that is left as one chunk."""

    def cancel(self) -> None:
        """End it within one step, from any thread; also during prefill."""

    @property
    def metrics(self) -> Metrics:
        """Counts and times so far."""


class TextDecoder(Protocol):
    """Turns ids into text, one generation at a time; holds what is not a whole character yet."""

    def push(self, token: int) -> str:
        """Take the next id and return the text that is complete now."""

    def flush(self) -> str:
        """Return what is left; a broken character as U+FFFD."""


class BackendSession(Protocol):
    """One context: the tokens in it and the caches that hold what the model has read of them."""

    @property
    def tokens(self) -> list[int]:
        """The ids in the context, prompts and generated ones, in order."""

    def append(self, tokens: Sequence[int]) -> None:
        """Add ids, checked and fitting; they are read when the next loop runs."""

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` ids."""

    def start(self, request: LoopRequest, decoder: TextDecoder | None) -> BackendLoop:
        """Start generating after the ids in the context, of which there is at least one."""

    def close(self) -> None:
        """Release the caches; idempotent."""


class BackendLanguageModel(Protocol):
    """A loaded language model: token ids in, token ids and text out."""

    @property
    def vocab_size(self) -> int:
        """Length of the logits."""

    @property
    def context_length(self) -> int:
        """Tokens that a context can hold at most, prompt and generated ones together."""

    def session(self) -> BackendSession:
        """Make an empty context of its own."""

    def close(self) -> None:
        """Release the model; idempotent. Sessions end with it."""
