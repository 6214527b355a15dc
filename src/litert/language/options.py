"""Options of a generation, validated when they are made."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from litert.errors import OptionError

if TYPE_CHECKING:
    from litert.backends.language_protocol import LogitsHook

StopTokens: TypeAlias = "Sequence[int | Sequence[int]]"

_MAX_LOGPROBS = 1000
_MAX_SEED = 1 << 64


class GenerationArguments(TypedDict, total=False):
    """The keyword arguments of everything that generates; ``GenerationOptions`` explains each."""

    max_tokens: int | None
    min_tokens: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float
    typical_p: float
    seed: int | None
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    no_repeat_ngram: int
    logit_bias: Mapping[int, float]
    suppressed_tokens: Sequence[int]
    stop: str | Sequence[str]
    stop_tokens: StopTokens
    ignore_eos: bool
    logprobs: int | None
    logits_hook: LogitsHook | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """How to generate.

    The order of what is done to the logits is that of Hugging Face's ``generate``: bias, penalties,
    n-grams and suppressed tokens, then the hook, then temperature, top_k, top_p, min_p, typical_p.

    Attributes:
        max_tokens: Tokens to generate at most; None for as many as the context holds.
        min_tokens: Until as many are generated, nothing stops but ``max_tokens``.
        temperature: 0 takes the most probable token. None for what the model's file says, greedy
            where it says nothing.
        top_k: Keep the k most probable tokens, 0 for all. None as for ``temperature``.
        top_p: Keep the most probable tokens that together reach this probability, 1 for all. None
            as for ``temperature``.
        min_p: Keep tokens at least this many times as probable as the best one, 0 for all.
        typical_p: Keep the tokens whose surprise is nearest to the expected one, until they reach
            this probability; 1 for all.
        seed: The same seed gives the same tokens, on every platform. None draws one.
        repetition_penalty: Logits of tokens that came before, also in the prompt, are divided by
            it where positive and multiplied where negative; 1 does nothing.
        presence_penalty: Subtracted from the logits of tokens that were generated before.
        frequency_penalty: Subtracted for each time that they were.
        no_repeat_ngram: No sequence of so many tokens comes twice; 0 for no such rule.
        logit_bias: Added to the logits of these ids; ``-inf`` bans one.
        suppressed_tokens: Ids that are never sampled.
        stop: Texts that end the generation, and are not part of it.
        stop_tokens: Ids, or sequences of ids, that end it beside the model's own.
        ignore_eos: Do not end at the model's own stop tokens, for measuring.
        logprobs: Give the logarithm of each token's probability and of so many alternatives; None
            for no logprobs.
        logits_hook: Called before each token is sampled with the logits, float32[vocab], a
            writable view that is valid during the call, and the ids generated so far.
        timeout_s: Seconds after which the generation ends with what there is.

    Raises:
        OptionError: A value is out of its range.
    """

    max_tokens: int | None = None
    min_tokens: int = 0
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    suppressed_tokens: Sequence[int] = ()
    stop: str | Sequence[str] = ()
    stop_tokens: StopTokens = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    logits_hook: LogitsHook | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _check_int("max_tokens", self.max_tokens, 1, None)
        _check_int("min_tokens", self.min_tokens, 0, None)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise OptionError(
                f"min_tokens: expected at most max_tokens={self.max_tokens}, got {self.min_tokens}"
            )
        _check_number("temperature", self.temperature, 0, math.inf)
        _check_int("top_k", self.top_k, 0, (1 << 31) - 1)
        _check_number("top_p", self.top_p, 0, 1, is_open=True)
        _check_number("min_p", self.min_p, 0, 1)
        _check_number("typical_p", self.typical_p, 0, 1, is_open=True)
        _check_int("seed", self.seed, 0, _MAX_SEED - 1)
        _check_number("repetition_penalty", self.repetition_penalty, 0, math.inf, is_open=True)
        _check_number("presence_penalty", self.presence_penalty, -math.inf, math.inf)
        _check_number("frequency_penalty", self.frequency_penalty, -math.inf, math.inf)
        _check_int("no_repeat_ngram", self.no_repeat_ngram, 0, (1 << 31) - 1)
        for token, bias in self.logit_bias.items():
            if not _is_int(token) or not _is_number(bias) or math.isnan(bias) or bias == math.inf:
                raise OptionError(
                    f"logit_bias: expected ids and finite numbers or -inf, got {token!r}: {bias!r}"
                )
        if not all(map(_is_int, self.suppressed_tokens)):
            raise OptionError(f"suppressed_tokens: expected ids, got {self.suppressed_tokens!r}")
        for text in self.stop_strings():
            if not isinstance(text, str) or not text:
                raise OptionError(f"stop: expected texts of a character or more, got {text!r}")
        for sequence in self.stop_sequences():
            if not sequence or not all(map(_is_int, sequence)):
                raise OptionError(
                    f"stop_tokens: expected ids or sequences of ids, got {sequence!r}"
                )
        _check_int("logprobs", self.logprobs, 0, _MAX_LOGPROBS)
        if self.logits_hook is not None and not callable(self.logits_hook):
            raise OptionError(f"logits_hook: expected a callable, got {self.logits_hook!r}")
        _check_number("timeout_s", self.timeout_s, 0, math.inf)

    def stop_strings(self) -> tuple[str, ...]:
        """Return ``stop`` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def stop_sequences(self) -> tuple[tuple[int, ...], ...]:
        """Return ``stop_tokens`` as sequences of ids."""
        return tuple(
            (token,) if isinstance(token, int) else tuple(token) for token in self.stop_tokens
        )

    def seed_or_new(self) -> int:
        """Return the seed, a fresh one where none was given."""
        return secrets.randbits(64) if self.seed is None else self.seed


def make_options(arguments: GenerationArguments) -> GenerationOptions:
    """Make options of keyword arguments.

    Raises:
        OptionError: A value is out of its range.
        TypeError: There is no such option; the message lists those there are.
    """
    unknown = [name for name in arguments if name not in GenerationArguments.__annotations__]
    if unknown:
        known = ", ".join(GenerationArguments.__annotations__)
        raise TypeError(f"{unknown[0]}: there is no such option; the options are {known}")
    return GenerationOptions(**arguments)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_int(name: str, value: int | None, low: int, high: int | None) -> None:
    if value is None:
        return
    if not _is_int(value) or value < low or (high is not None and value > high):
        allowed = f"{low} or more" if high is None else f"{low} to {high}"
        raise OptionError(f"{name}: expected an int, {allowed}, got {value!r}")


def _check_number(
    name: str, value: float | None, low: float, high: float, *, is_open: bool = False
) -> None:
    if value is None:
        return
    is_right = _is_number(value) and low <= value <= high and not math.isinf(value)
    if not is_right or (is_open and value == low):
        above = f"above {low:g}" if is_open else f"{low:g} or more"
        allowed = {
            (False, False): above,
            (False, True): f"{above}, at most {high:g}",
            (True, False): "any finite number",
            (True, True): f"at most {high:g}",
        }[math.isinf(low), not math.isinf(high)]
        raise OptionError(f"{name}: expected a number, {allowed}, got {value!r}")
