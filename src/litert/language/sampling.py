"""Drawing tokens from logits in NumPy, bit for bit as the native core does.

Probabilities are the whole numbers of ``token_weights``. The filters come in the order of Hugging
Face's ``generate()``; each sees what the one before kept, and ties go to the lowest id. ``Sampler``
and ``LogitsProcessor`` say what each of them does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.errors import OptionError, TensorShapeError
from litert.language.token_weights import (
    FULL_WEIGHT,
    LOG2_E,
    Floats,
    Ids,
    check_best,
    natural_log,
    weights_of,
    without_nan,
)

_MASK = 0xFFFFFFFF


class Sampler:
    """Draws a token from logits.

    - ``temperature``: 0 takes the best logit. Otherwise logits are divided by it.
    - ``top_k`` keeps the first k tokens by logit.
    - ``top_p`` keeps the first tokens by weight until theirs is at least p of the sum.
    - ``min_p`` keeps tokens whose weight is at least p times the best one's.
    - ``typical_p`` keeps tokens whose surprise, the negative logarithm of their probability, lies
      nearest to its expected value, until their weight is at least p of the sum.
    - The draw: of the tokens left, by ascending id, the first is taken at which the running sum of
      weights exceeds u times their sum. u is in [0, 1), from Philox4x32-10 with the key ``seed``
      and the counter ``draw_index``.

    A logit of +inf is taken at once; NaN counts as -inf, which is never drawn. Immutable, so safe
    in any number of threads.

    Args:
        vocab_size: Number of logits.
        temperature: Finite, 0 or more; 0 is greedy.
        top_k: 0 or more; 0 keeps all.
        top_p: 0 to 1; 1 keeps all.
        min_p: 0 to 1; 0 keeps all.
        typical_p: 0 to 1; 1 keeps all.
        seed: 64 bits.

    Raises:
        OptionError: A value is out of its range.

    Example:
        >>> Sampler(3).sample(np.array([0.5, 2.0, 1.0], np.float32), draw_index=0)
        1
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._vocab_size = vocab_size
        self._temperature = _float32(temperature)
        self._top_k = top_k if top_k < vocab_size else 0
        self._top_p, self._min_p, self._typical_p = map(_float32, (top_p, min_p, typical_p))
        self._seed = seed
        _check(vocab_size > 0, "vocab_size", "1 or more", vocab_size)
        is_finite = bool(0 <= self._temperature < np.inf)
        _check(is_finite, "temperature", "a finite number of 0 or more", self._temperature)
        _check(top_k >= 0, "top_k", "0 or more", top_k)
        for name in ("top_p", "min_p", "typical_p"):
            share = getattr(self, f"_{name}")
            _check(0 <= share <= 1, name, "a number from 0 to 1", share)
        _check(0 <= seed < 1 << 64, "seed", "a whole number of 64 bits", seed)

    def sample(self, logits: Floats, draw_index: int) -> int:
        """Draw a token.

        Args:
            logits: float32[vocab_size].
            draw_index: The token's place in the generation: the same place draws the same number.

        Returns:
            Its id.

        Raises:
            TensorShapeError: The logits have another shape.
            ExecutionError: Every logit is NaN or -inf.
        """
        _check_logits(logits, self._vocab_size)
        logits = without_nan(logits)
        best_id = int(logits.argmax())
        best = logits[best_id]
        check_best(best)
        if self._temperature == 0 or best == np.inf:
            return best_id
        with np.errstate(over="ignore", divide="ignore"):
            factor = min(np.float32(LOG2_E) / self._temperature, np.finfo(np.float32).max)
            z = (logits - best) * factor
        weights = weights_of(z)
        ids = self._filter(logits, z, weights)
        running = np.cumsum(weights[ids])
        target = int(_uniform(self._seed, draw_index) * float(running[-1]))
        return int(ids[np.searchsorted(running, target, side="right")])

    def _filter(self, logits: Floats, z: Floats, weights: Ids) -> Ids:
        """Return the ids of the tokens left, ascending."""
        ids = _best_ids(logits, self._top_k) if self._top_k else np.arange(len(logits))
        ids = ids[weights[ids] > 0]
        if self._top_p < 1:
            ids = _first_reaching(ids, -weights[ids], weights[ids], self._top_p)
        if self._min_p > 0:
            ids = ids[weights[ids] >= _part_of(self._min_p, FULL_WEIGHT)]
        if self._typical_p < 1:
            # The surprise of a token is a constant less z, and so is its expected value. A running
            # sum, since its order is fixed.
            sums = np.cumsum(weights[ids].astype(np.float64) * z[ids].astype(np.float64))
            expected_z = sums[-1] / float(weights[ids].sum())
            distances = np.abs(expected_z - z[ids].astype(np.float64)).astype(np.float32)
            ids = _first_reaching(ids, distances, weights[ids], self._typical_p)
        return ids


