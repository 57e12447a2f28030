"""The elementary functions: a table and a quadratic, evaluated in the order written here.

The same bits come out of a scalar call, a vectorized loop and a circuit. Largest errors, over all
float32 inputs, in units in the last place of the true result
(``tests/numerics/test_accuracy.py``):

==============  ================================================
function        ulp
==============  ================================================
``exp``         1.01
``reciprocal``  1.05
``rsqrt``       1.00
``sigmoid``     3.33
``tanh``        3.15
``gelu_tanh``   3.17 above -1; below, an absolute error of 5.05e-8
==============  ================================================
"""

from __future__ import annotations

import math

import numpy as np

from .float32 import (
    BIAS,
    INFINITY,
    INFINITY_BITS,
    MAGNITUDE,
    MANTISSA,
    MANTISSA_BITS,
    MIN_NORMAL_BITS,
    NAN,
    ONE,
    ONE_BITS,
    ROUNDER,
    ROUNDER_BITS,
    SIGN,
    ZERO,
    add,
    bits_of,
    float_of,
    mul,
    scalar,
    sub,
)
from .tables import EXP_SEGMENTS, EXP_TABLE, RECIPROCAL_TABLE, RSQRT_TABLE, SEGMENTS

__all__ = [
    "EXP_HIGHEST",
    "EXP_LOWEST",
    "EXP_STEPS_PER_UNIT",
    "EXP_STEP_HIGH",
    "EXP_STEP_LOW",
    "exp",
    "gelu_tanh",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "soft_cap",
    "tanh",
]

# exp: k = rint(x * 128 / ln 2); ln 2 / 128 is split so that k (15 bits) times the first part (9
# bits) is exact, hence also x minus that product.
EXP_STEPS_PER_UNIT = np.float32(EXP_SEGMENTS / math.log(2))
EXP_STEP_HIGH = np.float32(355 * 2.0**-16)
EXP_STEP_LOW = np.float32(-float.fromhex("0x1.bd0106p-20"))
_EXP_SEGMENT_BITS = np.int32(EXP_SEGMENTS.bit_length() - 1)
_EXP_SEGMENT = np.int32(EXP_SEGMENTS - 1)
EXP_HIGHEST = np.float32(89)    # where the result is already infinite
EXP_LOWEST = np.float32(-88)    # where it is already zero

_SEGMENT_SHIFT = np.int32(24 - SEGMENTS.bit_length())
_SEGMENT_START = np.int32(-1 << (24 - SEGMENTS.bit_length()))

_EXP0, _EXP1, _EXP2 = (np.ascontiguousarray(column) for column in EXP_TABLE.T)
_RECIPROCAL0, _RECIPROCAL1, _RECIPROCAL2 = (
    np.ascontiguousarray(column) for column in RECIPROCAL_TABLE.T
)
_RSQRT0, _RSQRT1, _RSQRT2 = (np.ascontiguousarray(column) for column in RSQRT_TABLE.T)


@scalar
def _quadratic(
    c0: np.float32, c1: np.float32, c2: np.float32, d: np.float32
) -> np.float32:
    """Horner's c0 + d * (c1 + d * c2) by ``mul`` and ``add``.

    Their flush is left out: c0 and c1 are so large that adding a subnormal, or the zero in its
    place, gives the same bits.
    """
    return c0 + d * (c1 + d * c2)


@scalar
def exp(x: np.float32) -> np.float32:
    """Exponential of ``x``: 2^(k div 128) * table[k mod 128](d), k = rint(x * 128 / ln 2).

    Above 88.72 infinity; below -87.33 (where the result would be subnormal) zero.
    """
    x = np.float32(x)
    clamped = EXP_LOWEST if x < EXP_LOWEST else x
    clamped = EXP_HIGHEST if clamped > EXP_HIGHEST else clamped
    shifted = np.float32(mul(clamped, EXP_STEPS_PER_UNIT) + ROUNDER)
    k = np.int32(bits_of(shifted) - ROUNDER_BITS)
    steps = np.float32(shifted - ROUNDER)
    d = sub(sub(clamped, np.float32(steps * EXP_STEP_HIGH)), mul(steps, EXP_STEP_LOW))
    segment = np.int32(k & _EXP_SEGMENT)
    power = np.int32(k >> _EXP_SEGMENT_BITS)
    bits = bits_of(_quadratic(_EXP0[segment], _EXP1[segment], _EXP2[segment], d))
    bits = np.int32(bits + np.int32(power << MANTISSA_BITS))
    bits = np.int32(0) if bits < MIN_NORMAL_BITS else min(bits, INFINITY_BITS)
    return NAN if np.isnan(x) else float_of(bits)


