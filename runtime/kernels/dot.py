"""Integer dot products of one row of int8 weights with the int8 activations of many tokens."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["dot_tokens"]

_TOKENS = 4   # to each reading of the row


@njit(cache=True)
def dot_tokens(row: np.ndarray, q: np.ndarray, sums: np.ndarray) -> None:
    """Write int32 ``sums`` [N] from int8 ``row`` [K] and int8 ``q`` [N, K].

    Exact for K below 2^17.
    """
    N = q.shape[0]
    whole = N // _TOKENS * _TOKENS
    for n in range(0, whole, _TOKENS):
        q0, q1, q2, q3 = q[n], q[n + 1], q[n + 2], q[n + 3]
        sum0 = sum1 = sum2 = sum3 = np.int32(0)
        for k in range(row.shape[0]):
            weight = np.int32(row[k])
            sum0 += np.int32(weight * np.int32(q0[k]))
            sum1 += np.int32(weight * np.int32(q1[k]))
            sum2 += np.int32(weight * np.int32(q2[k]))
            sum3 += np.int32(weight * np.int32(q3[k]))
        sums[n], sums[n + 1], sums[n + 2], sums[n + 3] = sum0, sum1, sum2, sum3
    for n in range(whole, N):
        activations = q[n]
        total = np.int32(0)
        for k in range(row.shape[0]):
            total += np.int32(np.int32(row[k]) * np.int32(activations[k]))
        sums[n] = total
