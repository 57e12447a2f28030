"""The elementary functions of the rule of numbers, again: numpy arrays, frexp and ldexp.

Nothing is shared with ``numerics`` but the tables, so that the text of the rule is what is tested.
"""

import numpy as np

from trilobite.numerics.tables import EXP_TABLE, RECIPROCAL_TABLE, RSQRT_TABLE

F = np.float32
SMALLEST = F(2.0**-126)


def flush(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < SMALLEST, np.copysign(F(0), x), x)


def _horner(table: np.ndarray, segment: np.ndarray, d: np.ndarray) -> np.ndarray:
    c0, c1, c2 = table[segment].T
    return flush(c0 + flush(d * flush(c1 + flush(d * c2))))


def _scaled(mantissa: np.ndarray, power: np.ndarray) -> np.ndarray:
    """mantissa * 2^power as float32: infinite above the range, flushed below it."""
    exact = np.ldexp(mantissa.astype(np.float64), power)
    return np.where(exact < SMALLEST, F(0), exact.astype(F))


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Exponent, mantissa in [1, 2), its segment and the distance to the segment's start."""
    half, exponent = np.frexp(x)
    mantissa = half * F(2)
    segment = np.floor((mantissa - F(1)) * F(128)).astype(np.int64)
    d = mantissa - (F(1) + segment.astype(F) / F(128))
    return exponent - 1, mantissa, segment, d


@np.errstate(all="ignore")
def exp(x: np.ndarray) -> np.ndarray:
    clamped = np.nan_to_num(np.clip(x, F(-88), F(89)))
    k = np.rint(flush(clamped * F(128 / np.log(2))))
    d = flush(flush(clamped - k * F(355 / 65536)) - flush(k * F(np.log(2) / 128 - 355 / 65536)))
    k = k.astype(np.int64)
    result = _scaled(_horner(EXP_TABLE, k % 128, d), k // 128)
    return np.where(np.isnan(x), F(np.nan), result)


@np.errstate(all="ignore")
def reciprocal(x: np.ndarray) -> np.ndarray:
    magnitude = np.abs(flush(x))
    regular = np.isfinite(x) & (magnitude > 0)
    exponent, _, segment, d = _split(np.where(regular, magnitude, F(1)))
    result = _scaled(_horner(RECIPROCAL_TABLE, segment, d), -exponent)
    result = np.where(regular, result, np.where(magnitude == 0, F(np.inf), F(0)))
    return np.where(np.isnan(x), F(np.nan), np.copysign(result, x))


@np.errstate(all="ignore")
def rsqrt(x: np.ndarray) -> np.ndarray:
    value = flush(x)
    regular = np.isfinite(x) & (value > 0)
    exponent, _, segment, d = _split(np.where(regular, value, F(1)))
    odd = exponent % 2
    result = _scaled(_horner(RSQRT_TABLE, segment + 128 * odd, d), -(exponent - odd) // 2)
    result = np.where(regular, result, np.where(value == 0, F(np.inf), F(0)))
    return np.where(np.isnan(x) | (value < 0), F(np.nan), result)


@np.errstate(all="ignore")
def sigmoid(x: np.ndarray) -> np.ndarray:
    return reciprocal(flush(F(1) + exp(-x)))


@np.errstate(all="ignore")
def tanh(x: np.ndarray) -> np.ndarray:
    magnitude, square = np.abs(x), flush(x * x)
    series = np.full_like(square, F(-1382 / 155925))
    for coefficient in (62 / 2835, -17 / 315, 2 / 15, -1 / 3):
        series = flush(F(coefficient) + flush(square * series))
    near = flush(magnitude + flush(magnitude * flush(square * series)))
    far = flush(F(1) - flush(F(2) * reciprocal(flush(F(1) + exp(flush(F(2) * magnitude))))))
    return np.copysign(np.where(magnitude < F(0.375), near, far), x)


@np.errstate(all="ignore")
def gelu_tanh(x: np.ndarray) -> np.ndarray:
    root = 2 * np.sqrt(2 / np.pi)
    slope = flush(F(root) + flush(F(root * 0.044715) * flush(x * x)))
    return flush(x * sigmoid(flush(x * slope)))
