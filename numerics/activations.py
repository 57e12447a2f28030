"""Activations as a matmul takes them: int8, int4 or FP8 codes with one scale per row."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import njit
from .float32 import MAGNITUDE, ROUNDER, ROUNDER_BITS, bits_of, float_of, mul, scalar
from .functions import reciprocal

__all__ = [
    "ABSMAX_FLOOR",
    "INT8_MAX",
    "INT8_STEP",
    "quantize_activation",
    "quantize_activation_fp8",
    "quantize_activations",
    "quantize_activations_fp8",
    "quantize_int4",
]

ABSMAX_FLOOR = np.float32(1e-5)
INT8_MAX = np.float32(127)
INT8_STEP = np.float32(1 / 127)
_INT4_MAX = np.float32(7)
_INT4_STEP = np.float32(1 / 7)
_E4M3_MAX = np.float32(448)
_E4M3_STEP = np.float32(1 / 448)
_E4M3_UNITS = np.float32(512)   # in 1: every E4M3 number is an integer times 2^-9
_E4M3_NORMAL = np.float32(2.0**-6)
_E4M3_CUT_BITS = np.int32(20)  # of float32's mantissa that E4M3 does not have
_E4M3_CUT = np.int32((1 << 20) - 1)
_E4M3_HALF = np.int32((1 << 19) - 1)   # just below half of the last bit kept


@njit
def quantize_activation(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to int8 [K] in ``out`` and return the scale that multiplies it.

    absmax = max(|x|, 1e-5); q = clip(rint(x * (127 * reciprocal(absmax))), -128, 127), ties to
    even; scale = absmax * float32(1 / 127).
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(bits_of(row[k]) & MAGNITUDE))   # floats order as their bits
    absmax = max(float_of(largest), ABSMAX_FLOOR)
    inverse = mul(INT8_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        shifted = np.float32(mul(row[k], inverse) + ROUNDER)
        q = np.int32(bits_of(shifted) - ROUNDER_BITS)
        out[k] = np.int8(min(max(q, np.int32(-128)), np.int32(127)))
    return mul(absmax, INT8_STEP)


@njit
def quantize_int4(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to -7..7, int8 [K] in ``out``; return the scale.

    As ``quantize_activation`` with 7 for 127: of the four-bit keys and values.
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(bits_of(row[k]) & MAGNITUDE))
    absmax = max(float_of(largest), ABSMAX_FLOOR)
    inverse = mul(_INT4_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        shifted = np.float32(mul(row[k], inverse) + ROUNDER)
        q = np.int32(bits_of(shifted) - ROUNDER_BITS)
        out[k] = np.int8(min(max(q, np.int32(-7)), np.int32(7)))
    return mul(absmax, _INT4_STEP)


@scalar
def _e4m3_units(x: np.float32) -> np.int32:
    """The E4M3 number nearest to ``x``, ties to even, at most 448, as an integer times 2^-9."""
    bits = np.int32(bits_of(x) & MAGNITUDE)
    odd = np.int32(np.int32(bits >> _E4M3_CUT_BITS) & 1)
    rounded = np.int32(np.int32(np.int32(bits + _E4M3_HALF) + odd) & np.int32(~_E4M3_CUT))
    normal = np.float32(min(float_of(rounded), _E4M3_MAX) * _E4M3_UNITS)
    shifted = np.float32(mul(float_of(bits), _E4M3_UNITS) + ROUNDER)
    subnormal = np.float32(shifted - ROUNDER)
    magnitude = np.int32(normal if float_of(bits) >= _E4M3_NORMAL else subnormal)
    return np.int32(-magnitude) if bits_of(x) < 0 else magnitude


@njit
def quantize_activation_fp8(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to E4M3, int32 [K] in units of 2^-9; return the scale.

    absmax = max(|x|, 1e-5); code = e4m3(x * (448 * reciprocal(absmax))), to nearest, ties to even,
    at most 448; scale = absmax * float32(1 / 448), which multiplies the E4M3 number.
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(bits_of(row[k]) & MAGNITUDE))
    absmax = max(float_of(largest), ABSMAX_FLOOR)
    inverse = mul(_E4M3_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        out[k] = _e4m3_units(mul(row[k], inverse))
    return mul(absmax, _E4M3_STEP)


@njit
def _quantize_rows(x: np.ndarray, q: np.ndarray, scale: np.ndarray) -> None:
    for n in range(x.shape[0]):
        scale[n] = quantize_activation(x[n], q[n])


def quantize_activations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``quantize_activation`` of each row of float32 [N, K]: (int8 [N, K], float32 scale [N])."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    q = np.empty(x.shape, np.int8)
    scale = np.empty(x.shape[0], np.float32)
    _quantize_rows(x, q, scale)
    return q, scale


@njit
def _quantize_rows_fp8(x: np.ndarray, units: np.ndarray, scale: np.ndarray) -> None:
    for n in range(x.shape[0]):
        scale[n] = quantize_activation_fp8(x[n], units[n])


def quantize_activations_fp8(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``quantize_activation_fp8`` of each row of float32 [N, K]: (int32 [N, K], float32 [N])."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    units = np.empty(x.shape, np.int32)
    scale = np.empty(x.shape[0], np.float32)
    _quantize_rows_fp8(x, units, scale)
    return units, scale
