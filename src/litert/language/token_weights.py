"""Probabilities as whole numbers, so that sums depend neither on their order nor on the machine.

A token's weight is ``2 ** (30 + z)``, rounded, where ``z`` is the binary logarithm of its
probability over that of the best one: the difference of their logits over ``temperature * ln 2``,
in float32. A token that is 2 ** 31 times less probable than the best one has the weight 0. exp2 and
log are written out, since those of C libraries differ; each step is what the native core does, bit
for bit.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from litert.errors import error_from_status

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

FULL_WEIGHT = 1 << 30  # of the best token
LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
_LOWEST_Z = np.float32(-32)  # tokens below have the weight 0

# 2**f = 1 + f * (c1 + f * (c2 + ...)) on [-1/2, 1/2], relative error below 1e-7; last ones first.
_EXP2_COEFFICIENTS = [
    np.float32(float.fromhex(digits))
    for digits in (
        "0x1.5bba14p-10",
        "0x1.3cea88p-7",
        "0x1.c6b752p-5",
        "0x1.ebf9bcp-3",
        "0x1.62e42ap-1",
        "0x1p0",
    )
]


def weights_of(z: Floats) -> Ids:
    """Return the weights, int64; NaN has the weight 0."""
    clamped = np.where(z > _LOWEST_Z, z, _LOWEST_Z)
    whole = np.rint(clamped)
    fraction = clamped - whole
    power = np.full_like(z, _EXP2_COEFFICIENTS[0])
    for coefficient in _EXP2_COEFFICIENTS[1:]:
        power = power * fraction + coefficient
    scaled: Floats = np.ldexp(power, whole.astype(np.int32) + 30)
    weights: Ids = (scaled + np.float32(0.5)).astype(np.int64)
    return weights


def natural_log(value: float) -> float:
    """Return the logarithm of a positive finite number.

    Of m * 2**e with m in [sqrt(1/2), sqrt(2)): log m = 2 artanh(s) with s = (m - 1) / (m + 1).
    """
    mantissa, exponent = math.frexp(value)
    if mantissa < math.sqrt(2) / 2:
        mantissa, exponent = 2 * mantissa, exponent - 1
    s = (mantissa - 1) / (mantissa + 1)
    series = 0.0
    for odd in range(21, 0, -2):
        series = series * (s * s) + 1 / odd
    return exponent * _LN_2 + 2 * s * series


def without_nan(logits: Floats) -> Floats:
    """Return a copy with -inf for NaN."""
    return np.where(np.isnan(logits), np.float32(-np.inf), logits)


def check_best(best: np.float32) -> None:
    """Raise ExecutionError where the best logit says that no token can be drawn."""
    if best == -np.inf:
        message = (
            "logits: no token can be drawn, since every logit is NaN or -inf; look at what the "
            "model, the penalties and the bans leave"
        )
        raise error_from_status(3, message)
