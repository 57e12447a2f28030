"""CAS, channel-wise scaling: columns of one mean magnitude, by the weights alone.

FireQ (arXiv 2505.20839): before INT4 rounding, column j of the matrices that read one input is
multiplied by ``c / mean_i |W_ij|``, and whatever makes that input is divided by it, so that no
column is small in its group. No text is needed. The authors' code has constants c tuned for each
model and each input, zero for those that are left alone. Here only the input of gate and up is
scaled, c is the geometric mean, so that scales are around one, and they are raised to one of
``STRENGTHS`` in each layer: the one with the smallest error of the outputs, if what a norm has
normalized is of equal power in every column. Zero is one of them, no scaling, and is kept unless
another wins a twentieth or more: that the power is equal is roughly true at best, and on
``demo-llama`` scales that win a hundredth lose perplexity (0.001 and 0.014).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..formats.int4_fp8 import Int4Fp8
from .method import Method

__all__ = ["METHOD", "STAGE", "STRENGTHS", "chosen", "equal_columns"]

STAGE = 2   # of ``LINEAR_STAGES``: gate and up
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_CLEAR = 0.95


def equal_columns(magnitudes: Iterable[np.ndarray]) -> np.ndarray:
    """Float32 s [K] that makes columns equal whose sums of magnitudes are ``magnitudes``.

    One array [K] or more, which are added up. Columns of zeros keep 1; the others' geometric mean
    is 1.
    """
    total = np.asarray(np.sum(list(magnitudes), axis=0, dtype=np.float64))
    filled = total > 0
    if not filled.any():
        return np.ones(len(total), np.float32)
    logarithms = np.log(total, out=np.zeros(len(total)), where=filled)
    scales = np.exp(logarithms[filled].mean() - logarithms)
    return np.where(filled, scales, 1).astype(np.float32)


def chosen(errors: Sequence[float]) -> int:
    """Which of ``STRENGTHS`` to take for the ``errors`` that they leave."""
    best = min(range(len(errors)), key=errors.__getitem__)
    return best if errors[best] < _CLEAR * errors[0] else 0


METHOD = Method("cas", None, (Int4Fp8,))
