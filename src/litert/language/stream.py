"""A generation that is read piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from litert.errors import GenerationError
from litert.language.generation import Chunk, FinishReason, Generation, TokenLogprob

if TYPE_CHECKING:
    import asyncio

    from litert.backends.language_protocol import BackendLoop


class Stream(Iterator[Chunk]):
    """An iterator over the chunks of a generation, which goes on only as it is read.

    Leaving the loop, ``close`` or the end of a ``with`` ends the generation. One thread at a time,
    but for ``cancel``.

    Example:
        >>> from litert.samples import speller_model_path
        >>> lm = litert.LanguageModel(speller_model_path(), num_threads=1)
        >>> stream = lm.stream("spell 3", max_tokens=4, ignore_eos=True)
        >>> sum(len(chunk.tokens) for chunk in stream)
        4
        >>> stream.generation.finish_reason
        'length'
        >>> lm.close()
    """

    def __init__(
        self, loop: BackendLoop, *, has_logprobs: bool, on_end: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._has_logprobs = has_logprobs
        self._on_end: Callable[[], None] | None = on_end
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._finish_reason: FinishReason | None = None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        """Return the next chunk, the last of which has a ``finish_reason``.

        Raises:
            ExecutionError: The library failed.
            StopIteration: After the last chunk, or after ``close``.
        """
        if self._on_end is None:
            raise StopIteration
        return self._take(self._loop.next)

    def rest(self) -> Generation:
        """Go on to the end without a chunk for each piece, and return the whole generation.

        Raises:
            ExecutionError: The library failed.
            GenerationError: The stream was closed before its end.
        """
        if self._on_end is not None:
            self._take(self._loop.run)
        return self.generation

    def cancel(self) -> None:
        """End the generation within one step, from any thread; the last chunk says so."""
        self._loop.cancel()

    def close(self) -> None:
        """End the generation; what it put into the session's context stays. Idempotent."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._loop.cancel()
            on_end()

    @property
    def generation(self) -> Generation:
        """The whole generation.

        Raises:
            GenerationError: It has not come to its end.
        """
        if self._finish_reason is None:
            raise GenerationError("the generation has not come to its end; read the stream first")
        return Generation(
            text="".join(self._texts),
            tokens=tuple(self._tokens),
            finish_reason=self._finish_reason,
            logprobs=tuple(self._logprobs) if self._has_logprobs else None,
            metrics=self._loop.metrics,
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A stream that nobody has read to its end; it may not even have been made.
        if getattr(self, "_on_end", None) is not None:
            self.close()

    def _take(self, read: Callable[[], Chunk | None]) -> Chunk:
        try:
            chunk = read()
        except BaseException:
            self.close()
            raise
        if chunk is None:
            self.close()
            raise StopIteration
        self._texts.append(chunk.text)
        self._tokens.extend(chunk.tokens)
        self._logprobs.extend(chunk.logprobs)
        self._finish_reason = chunk.finish_reason
        if chunk.finish_reason is not None:
            self.close()
        return chunk


async def read_async(make_stream: Callable[[], Stream]) -> AsyncIterator[Chunk]:
    """Yield the chunks of a stream, made and read off the event loop.

    Cancelling or closing the iterator ends the generation within one step.
    """
    import asyncio  # takes longer to import than the rest of this package

    stream = await asyncio.to_thread(make_stream)
    pending: asyncio.Future[Chunk | None] | None = None
    try:
        while True:
            pending = asyncio.ensure_future(asyncio.to_thread(next, stream, None))
            # Shielded: the thread must be out of the stream before it is closed.
            chunk = await asyncio.shield(pending)
            pending = None
            if chunk is None:
                return
            yield chunk
    finally:
        stream.cancel()
        if pending is not None:
            await asyncio.wait([pending])
        stream.close()
