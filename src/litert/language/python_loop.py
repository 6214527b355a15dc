"""The token loop in Python: prefill, then step, sample, stop?, text.

The native core has the same loop in C++. This one runs over anything that reads tokens and gives
logits, and is what the native one is compared with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from litert.errors import ClosedError, ContextLengthError, ExecutionError
from litert.language.generation import (
    Chunk,
    FinishReason,
    Metrics,
    TokenLogprob,
    make_metrics,
)
from litert.language.sampling import LogitsProcessor, Sampler, log_probabilities
from litert.language.stops import StopMatcher, StopTokens

if TYPE_CHECKING:
    from litert.backends.language_protocol import LoopRequest, TextDecoder


class StepExecutor(Protocol):
    """What the loop needs of a model: one context of it. One thread at a time."""

    @property
    def vocab_size(self) -> int:
        """Length of the logits."""

    @property
    def context_length(self) -> int:
        """Tokens that the context can hold at most."""

    def prefill(self, ids: Sequence[int], position: int) -> int:
        """Read the first of ``ids`` at ``position`` and on, in one run; return how many it read."""

    def step(self, token: int, position: int) -> npt.NDArray[np.float32]:
        """Read one id; return the next one's logits, float32[vocab], for the caller to change."""


class Context:
    """The ids of one session, and how many of them the model has read. One thread at a time.

    Attributes:
        tokens: Prompts and generated ids, in order.
        num_read: How many of them the executor's caches hold.
    """

    def __init__(self, executor: StepExecutor) -> None:
        """Start empty."""
        self.tokens: list[int] = []
        self.num_read = 0
        self._executor: StepExecutor | None = executor
        self._busy = threading.Lock()

    @property
    def executor(self) -> StepExecutor:
        """What reads the ids.

        Raises:
            ClosedError: The session is closed.
        """
        if self._executor is None:
            raise ClosedError("the session is closed")
        return self._executor

    def check_open(self) -> None:
        """Refuse a closed session.

        Raises:
            ClosedError: It is.
        """
        _ = self.executor

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the context for a call.

        Raises:
            ExecutionError: Another thread holds it.
            ClosedError: The session is closed.
        """
        if not self._busy.acquire(blocking=False):
            raise ExecutionError(
                "the session is in use by another thread; give each thread its own session"
            )
        try:
            self.check_open()
            yield
        finally:
            self._busy.release()

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` ids; what the caches hold of the others is never looked at."""
        del self.tokens[length:]
        self.num_read = min(self.num_read, len(self.tokens))

    def prefill(self) -> bool:
        """Read some of the ids before the last one; False where all of them are read."""
        # The last one is read by a step, also where it was read before: prefill gives no logits.
        unread = self.tokens[self.num_read : -1]
        if unread:
            self.num_read += self.executor.prefill(unread, self.num_read)
        return bool(unread)

    def step(self) -> npt.NDArray[np.float32]:
        """Read the last id and return the logits of the next one, float32[vocab]."""
        logits = self.executor.step(self.tokens[-1], len(self.tokens) - 1)
        self.num_read = len(self.tokens)
        return logits

    def close(self) -> None:
        """Let go of the executor; idempotent."""
        self._executor = None


