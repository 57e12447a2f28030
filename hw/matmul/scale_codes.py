"""How the scales of groups lie in memory: 16 bits each, without a sign. Plain Python and numpy."""

from __future__ import annotations

import numpy as np

__all__ = ["CODE_BITS", "EXPONENT_OFFSET", "FRACTION_BITS", "scale_codes"]

CODE_BITS, FRACTION_BITS = 16, 10
EXPONENT_OFFSET = 102   # of the code's exponent to float32's: 2^-24, the least float16, is 1 there


def scale_codes(scales: np.ndarray) -> np.ndarray:
    """uint16 codes of float32 ``scales`` that are float16 numbers, 0 or above.

    The code has a float32's exponent in its upper six bits and the ten highest ones of its fraction
    below: a float16 that is subnormal needs no shifter in hardware.

    Raises
    ------
    ValueError
        A scale is negative, infinite, not a number, or no float16.
    """
    scales = np.asarray(scales, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        kept = scales.astype(np.float16).astype(np.float32) == scales
    if not (kept & np.isfinite(scales) & ~np.signbit(scales)).all():
        raise ValueError("Scales must be float16 numbers, 0 or above")
    bits = scales.view(np.uint32)
    codes = (bits >> (23 - FRACTION_BITS)) - np.uint32(EXPONENT_OFFSET << FRACTION_BITS)
    return np.where(scales == 0, 0, codes).astype(np.uint16)
