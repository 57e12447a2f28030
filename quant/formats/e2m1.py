"""E2M1, the four-bit float of MXFP4 and NVFP4: sign, two bits of exponent, one of mantissa."""

from __future__ import annotations

import numpy as np

__all__ = ["E2M1_MAX", "E2M1_TWICE", "E2M1_VALUES", "to_e2m1"]

E2M1_MAX = 6.0

_MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)   # by the three low bits of a code
E2M1_VALUES = np.concatenate([_MAGNITUDES, -_MAGNITUDES])
E2M1_TWICE = (2 * E2M1_VALUES).astype(np.int8)           # the integers that kernels compute with


def _bounds() -> np.ndarray:
    """float32 [7]: the largest magnitude that still rounds to each code; a tie goes to even."""
    middle = (_MAGNITUDES[1:] + _MAGNITUDES[:-1]) / 2
    upper_is_even = np.arange(1, 8) % 2 == 0
    return np.where(upper_is_even, np.nextafter(middle, np.float32(0)), middle)


_BOUNDS = _bounds()


def to_e2m1(numbers: np.ndarray) -> np.ndarray:
    """E2M1 codes (uint8, 0 to 15) of float32 ``numbers``; ties to even, beyond 6 it is 6."""
    magnitude = np.searchsorted(_BOUNDS, np.abs(numbers), side="left").astype(np.uint8)
    return magnitude | np.signbit(numbers).astype(np.uint8) << 3