class PythonLoop:
    """One generation over one context. One thread at a time, but for ``cancel``.

    Ids that may be the beginning of a stop sequence, and text that may be that of a stop string,
    are held back until that is known. Where a stop comes, the context keeps what was handed out.
    After an error the context is as it was before the token that failed, and the loop is over.

    Example:
        >>> loop = PythonLoop(context, LoopRequest(max_tokens=16), decoder)
        >>> while (chunk := loop.next()) is not None:
        ...     print(chunk.text, end="")
    """

    def __init__(self, context: Context, request: LoopRequest, decoder: TextDecoder | None) -> None:
        """Prepare; nothing is read before the first ``next`` or ``run``."""
        vocab_size = context.executor.vocab_size
        self._context = context
        self._request = request
        self._decoder = decoder
        self._sampler = Sampler(
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            min_p=request.min_p,
            typical_p=request.typical_p,
            seed=request.seed,
            vocab_size=vocab_size,
        )
        self._processor = LogitsProcessor(
            repetition_penalty=request.repetition_penalty,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            no_repeat_ngram=request.no_repeat_ngram,
            logit_bias=request.logit_bias,
            suppressed_tokens=request.suppressed_tokens,
            vocab_size=vocab_size,
        )
        self._stop_tokens = StopTokens(request.stop_tokens)
        self._stop_matcher = StopMatcher(request.stop_strings)
        self._banned_at_first = [
            ids[0] for ids in request.stop_tokens if len(ids) == 1 and 0 <= ids[0] < vocab_size
        ]
        self._generated: list[int] = []
        self._num_released = 0  # of them: no stop sequence can begin with these any more
        self._held_logprobs: list[TokenLogprob] = []
        self._text: list[str] = []  # of the next chunk, as the two that follow
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._finish_reason: FinishReason | None = None
        self._is_cancelled = False
        self._has_begun = False
        self._length = 0  # of the context, after the last token that was taken
        self._prompt_tokens = self._cached_tokens = 0
        self._started = self._prefilled = self._first_token = self._last_token = 0.0

    def next(self) -> Chunk | None:
        """Go on until there is text to show, without a decoder a token, or to the end.

        Returns:
            The next chunk; None after the one that has a finish reason, and after an error.

        Raises:
            ContextLengthError: The context is empty or full at the beginning.
            ExecutionError: The model failed, or the session was changed since the last call.
            ClosedError: The session or its model is closed.
        """
        return self._advance(to_the_end=False)

    def run(self) -> Chunk:
        """Go on to the end and return all that is left as one chunk.

        Raises:
            ContextLengthError: The context is empty or full at the beginning.
            ExecutionError: The model failed, or the session was changed since the last call.
            ClosedError: The generation is over, or the session or its model is closed.
        """
        chunk = self._advance(to_the_end=True)
        if chunk is None:
            raise ClosedError("the generation is over")
        return chunk

    def cancel(self) -> None:
        """End it before the next step or run of prefill; from any thread."""
        self._is_cancelled = True

    @property
    def metrics(self) -> Metrics:
        """Counts and times so far."""
        return make_metrics(
            self._prompt_tokens,
            self._cached_tokens,
            len(self._generated),
            self._prefilled - self._started,
            self._first_token - self._started,
            self._last_token - self._first_token,
        )

    def _advance(self, *, to_the_end: bool) -> Chunk | None:
        if self._finish_reason is not None:
            return None
        with self._context.in_use():
            if not self._has_begun:
                self._begin()
            if len(self._context.tokens) != self._length:
                self._finish_reason = "cancelled"
                raise ExecutionError("the session was changed while a generation was under way")
            try:
                while self._finish_reason is None and (to_the_end or not self._has_something()):
                    interruption = self._interruption()
                    if interruption is not None:
                        self._wind_up(interruption)
                    elif self._context.prefill():
                        self._prefilled = time.perf_counter()
                    else:
                        self._take_one()
                    self._length = len(self._context.tokens)
            except BaseException:
                self._finish_reason = "cancelled"
                self._context.truncate(self._length)
                raise
            return self._hand_out()

    def _begin(self) -> None:
        self._has_begun = True
        self._started = time.perf_counter()
        self._prefilled = self._first_token = self._last_token = self._started
        tokens, limit = self._context.tokens, self._context.executor.context_length
        self._length = len(tokens)
        if not 0 < len(tokens) < limit:
            self._finish_reason = "cancelled"
            raise ContextLengthError(
                f"the context of {limit} tokens holds {len(tokens)}; "
                "to generate, it must hold one at least and have room for one"
            )
        self._prompt_tokens = len(tokens)
        self._cached_tokens = min(self._context.num_read, len(tokens) - 1)
        self._processor.start(tokens)

    def _has_something(self) -> bool:
        return any(self._text) if self._decoder is not None else bool(self._tokens)

    def _interruption(self) -> FinishReason | None:
        if self._is_cancelled:
            return "cancelled"
        timeout_s = self._request.timeout_s
        if timeout_s is not None and time.perf_counter() - self._started >= timeout_s:
            return "timeout"
        return None

    def _take_one(self) -> None:
        """Generate one token, and end where it is the last."""
        context, request = self._context, self._request
        token = self._choose(context.step())
        context.tokens.append(token)
        self._processor.accept(token)
        self._generated.append(token)
        self._last_token = time.perf_counter()
        if len(self._generated) == 1:
            self._first_token = self._last_token
        is_stopped, released = False, [token]
        if self._may_stop():
            is_stopped, released = self._stop_tokens.push(token)
        if self._release(released):
            self._end("stop")
        elif is_stopped:
            self._flush_text()
            self._end("stop")
        elif (
            len(self._generated) >= request.max_tokens
            or len(context.tokens) >= context.executor.context_length
        ):
            self._wind_up("length")

    def _choose(self, logits: npt.NDArray[np.float32]) -> int:
        """Return the next token."""
        request = self._request
        raw = logits.copy() if request.num_logprobs >= 0 else None
        self._processor.apply(logits)
        if len(self._generated) < request.min_tokens:
            logits[self._banned_at_first] = -np.inf
        if request.logits_hook is not None:
            request.logits_hook(logits, tuple(self._generated))
        token = self._sampler.sample(logits, len(self._generated))
        if raw is not None:
            logprob, top = log_probabilities(raw, token, request.num_logprobs)
            self._held_logprobs.append(TokenLogprob(token, logprob, tuple(top)))
        return token

    def _may_stop(self) -> bool:
        return len(self._generated) > self._request.min_tokens

    def _release(self, tokens: Sequence[int]) -> bool:
        """Put tokens into the next chunk; True where their text has brought a stop string."""
        for token in tokens:
            self._num_released += 1
            self._tokens.append(token)
            if self._held_logprobs:
                self._logprobs.append(self._held_logprobs.pop(0))
            if self._decoder is not None and self._show(self._decoder.push(token)):
                return True
        return False

    def _show(self, text: str) -> bool:
        """Put text into the next chunk; True where it has brought a stop string."""
        if not self._may_stop():
            self._text.append(text)
            return False
        is_stopped, visible = self._stop_matcher.push(text)
        self._text.append(visible)
        return is_stopped

    def _wind_up(self, reason: FinishReason) -> None:
        """End it where no stop has come: what was held back is part of what was generated."""
        is_stopped = self._release(self._stop_tokens.flush()) or self._flush_text()
        self._end("stop" if is_stopped else reason)

    def _flush_text(self) -> bool:
        """Show all text that was held back; True where it has brought a stop string."""
        if self._decoder is None:
            return False
        is_stopped = self._show(self._decoder.flush())
        if not is_stopped:
            self._text.append(self._stop_matcher.flush())
        return is_stopped

    def _end(self, reason: FinishReason) -> None:
        """End it; ids that were not released leave the context: the stop sequence itself."""
        self._context.truncate(self._prompt_tokens + self._num_released)
        self._finish_reason = reason

    def _hand_out(self) -> Chunk:
        chunk = Chunk(
            "".join(self._text), tuple(self._tokens), tuple(self._logprobs), self._finish_reason
        )
        self._text, self._tokens, self._logprobs = [], [], []
        return chunk
