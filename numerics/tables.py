"""The tables behind the elementary functions of ``numerics``: segments x coefficients, float32.

Row ``i`` of a table holds ``(c0, c1, c2)`` of segment ``i``; the function there is
``c0 + d * (c1 + d * c2)``, where ``d`` is the distance to the segment's base point. ``c0`` is the
function at the base point, rounded to nearest, so every table is exact at the powers of two (and
exp at zero). ``c1`` and ``c2`` interpolate the rest at the zeros of a Chebyshev polynomial that is
stretched to have one of its own zeros at ``d = 0``, which is within a few percent of the minimax
fit (J.-M. Muller, *Elementary Functions*, ch. 3).

Everything is computed with IEEE float64 addition, multiplication, division and square root alone,
which are correctly rounded everywhere: the tables are the same bits on every machine. Runtime
kernels and hardware read the same arrays; they are read-only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["EXP_SEGMENTS", "EXP_TABLE", "RECIPROCAL_TABLE", "RSQRT_TABLE", "SEGMENTS"]

SEGMENTS = 128       # per octave of the mantissa, so that its upper 7 bits choose the segment
EXP_SEGMENTS = 128   # per octave of the result

# log(2) to more digits than float64 holds; written out because a libm's log may differ by an ulp.
_LN2 = 0.693147180559945309417232121458

Function = Callable[[np.ndarray], np.ndarray]


def _fit(function: Function, base: np.ndarray, first: float, second: float) -> np.ndarray:
    """Coefficients [segments, 3] through ``base`` and through base + ``first``, + ``second``."""
    value = function(base).astype(np.float32).astype(np.float64)
    slope_first = (function(base + first) - value) / first
    slope_second = (function(base + second) - value) / second
    curvature = (slope_second - slope_first) / (second - first)
    slope = slope_first - curvature * first
    table = np.stack([value, slope, curvature], axis=1).astype(np.float32)
    table.flags.writeable = False
    return table


def _fit_mantissa(function: Function) -> np.ndarray:
    """Segments of [1, 2) whose base point is the left edge, so that d is in [0, 1/SEGMENTS)."""
    base = 1 + np.arange(SEGMENTS) / SEGMENTS
    half_root3 = math.sqrt(3) / 2   # the zeros of T3 are at 0 and +- this; the left one sits at d=0
    unit = 1 / SEGMENTS / (1 + half_root3)
    return _fit(function, base, half_root3 * unit, 2 * half_root3 * unit)


def _exp(x: np.ndarray) -> np.ndarray:
    """Exponential of float64 |x| <= 1 by its Taylor series, to float64's accuracy."""
    total = np.ones_like(x)
    for divisor in range(24, 0, -1):
        total = 1 + total * x / divisor
    return total


def _fit_exp() -> np.ndarray:
    """exp(base + d) for base = i * ln2 / EXP_SEGMENTS and |d| <= half a step."""
    step = _LN2 / EXP_SEGMENTS
    root = step / 2 * math.sqrt(3) / 2
    return _fit(_exp, np.arange(EXP_SEGMENTS) * step, -root, root)


EXP_TABLE = _fit_exp()
RECIPROCAL_TABLE = _fit_mantissa(lambda m: 1 / m)
# The second half serves numbers whose exponent is odd: 1 / sqrt(2 * m).
RSQRT_TABLE = np.concatenate(
    [_fit_mantissa(lambda m: 1 / np.sqrt(m)), _fit_mantissa(lambda m: 1 / np.sqrt(2 * m))]
)
RSQRT_TABLE.flags.writeable = False