@scalar
def reciprocal(x: np.float32) -> np.float32:
    """1 / ``x``; 1 / +-0 = +-infinity, 1 / +-infinity = +-0; zero above 2^126 (exclusive)."""
    bits = bits_of(x)
    magnitude = np.int32(bits & MAGNITUDE)
    mantissa = np.int32(bits & MANTISSA)
    segment = np.int32(mantissa >> _SEGMENT_SHIFT)
    d = np.float32(
        float_of(np.int32(mantissa | ONE_BITS))
        - float_of(np.int32(np.int32(mantissa & _SEGMENT_START) | ONE_BITS))
    )
    bits_of_mantissa = bits_of(
        _quadratic(_RECIPROCAL0[segment], _RECIPROCAL1[segment], _RECIPROCAL2[segment], d)
    )
    power = np.int32(BIAS - np.int32(magnitude >> MANTISSA_BITS))
    result = np.int32(bits_of_mantissa + np.int32(power << MANTISSA_BITS))
    result = np.int32(0) if result < MIN_NORMAL_BITS else result
    result = INFINITY_BITS if magnitude < MIN_NORMAL_BITS else result
    signed = float_of(np.int32(result | np.int32(bits & SIGN)))
    return NAN if magnitude > INFINITY_BITS else signed


@scalar
def rsqrt(x: np.float32) -> np.float32:
    """1 / sqrt(``x``); +-0 gives infinity, infinity gives zero, a negative number NaN."""
    bits = bits_of(x)
    exponent = np.int32(np.int32(bits >> MANTISSA_BITS) - BIAS)
    odd = np.int32(exponent & 1)
    mantissa = np.int32(bits & MANTISSA)
    segment = np.int32(np.int32(mantissa >> _SEGMENT_SHIFT) + np.int32(odd * SEGMENTS))
    d = np.float32(
        float_of(np.int32(mantissa | ONE_BITS))
        - float_of(np.int32(np.int32(mantissa & _SEGMENT_START) | ONE_BITS))
    )
    bits_of_mantissa = bits_of(_quadratic(_RSQRT0[segment], _RSQRT1[segment], _RSQRT2[segment], d))
    power = np.int32(np.int32(odd - exponent) >> np.int32(1))
    result = float_of(np.int32(bits_of_mantissa + np.int32(power << MANTISSA_BITS)))
    magnitude = np.int32(bits & MAGNITUDE)
    result = ZERO if magnitude == INFINITY_BITS else result
    result = NAN if (bits < 0) | (magnitude > INFINITY_BITS) else result
    return INFINITY if magnitude < MIN_NORMAL_BITS else result


@scalar
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-``x``)), composed of ``exp``, ``add`` and ``reciprocal``."""
    return reciprocal(add(ONE, exp(-np.float32(x))))


# The odd Taylor series of tanh, as far as it is needed below ``_TANH_SERIES_END``.
_TANH_SERIES_END = np.float32(0.375)
_TANH3, _TANH5, _TANH7, _TANH9, _TANH11 = (
    np.float32(c) for c in (-1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)
)
_TWO = np.float32(2)
# x * (1 + tanh(u)) / 2 is x * sigmoid(2 u), where 2 u is 2 sqrt(2 / pi) * (x + 0.044715 x^3).
_GELU1 = np.float32(2 * math.sqrt(2 / math.pi))
_GELU3 = np.float32(2 * math.sqrt(2 / math.pi) * 0.044715)


@scalar
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent: below 0.375 its series in Horner's order, else 1 - 2 sigmoid(-2 |x|)."""
    x = np.float32(x)
    magnitude = np.float32(abs(x))
    square = mul(x, x)
    series = add(_TANH9, mul(square, _TANH11))
    series = add(_TANH7, mul(square, series))
    series = add(_TANH5, mul(square, series))
    series = add(_TANH3, mul(square, series))
    near = add(magnitude, mul(magnitude, mul(square, series)))
    far = sub(ONE, mul(_TWO, reciprocal(add(ONE, exp(mul(_TWO, magnitude))))))
    return np.float32(math.copysign(near if magnitude < _TANH_SERIES_END else far, x))


@scalar
def soft_cap(x: np.float32, cap: np.float32, inverse: np.float32) -> np.float32:
    """``cap * tanh(x * inverse)``; ``inverse`` is float32(1 / cap)."""
    return mul(cap, tanh(mul(x, inverse)))


@scalar
def gelu_tanh(x: np.float32) -> np.float32:
    """GELU by its tanh formula (Hendrycks and Gimpel, arXiv 1606.08415), as x * sigmoid(2 u)."""
    x = np.float32(x)
    return mul(x, sigmoid(mul(x, add(_GELU1, mul(_GELU3, mul(x, x))))))
