"""Streams in asyncio programs: off the event loop, ended by closing or cancelling."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import litert
from language_models import speller
from litert.options import Backend

IDS = [7, 11, 13, 17, 19]
GREEDY: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True}


@pytest.fixture
def lm(backend: Backend) -> Iterator[litert.LanguageModel]:
    with litert.LanguageModel(speller(), num_threads=1, backend=backend) as model:
        yield model


def test_astream_gives_the_chunks_of_stream(lm: litert.LanguageModel) -> None:
    async def read() -> list[litert.Chunk]:
        return [chunk async for chunk in lm.astream(IDS, max_tokens=12, **GREEDY)]

    assert asyncio.run(read()) == list(lm.stream(IDS, max_tokens=12, **GREEDY))


def test_streams_of_one_model_run_side_by_side(lm: litert.LanguageModel) -> None:
    async def read(ids: list[int]) -> tuple[int, ...]:
        tokens: tuple[int, ...] = ()
        async for chunk in lm.astream(ids, max_tokens=10, **GREEDY):
            tokens += chunk.tokens
        return tokens

    async def read_all() -> list[tuple[int, ...]]:
        return await asyncio.gather(*(read([number, 5, 9]) for number in (7, 8, 9)))

    expected = [lm.generate([n, 5, 9], max_tokens=10, **GREEDY).tokens for n in (7, 8, 9)]
    assert asyncio.run(read_all()) == expected


def test_leaving_the_loop_ends_the_generation(lm: litert.LanguageModel) -> None:
    async def read_one() -> None:
        async with contextlib.aclosing(lm.astream(IDS, **GREEDY)) as stream:
            async for _ in stream:
                break

    asyncio.run(read_one())
    assert lm.generate(IDS, max_tokens=3, **GREEDY).finish_reason == "length"


def test_cancelling_the_task_ends_the_generation(lm: litert.LanguageModel) -> None:
    seen: list[int] = []

    async def read() -> None:
        async for chunk in lm.astream(
            IDS, logits_hook=lambda _, ids: seen.append(len(ids)), **GREEDY
        ):
            assert chunk.finish_reason is None

    async def cancel() -> None:
        task = asyncio.ensure_future(read())
        while len(seen) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    num_seen = len(seen)
    assert lm.generate(IDS, max_tokens=3, **GREEDY).finish_reason == "length"
    assert len(seen) == num_seen  # nothing of the cancelled one goes on


def test_errors_come_out_of_the_loop(lm: litert.LanguageModel) -> None:
    async def read() -> None:
        async for _ in lm.astream([10**6]):
            pass

    with pytest.raises(litert.TokenizerError, match="outside of the model's vocabulary"):
        asyncio.run(read())
