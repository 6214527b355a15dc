"""How fast a language model reads and writes."""

from __future__ import annotations

import os
import random
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from litert.errors import ContextLengthError, LibraryError, OptionError
from litert.language.generation import Metrics
from litert.language.model import LanguageModel, default_num_threads
from litert.options import Backend


@dataclass(frozen=True, slots=True)
class Spread:
    """What came out of several rounds. Immutable."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Sum up one sample or more."""
        return cls(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageBenchmark:
    """What was measured of a language model. Immutable.

    Attributes:
        backend: What ran it.
        backend_reason: Why.
        num_threads: Threads of a run.
        context_length: Tokens that its context holds.
        num_prompt_tokens: Tokens that were read in each round.
        num_generated_tokens: Tokens that were generated then.
        load_s: Seconds to load it, the library being open already.
        peak_memory_bytes: The most memory that the process ever had resident; 0 where the system
            does not tell.
        time_to_first_token_s: From the prompt to the first token.
        prefill_tokens_per_s: Of reading the prompt, without the step that gives the first token.
        decode_tokens_per_s: Of the tokens after the first one.
        rounds: Each round, in order.
    """

    backend: str
    backend_reason: str
    num_threads: int
    context_length: int
    num_prompt_tokens: int
    num_generated_tokens: int
    load_s: float
    peak_memory_bytes: int
    time_to_first_token_s: Spread
    prefill_tokens_per_s: Spread
    decode_tokens_per_s: Spread
    rounds: tuple[Metrics, ...]


def benchmark_language_model(
    path: str | os.PathLike[str],
    *,
    num_prompt_tokens: int = 64,
    num_generated_tokens: int = 48,
    num_rounds: int = 5,
    seed: int = 0,
    num_threads: int | None = None,
    context_length: int | None = None,
    weight_cache: Literal["auto"] | str | os.PathLike[str] | None = "auto",
    backend: Backend = "auto",
) -> LanguageBenchmark:
    """Load a language model, then read a random prompt and generate after it, round by round.

    Each round has a context and a prompt of its own. One more comes first and is not counted.

    Args:
        path: As for ``LanguageModel``, and so are the last four.
        num_prompt_tokens: Tokens to read, 1 or more.
        num_generated_tokens: Tokens to generate, 2 or more.
        num_rounds: Rounds, 1 or more.
        seed: Of the prompts.
        num_threads: Threads of a run.
        context_length: Tokens that a context holds at most.
        weight_cache: Where packed weights are kept; a load that finds them is quicker.
        backend: What runs it.

    Raises:
        LiteRTError: The model cannot be loaded or run.
        ContextLengthError: The rounds do not fit the context.
        OptionError: An option has a wrong value.

    Example:
        >>> from litert.samples import speller_model_path
        >>> benchmark_language_model(speller_model_path(), num_rounds=3).rounds[0].generated_tokens
        48
    """
    _check("num_prompt_tokens", num_prompt_tokens, 1)
    _check("num_generated_tokens", num_generated_tokens, 2)
    _check("num_rounds", num_rounds, 1)
    _open_library()  # before the clock starts
    threads = default_num_threads() if num_threads is None else num_threads
    start = time.perf_counter()
    model = LanguageModel(
        path,
        num_threads=threads,
        context_length=context_length,
        weight_cache=weight_cache,
        backend=backend,
    )
    load_s = time.perf_counter() - start
    with model:
        _check_fits(num_prompt_tokens + num_generated_tokens, model.context_length)
        rounds = [
            _run_round(model, num_prompt_tokens, num_generated_tokens, random.Random(seed + number))
            for number in range(num_rounds + 1)
        ][1:]
        return LanguageBenchmark(
            backend=model.backend,
            backend_reason=model.backend_reason,
            num_threads=threads,
            context_length=model.context_length,
            num_prompt_tokens=num_prompt_tokens,
            num_generated_tokens=num_generated_tokens,
            load_s=load_s,
            peak_memory_bytes=_peak_memory_bytes(),
            time_to_first_token_s=Spread.of([one.time_to_first_token_s for one in rounds]),
            prefill_tokens_per_s=Spread.of([one.prefill_tokens_per_s for one in rounds]),
            decode_tokens_per_s=Spread.of([one.decode_tokens_per_s for one in rounds]),
            rounds=tuple(rounds),
        )


def _run_round(
    model: LanguageModel, num_prompt: int, num_generated: int, rng: random.Random
) -> Metrics:
    with model.session() as session:
        session.append([rng.randrange(model.vocab_size) for _ in range(num_prompt)])
        generation = session.generate(max_tokens=num_generated, ignore_eos=True, temperature=0)
    return generation.metrics


def _open_library() -> None:
    """Open the library and import what uses it, where they are usable."""
    from litert.library import load_library

    try:
        load_library()
        import litert.backends.native_language  # noqa: F401
    except (LibraryError, ImportError):
        return  # the reference backend may still run


def _peak_memory_bytes() -> int:
    """Return the peak of this program; getrusage would count what was there before its exec."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _check(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name}: expected an int, {least} or more, got {value!r}")


def _check_fits(num_tokens: int, context_length: int) -> None:
    if num_tokens > context_length:
        raise ContextLengthError(
            f"prompt and generated tokens are {num_tokens} together, the context holds "
            f"{context_length}; take fewer, or a larger context_length= where the model allows it"
        )
