"""The token loop in Python, over a scripted model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert import ClosedError, ContextLengthError, ExecutionError
from litert.backends.language_protocol import LoopRequest
from litert.language import python_loop
from litert.language.generation import Chunk
from litert.language.python_loop import Context, PythonLoop

VOCAB = 26
CHUNK = 4


class CountingModel:
    """After token n comes n + 1 with logit 5, then n + 2 with logit 4; all others have 0."""

    def __init__(self, context_length: int = 64) -> None:
        self.vocab_size = VOCAB
        self.context_length = context_length
        self.runs: list[tuple[int, ...]] = []
        self.positions: list[int] = []
        self.before_run: Callable[[], None] = lambda: None

    def prefill(self, ids: Sequence[int], position: int) -> int:
        taken = ids[:CHUNK]
        self._record(taken, position)
        return len(taken)

    def step(self, token: int, position: int) -> npt.NDArray[np.float32]:
        self._record([token], position)
        logits = np.zeros(VOCAB, np.float32)
        logits[(token + 1) % VOCAB] = 5
        logits[(token + 2) % VOCAB] = 4
        return logits

    def _record(self, ids: Sequence[int], position: int) -> None:
        self.before_run()
        self.runs.append(tuple(ids))
        self.positions.append(position)


class Letters:
    """Decodes 0 to "a", 1 to "b", ...; ids in ``late`` are shown with the next one."""

    def __init__(self, late: Sequence[int] = (), broken: int | None = None) -> None:
        self._late = late
        self._broken = broken
        self._held = ""

    def push(self, token: int) -> str:
        if token == self._broken:
            raise ZeroDivisionError("a broken decoder")
        self._held += chr(ord("a") + token)
        return "" if token in self._late else self.flush()

    def flush(self) -> str:
        text, self._held = self._held, ""
        return text


def context_of(*prompt: int, context_length: int = 64) -> tuple[Context, CountingModel]:
    model = CountingModel(context_length)
    context = Context(model)
    context.tokens.extend(prompt)
    return context, model


def loop_of(context: Context, decoder: Letters | None = None, **request: Any) -> PythonLoop:
    return PythonLoop(context, LoopRequest(**({"max_tokens": 4} | request)), decoder)


def all_chunks(loop: PythonLoop) -> list[Chunk]:
    return list(iter(loop.next, None))


def test_run_gives_tokens_and_text() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, Letters()).run()
    assert chunk == Chunk("bcde", (1, 2, 3, 4), (), "length")
    assert context.tokens == [0, 1, 2, 3, 4]


def test_run_prefills_all_but_the_last_token() -> None:
    context, model = context_of(*range(10))
    loop_of(context, max_tokens=2).run()
    assert model.runs == [(0, 1, 2, 3), (4, 5, 6, 7), (8,), (9,), (10,)]
    assert model.positions == [0, 4, 8, 9, 10]


def test_run_again_reads_only_what_is_new() -> None:
    context, model = context_of(0, 1, 2)
    loop_of(context, max_tokens=2).run()
    assert context.tokens == [0, 1, 2, 3, 4]
    model.runs.clear()
    context.tokens.extend([9, 10])
    loop = loop_of(context, max_tokens=1)
    assert loop.run().tokens == (11,)
    # 4 was generated last, and so not read yet.
    assert model.runs == [(4, 9), (10,)]
    assert (loop.metrics.prompt_tokens, loop.metrics.cached_tokens) == (7, 4)


def test_run_after_truncate_reads_the_last_token_again() -> None:
    context, model = context_of(0, 1, 2)
    loop_of(context).run()
    context.truncate(2)
    model.runs.clear()
    assert loop_of(context, max_tokens=1).run().tokens == (2,)
    assert model.runs == [(1,)]


def test_next_without_decoder_gives_a_chunk_a_token() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, max_tokens=3))
    assert chunks == [
        Chunk("", (1,), (), None),
        Chunk("", (2,), (), None),
        Chunk("", (3,), (), "length"),
    ]


def test_next_waits_for_text_to_show() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, Letters(late=[2]), max_tokens=4))
    assert [(chunk.text, chunk.tokens) for chunk in chunks] == [
        ("b", (1,)),
        ("cd", (2, 3)),
        ("e", (4,)),
    ]


def test_next_and_run_after_the_end_give_nothing_more() -> None:
    context, _ = context_of(0)
    loop = loop_of(context, Letters())
    loop.run()
    assert loop.next() is None
    with pytest.raises(ClosedError, match="the generation is over"):
        loop.run()


def test_text_that_the_decoder_holds_at_the_end_is_shown() -> None:
    context, _ = context_of(0)
    assert loop_of(context, Letters(late=[4]), max_tokens=4).run().text == "bcde"


def test_stop_token_is_in_neither_tokens_nor_context() -> None:
    context, _ = context_of(0)
    loop = loop_of(context, Letters(), max_tokens=9, stop_tokens=((20,), (3,)))
    assert loop.run() == Chunk("bc", (1, 2), (), "stop")
    assert context.tokens == [0, 1, 2]
    assert loop.metrics.generated_tokens == 3


def test_stop_sequence_is_held_back_and_taken_off_the_context() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, Letters(), max_tokens=9, stop_tokens=((2, 3),)))
    assert chunks == [Chunk("b", (1,), (), None), Chunk("", (), (), "stop")]
    assert context.tokens == [0, 1]
    assert loop_of(context, max_tokens=1).run().tokens == (2,)


def test_beginning_of_a_stop_sequence_is_released_when_it_goes_another_way() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, Letters(), max_tokens=4, stop_tokens=((2, 3, 9),)))
    assert [(chunk.text, chunk.tokens) for chunk in chunks] == [("b", (1,)), ("cde", (2, 3, 4))]


def test_beginning_of_a_stop_sequence_at_the_end_is_released() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, Letters(), max_tokens=3, stop_tokens=((3, 4),)).run()
    assert chunk == Chunk("bcd", (1, 2, 3), (), "length")
    assert context.tokens == [0, 1, 2, 3]


def test_stop_string_ends_the_text_and_keeps_the_tokens() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, Letters(), max_tokens=9, stop_strings=("de",)))
    assert chunks == [
        Chunk("b", (1,), (), None),
        Chunk("c", (2,), (), None),
        Chunk("", (3, 4), (), "stop"),
    ]
    assert context.tokens == [0, 1, 2, 3, 4]


def test_beginning_of_a_stop_string_at_the_end_is_shown() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, Letters(), max_tokens=3, stop_strings=("de",)).run()
    assert (chunk.text, chunk.finish_reason) == ("bcd", "length")


def test_stop_string_in_text_that_the_decoder_held_at_the_end_stops() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, Letters(late=[3]), max_tokens=3, stop_strings=("d",)).run()
    assert (chunk.text, chunk.finish_reason) == ("bc", "stop")


def test_stop_string_in_held_tokens_drops_those_after_it() -> None:
    context, _ = context_of(0)
    loop = loop_of(
        context, Letters(), max_tokens=9, stop_tokens=((2, 3, 4, 9),), stop_strings=("cd",)
    )
    assert loop.run() == Chunk("b", (1, 2, 3), (), "stop")
    assert context.tokens == [0, 1, 2, 3]


def test_min_tokens_bans_stop_tokens_until_then() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, max_tokens=9, min_tokens=2, stop_tokens=((1,), (6,))).run()
    # 1 is banned, so 2 comes instead.
    assert chunk.tokens == (2, 3, 4, 5)
    assert chunk.finish_reason == "stop"


def test_min_tokens_stop_sequences_do_not_count_until_then() -> None:
    context, _ = context_of(0)
    stops = ((1, 2), (2, 3), (4, 5))
    chunk = loop_of(context, max_tokens=9, min_tokens=2, stop_tokens=stops).run()
    assert (chunk.tokens, chunk.finish_reason) == ((1, 2, 3), "stop")


def test_min_tokens_stop_strings_do_not_count_until_then() -> None:
    context, _ = context_of(0)
    chunk = loop_of(
        context, Letters(), max_tokens=9, min_tokens=2, stop_strings=("b", "cd", "ef")
    ).run()
    assert (chunk.text, chunk.finish_reason) == ("bcd", "stop")


def test_full_context_ends_with_length() -> None:
    context, model = context_of(0, 1, context_length=4)
    assert loop_of(context, max_tokens=9).run() == Chunk("", (2, 3), (), "length")
    assert len(context.tokens) == model.context_length


@pytest.mark.parametrize("prompt", [(), (0, 1, 2, 3)])
def test_context_without_a_token_or_without_room_is_refused(prompt: tuple[int, ...]) -> None:
    context, _ = context_of(*prompt, context_length=4)
    loop = loop_of(context)
    with pytest.raises(ContextLengthError, match=f"of 4 tokens holds {len(prompt)}; to generate"):
        loop.next()
    assert loop.next() is None


def test_cancel_during_prefill_ends_before_the_next_run() -> None:
    context, model = context_of(*range(12))
    loop = loop_of(context)
    model.before_run = loop.cancel
    assert loop.run() == Chunk("", (), (), "cancelled")
    assert model.runs == [(0, 1, 2, 3)]
    model.before_run = lambda: None
    assert loop_of(context, max_tokens=2).run().tokens == (12, 13)
    assert model.positions[1] == CHUNK


def test_cancel_between_tokens_gives_what_was_held_back() -> None:
    context, _ = context_of(0)
    loop = loop_of(context, Letters(), max_tokens=9, stop_strings=("cz",), stop_tokens=((3, 9),))
    assert loop.next() == Chunk("b", (1,), (), None)
    loop.cancel()
    assert loop.run() == Chunk("", (), (), "cancelled")
    assert context.tokens == [0, 1]


def test_cancel_from_a_hook_shows_held_text_and_tokens() -> None:
    context, _ = context_of(0)

    def cancel(_: Any, generated: Sequence[int]) -> None:
        if len(generated) == 2:
            loop.cancel()

    loop = loop_of(
        context, Letters(), max_tokens=9, logits_hook=cancel, stop_tokens=((3, 9),),
        stop_strings=("cdz",),
    )  # fmt: skip
    assert loop.run() == Chunk("bcd", (1, 2, 3), (), "cancelled")
    assert context.tokens == [0, 1, 2, 3]


def test_timeout_ends_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(python_loop.time, "perf_counter", lambda: now[0])
    context, model = context_of(*range(6))

    def tick() -> None:
        now[0] += 1

    model.before_run = tick
    loop = loop_of(context, timeout_s=3.5, max_tokens=9)
    # Prefill takes two seconds, each step one.
    assert loop.run() == Chunk("", (6, 7), (), "timeout")
    assert loop_of(context, max_tokens=1).run().tokens == (8,)


def test_hook_changes_the_logits_and_sees_the_tokens() -> None:
    context, _ = context_of(0)
    seen = []

    def hook(logits: npt.NDArray[np.float32], generated: Sequence[int]) -> None:
        seen.append((logits.dtype, logits.shape, int(logits.argmax()), list(generated)))
        logits[7] = 9

    assert loop_of(context, max_tokens=2, logits_hook=hook).run().tokens == (7, 7)
    dtype = np.dtype(np.float32)
    assert seen == [(dtype, (VOCAB,), 1, []), (dtype, (VOCAB,), 8, [7])]


def test_hook_comes_after_the_penalties() -> None:
    context, _ = context_of(0)
    best = []

    def hook(logits: npt.NDArray[np.float32], generated: Sequence[int]) -> None:
        best.append(int(logits.argmax()))

    loop_of(context, max_tokens=1, logits_hook=hook, suppressed_tokens=(1,)).run()
    assert best == [2]


def test_hook_that_raises_leaves_the_session_usable() -> None:
    context, _ = context_of(0)

    def hook(_: Any, generated: Sequence[int]) -> None:
        if len(generated) == 2:
            raise ZeroDivisionError("a broken hook")

    loop = loop_of(context, logits_hook=hook)
    with pytest.raises(ZeroDivisionError, match="a broken hook"):
        loop.run()
    assert loop.next() is None
    assert context.tokens == [0, 1, 2]
    assert loop_of(context, max_tokens=2).run().tokens == (3, 4)


@pytest.mark.parametrize("method", ["next", "run"])
def test_decoder_that_raises_leaves_the_state_before_its_token(method: str) -> None:
    context, _ = context_of(0)
    loop = loop_of(context, Letters(late=[1, 2], broken=3))
    with pytest.raises(ZeroDivisionError, match="a broken decoder"):
        getattr(loop, method)()
    assert loop.next() is None
    assert context.tokens == [0, 1, 2]
    assert loop_of(context, max_tokens=2).run().tokens == (3, 4)


def test_model_that_fails_leaves_the_session_usable() -> None:
    context, model = context_of(0)

    def fail() -> None:
        if len(model.runs) == 2:
            raise ExecutionError("run failed")

    model.before_run = fail
    loop = loop_of(context)
    with pytest.raises(ExecutionError, match="run failed"):
        loop.run()
    assert context.tokens == [0, 1, 2]
    model.before_run = lambda: None
    assert loop_of(context, max_tokens=2).run().tokens == (3, 4)


def test_logprobs_are_those_of_the_model_itself() -> None:
    context, _ = context_of(0)

    def hook(logits: npt.NDArray[np.float32], generated: Sequence[int]) -> None:
        logits[:] = 0
        logits[2] = 100

    chunk = loop_of(
        context, max_tokens=1, num_logprobs=2, logits_hook=hook, suppressed_tokens=(1,)
    ).run()
    (entry,) = chunk.logprobs
    total = math.log(math.exp(5) + math.exp(4) + VOCAB - 2)
    assert entry.token == 2
    assert entry.logprob == pytest.approx(4 - total, abs=1e-5)
    assert [token for token, _ in entry.top] == [1, 2]
    assert entry.top[0][1] == pytest.approx(5 - total, abs=1e-5)


def test_logprobs_without_alternatives_have_none() -> None:
    context, _ = context_of(0)
    chunk = loop_of(context, max_tokens=2, num_logprobs=0).run()
    assert [(entry.token, entry.top) for entry in chunk.logprobs] == [(1, ()), (2, ())]


def test_logprobs_come_with_the_tokens_they_belong_to() -> None:
    context, _ = context_of(0)
    chunks = all_chunks(loop_of(context, max_tokens=6, num_logprobs=0, stop_tokens=((2, 3, 9),)))
    assert [chunk.tokens for chunk in chunks] == [(1,), (2, 3, 4), (5,), (6,)]
    for chunk in chunks:
        assert tuple(entry.token for entry in chunk.logprobs) == chunk.tokens


def test_session_that_changed_during_a_generation_is_refused() -> None:
    context, _ = context_of(0)
    loop = loop_of(context)
    loop.next()
    context.tokens.append(20)
    with pytest.raises(ExecutionError, match="changed while a generation was under way"):
        loop.next()
    assert context.tokens == [0, 1, 20]


def test_session_in_use_by_another_thread_is_refused() -> None:
    context, _ = context_of(0)
    loop = loop_of(context)
    with (
        context.in_use(),
        pytest.raises(ExecutionError, match="in use by another thread; give each"),
    ):
        loop.next()
    assert loop.run().tokens == (1, 2, 3, 4)


def test_closed_session_is_refused() -> None:
    context, _ = context_of(0)
    loop = loop_of(context)
    context.close()
    with pytest.raises(ClosedError, match="the session is closed"):
        loop.next()


def test_metrics_count_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(python_loop.time, "perf_counter", lambda: now[0])
    context, model = context_of(*range(6))

    def tick() -> None:
        now[0] += 0.5

    model.before_run = tick
    loop = loop_of(context, max_tokens=5)
    loop.run()
    metrics = loop.metrics
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.generated_tokens) == (6, 0, 5)
    assert metrics.time_to_first_token_s == 1.5
    assert metrics.prefill_tokens_per_s == 5
    assert metrics.decode_tokens_per_s == 2


def test_same_seed_gives_the_same_tokens_read_in_any_way() -> None:
    first, _ = context_of(0)
    second, _ = context_of(0)
    options = {"temperature": 2.0, "seed": 7, "max_tokens": 20}
    chunks = all_chunks(loop_of(first, **options))
    assert len(chunks) == 20
    assert loop_of(second, **options).run().tokens == tuple(first.tokens[1:])


def letters(tokens: Sequence[int]) -> str:
    return "".join(chr(ord("a") + token) for token in tokens)


def expected(request: LoopRequest) -> tuple[str, tuple[int, ...]]:
    """Return text and tokens after prompt 0, by the meaning of the options, all at once.

    A stop sequence has no text; what is before it may have a stop string.
    """
    tokens = list(range(1, request.max_tokens + 1))
    first = request.min_tokens
    for end in range(first + 1, len(tokens) + 1):
        matches = [
            len(ids) for ids in request.stop_tokens if tuple(tokens[first:end][-len(ids) :]) == ids
        ]
        if matches:
            tokens = tokens[: end - max(matches)]
            break
    for end in range(first + 1, len(tokens) + 1):
        text = letters(tokens[first:end])
        matches = [len(stop) for stop in request.stop_strings if text.endswith(stop)]
        if matches:
            shown = letters(tokens[:first]) + text[: len(text) - max(matches)]
            return shown, tuple(tokens[:end])
    return letters(tokens), tuple(tokens)


runs_of_ids = st.tuples(st.integers(1, 12), st.integers(2, 3)).map(
    lambda pair: tuple(range(pair[0], sum(pair)))
)


@settings(deadline=None)
@given(
    max_tokens=st.integers(1, 12),
    min_tokens=st.integers(0, 4),
    stop_tokens=st.lists(runs_of_ids, max_size=2).map(tuple),
    stop_strings=st.lists(st.sampled_from(["c", "de", "fgh", "ef", "hx"]), max_size=2).map(tuple),
)
def test_chunks_make_up_what_the_options_mean(
    max_tokens: int,
    min_tokens: int,
    stop_tokens: tuple[tuple[int, ...], ...],
    stop_strings: tuple[str, ...],
) -> None:
    request = LoopRequest(
        max_tokens=max_tokens,
        min_tokens=min(min_tokens, max_tokens),
        stop_tokens=stop_tokens,
        stop_strings=stop_strings,
    )
    text, tokens = expected(request)
    piecewise, _ = context_of(0)
    chunks = all_chunks(PythonLoop(piecewise, request, Letters()))
    assert "".join(chunk.text for chunk in chunks) == text
    assert tuple(token for chunk in chunks for token in chunk.tokens) == tokens
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    whole, _ = context_of(0)
    chunk = PythonLoop(whole, request, Letters()).run()
    assert (chunk.text, chunk.tokens) == (text, tokens)
    assert piecewise.tokens == whole.tokens == [0, *tokens]
