"""Float32 as the rule of numbers has it: rounded once, never fused, subnormals flushed to zero.

The scalar functions are compiled by Numba and may be called from other compiled code; they have no
branches, so loops over them vectorize.
"""

from __future__ import annotations

import math

import numpy as np

from ..tools.compiled import njit

__all__ = ["add", "bits_of", "float_of", "flush", "flush_array", "mul", "scalar", "sub"]

ZERO = np.float32(0)
ONE = np.float32(1)
INFINITY = np.float32(np.inf)
NAN = np.float32(np.nan)
MIN_NORMAL = np.float32(2.0**-126)

SIGN = np.int32(-0x8000_0000)
MAGNITUDE = np.int32(0x7FFF_FFFF)
MANTISSA = np.int32(0x007F_FFFF)
MANTISSA_BITS = np.int32(23)
ONE_BITS = np.int32(0x3F80_0000)
INFINITY_BITS = np.int32(0x7F80_0000)
MIN_NORMAL_BITS = np.int32(0x0080_0000)
BIAS = np.int32(127)

# Adding 1.5 * 2^23 leaves round-to-nearest-even(x) in the low mantissa bits, for |x| < 2^22.
ROUNDER = np.float32(1.5 * 2**23)
ROUNDER_BITS = np.int32(0x4B40_0000)

# Inlined by LLVM whatever their size: a loop over a call does not vectorize.
scalar = njit(forceinline=True)


@scalar
def bits_of(x: np.float32) -> np.int32:
    """The int32 that has the bits of float32 ``x``."""
    return np.float32(x).view(np.int32)


@scalar
def float_of(bits: np.int32) -> np.float32:
    """The float32 that has the bits of int32 ``bits``."""
    return np.int32(bits).view(np.float32)


@scalar
def flush(x: np.float32) -> np.float32:
    """``x``, or zero with its sign if ``x`` is subnormal."""
    x = np.float32(x)
    return np.float32(math.copysign(ZERO, x)) if abs(x) < MIN_NORMAL else x


def flush_array(values: np.ndarray) -> np.ndarray:
    """``flush`` of every element of a float32 array: what weights from outside pass through."""
    return np.where(np.abs(values) < MIN_NORMAL, np.copysign(ZERO, values), values)


@scalar
def add(a: np.float32, b: np.float32) -> np.float32:
    """Sum a + b, rounded once, flushed."""
    return flush(np.float32(a) + np.float32(b))


@scalar
def sub(a: np.float32, b: np.float32) -> np.float32:
    """Difference a - b, rounded once, flushed."""
    return flush(np.float32(a) - np.float32(b))


@scalar
def mul(a: np.float32, b: np.float32) -> np.float32:
    """Product a * b, rounded once, flushed."""
    return flush(np.float32(a) * np.float32(b))
