"""CAS, channel-wise scaling: columns of one mean magnitude, by the weights alone.

FireQ (arXiv 2505.20839): before INT4 rounding, column j of the matrices that read one input is
multiplied by ``c / mean_i |W_ij|``, and whatever makes that input is divided by it, so that no
column is small in its group. No text is needed. The authors' code has constants c tuned for each
model and each input, zero for those that are left alone. Here c is the geometric mean, so that
scales are around one, and the input of gate and up is scaled: on ``demo-llama``, scaling that of
down (which they do, for Llama 3) and those of attention (which they do not) loses.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["STAGE", "equal_columns"]

STAGE = 2   # of ``LINEAR_STAGES``: gate and up


def equal_columns(magnitudes: Iterable[np.ndarray]) -> np.ndarray:
    """Float32 s [K] that makes columns equal whose sums of magnitudes are ``magnitudes``.

    One array [K] or more, which are added up. Columns of zeros keep 1; the others' geometric mean
    is 1.
    """
    total = np.sum(list(magnitudes), axis=0, dtype=np.float64)
    filled = total > 0
    if not filled.any():
        return np.ones(len(total), np.float32)
    logarithms = np.log(total, out=np.zeros(len(total)), where=filled)
    scales = np.exp(logarithms[filled].mean() - logarithms)
    return np.where(filled, scales, 1).astype(np.float32)
