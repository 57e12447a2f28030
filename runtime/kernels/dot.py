"""Integer dot products of one row of weights with the int8 activations of many tokens."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit

__all__ = ["dot_tokens"]


@njit
def dot_tokens(row: np.ndarray, q: np.ndarray, sums: np.ndarray) -> None:
    """Write int32 ``sums`` [N] from ``row`` [K], int8 or int16 up to 128, and int8 ``q`` [N, K].

    Exact for K below 2^17. One token at a time: several to each reading of the row make LLVM
    choose narrower vectors, at two thirds of the speed.
    """
    for n in range(q.shape[0]):
        activations = q[n]
        total = np.int32(0)
        for k in range(row.shape[0]):
            total += np.int32(np.int32(row[k]) * np.int32(activations[k]))
        sums[n] = total
