"""Scales from magnitudes: how absmax becomes a stored scale, and what happens at the edges."""

from __future__ import annotations

import numpy as np

from ...errors import FormatError

__all__ = ["SMALLEST_FLOAT32", "float16_scale", "float32_scale"]

SMALLEST_FLOAT32 = np.finfo(np.float32).tiny   # smallest normal: numerics flushes anything below


def float32_scale(absmax: np.ndarray, largest_code: float) -> np.ndarray:
    """``absmax / largest_code`` in float32, at least the smallest normal number (2**-126).

    The lower limit gives zeros a scale that can be divided by; their codes are zero.
    """
    return np.maximum(absmax / np.float32(largest_code), SMALLEST_FLOAT32)


def float16_scale(span: np.ndarray, steps: int) -> np.ndarray:
    """``span / steps`` (float64) rounded to float16 and given back as float32; at least 2**-24.

    Codes are computed from the rounded scale, the one that is stored. Weights too small for
    float16 (and zeros) get the smallest scale, 2**-24. Raises ``FormatError`` above 65504.
    """
    scale = span.astype(np.float64) / steps
    if scale.max(initial=0) >= 65520:   # halfway to the next, absent, float16
        raise FormatError(
            f"a group spans {span.max():g}, which needs a scale of {scale.max():g}: float16 ends "
            "at 65504. Use int8 or fp8, whose scales are float32"
        )
    half = np.maximum(scale.astype(np.float16), np.finfo(np.float16).smallest_subnormal)
    return half.astype(np.float32)