class LogitsProcessor:
    """Changes logits before sampling: biases, penalties and bans. One thread at a time.

    In this order:

    - ``logit_bias`` is added.
    - ``repetition_penalty`` divides a positive logit and multiplies any other, once for each id
      that the prompt or the generation holds.
    - ``frequency_penalty`` times the count plus ``presence_penalty`` is taken away, for ids
      generated so far.
    - ``no_repeat_ngram``, n: bans each id that would end a sequence of n ids that came before, in
      the prompt or the generation.
    - ``suppressed_tokens`` are banned.

    A ban is a logit of -inf.

    Args:
        vocab_size: Number of logits.
        repetition_penalty: Finite, above 0; 1 does nothing.
        presence_penalty: Finite; 0 does nothing.
        frequency_penalty: Finite; 0 does nothing.
        no_repeat_ngram: 0 or more; 0 bans none.
        logit_bias: Pairs of id and bias.
        suppressed_tokens: Ids.

    Raises:
        OptionError: A value is out of its range, or an id is outside of the vocabulary.

    Example:
        >>> processor = LogitsProcessor(3, repetition_penalty=2.0)
        >>> processor.start([1])
        >>> logits = np.array([0.5, 2.0, 1.5], np.float32)
        >>> processor.apply(logits)
        >>> logits.tolist()
        [0.5, 1.0, 1.5]
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        no_repeat_ngram: int = 0,
        logit_bias: Sequence[tuple[int, float]] = (),
        suppressed_tokens: Sequence[int] = (),
    ) -> None:
        self._vocab_size = vocab_size
        self._repetition = _float32(repetition_penalty)
        self._presence = _float32(presence_penalty)
        self._frequency = _float32(frequency_penalty)
        self._n = no_repeat_ngram
        self._bias = [(token, _float32(bias)) for token, bias in logit_bias]
        self._suppressed = list(suppressed_tokens)
        self._check_options()
        self._has_penalties = self._repetition != 1 or self._presence != 0 or self._frequency != 0
        self.start([])

    def _check_options(self) -> None:
        _check(self._vocab_size > 0, "vocab_size", "1 or more", self._vocab_size)
        is_right = bool(0 < self._repetition < np.inf)
        _check(is_right, "repetition_penalty", "a finite number above 0", self._repetition)
        for name in ("presence", "frequency"):
            penalty = getattr(self, f"_{name}")
            _check(bool(np.isfinite(penalty)), f"{name}_penalty", "a finite number", penalty)
        _check(self._n >= 0, "no_repeat_ngram", "0 or more", self._n)
        for token, bias in self._bias:
            self._check_id("logit_bias", token)
            _check(not np.isnan(bias), "logit_bias", "numbers", bias)
        for token in self._suppressed:
            self._check_id("suppressed_tokens", token)

    def _check_id(self, name: str, token: int) -> None:
        is_right = 0 <= token < self._vocab_size
        _check(is_right, name, f"ids from 0 to {self._vocab_size - 1}", token)

    @property
    def does_nothing(self) -> bool:
        """Whether ``apply`` changes nothing, whatever came before."""
        return not (self._has_penalties or self._n or self._bias or self._suppressed)

    def start(self, prompt: Sequence[int], max_new_tokens: int = 0) -> None:
        """Forget everything and take the ids that were there before.

        Args:
            prompt: Ids.
            max_new_tokens: How many are accepted afterwards; a hint that is of no use here.

        Raises:
            OptionError: An id is outside of the vocabulary.
        """
        for token in prompt:
            self._check_id("prompt", token)
        self._num_generated: dict[int, int] = {}  # 0 for ids of the prompt alone
        self._ids: list[int] = []
        self._followers: dict[tuple[int, ...], set[int]] = {}  # of each n - 1 ids
        for token in prompt:
            self._remember(token, 0)

    def accept(self, token: int) -> None:
        """Take a generated id.

        Raises:
            OptionError: The id is outside of the vocabulary.
        """
        self._check_id("token", token)
        self._remember(token, 1)

    def _remember(self, token: int, count: int) -> None:
        self._num_generated[token] = self._num_generated.get(token, 0) + count
        if self._n and len(self._ids) >= self._n - 1:
            self._followers.setdefault(self._context(), set()).add(token)
        self._ids.append(token)

    def _context(self) -> tuple[int, ...]:
        """Return the last n - 1 ids."""
        return tuple(self._ids[len(self._ids) - (self._n - 1) :])

    def apply(self, logits: Floats) -> None:
        """Change the logits of the next token, float32[vocab_size], in place.

        Raises:
            TensorShapeError: The logits have another shape.
        """
        _check_logits(logits, self._vocab_size)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for token, bias in self._bias:
                logits[token] += bias
            if self._has_penalties and self._num_generated:
                self._apply_penalties(logits)
        if self._n and len(self._ids) >= self._n:
            logits[list(self._followers.get(self._context(), ()))] = -np.inf
        logits[self._suppressed] = -np.inf

    def _apply_penalties(self, logits: Floats) -> None:
        ids = np.fromiter(self._num_generated.keys(), np.int64)
        counts = np.fromiter(self._num_generated.values(), np.float32)
        seen = logits[ids]
        seen = np.where(seen > 0, seen / self._repetition, seen * self._repetition)
        penalties = counts * self._frequency + self._presence
        logits[ids] = np.where(counts > 0, seen - penalties, seen)


def log_probabilities(
    logits: Floats, chosen: int, num_top: int = 0
) -> tuple[float, list[tuple[int, float]]]:
    """Return how probable a model holds its tokens, whatever the sampler does with them.

    NaN counts as -inf; where logits are +inf, they share all the probability.

    Args:
        logits: float32[vocab_size], as the model gives them.
        chosen: The id whose log probability is asked for.
        num_top: How many of the most probable tokens are asked for.

    Returns:
        The natural logarithm of its probability at temperature 1; ids and log probabilities of the
        most probable tokens, best first, ties by lowest id.

    Raises:
        OptionError: ``chosen`` or ``num_top`` does not fit the vocabulary.
        ExecutionError: Every logit is NaN or -inf.
    """
    size = len(logits)
    _check(0 <= chosen < size, "chosen", f"an id below {size}", chosen)
    expected = f"at most {size}, the size of the vocabulary"
    _check(0 <= num_top <= size, "num_top", expected, num_top)
    logits = without_nan(logits)
    best = logits.max()
    check_best(best)
    with np.errstate(over="ignore", invalid="ignore"):
        differences = np.where(logits == best, np.float32(0), logits - best)
        total = int(weights_of(differences * np.float32(LOG2_E)).sum())
    log_total = natural_log(total / FULL_WEIGHT)
    top = np.argsort(-logits, kind="stable")[:num_top]
    logprobs = (differences.astype(np.float64) - log_total).astype(np.float32)
    return float(logprobs[chosen]), [(int(token), float(logprobs[token])) for token in top]


def _best_ids(logits: Floats, count: int) -> Ids:
    """Return the ids of the best logits, ascending."""
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    ids = np.flatnonzero(logits >= least)
    return np.sort(ids[np.argsort(-logits[ids], kind="stable")[:count]])


def _first_reaching(ids: Ids, order: npt.NDArray[Any], weights: Ids, share: np.float32) -> Ids:
    """Return the first ids by ascending order until they weigh the share, themselves ascending."""
    first = np.argsort(order, kind="stable")
    running = np.cumsum(weights[first])
    needed = _part_of(share, int(running[-1]))
    count = int(np.searchsorted(running, needed, side="left")) + 1
    return np.sort(ids[first[:count]])


def _part_of(share: np.float32, total: int) -> int:
    return max(math.ceil(float(share) * float(total)), 1)


def _uniform(seed: int, draw_index: int) -> float:
    """Return the number of a draw, a multiple of 2**-53 in [0, 1)."""
    low, high, _, _ = _philox((draw_index & _MASK, draw_index >> 32, 0, 0), seed)
    return float(((high << 32 | low) >> 11) * 2.0**-53)


def _philox(counter: tuple[int, int, int, int], seed: int) -> tuple[int, int, int, int]:
    """Encrypt a counter by Philox4x32-10 (Salmon et al., 2011)."""
    key_low, key_high = seed & _MASK, seed >> 32
    a, b, c, d = counter
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, c = second >> 32 ^ b ^ key_low, first >> 32 ^ d ^ key_high
        b, d = second & _MASK, first & _MASK
        key_low, key_high = key_low + 0x9E3779B9 & _MASK, key_high + 0xBB67AE85 & _MASK
    return a, b, c, d


def _float32(value: float) -> Any:  # NumPy's stubs type scalar arithmetic differently over time
    with np.errstate(over="ignore", under="ignore"):
        return np.float32(value)


def _check(is_right: bool, name: str, expected: str, value: float | np.float32) -> None:
    if not is_right:
        got = value if isinstance(value, int) else f"{value:g}"
        raise OptionError(f"{name}: expected {expected}, got {got}")


def _check_logits(logits: Floats, vocab_size: int) -> None:
    if logits.shape != (vocab_size,):
        got = ", ".join(map(str, logits.shape))
        raise TensorShapeError(f"logits: expected float32[{vocab_size}], got float32[{got}]")
