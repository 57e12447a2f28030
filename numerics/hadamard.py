"""The Walsh-Hadamard transform of blocks of a vector, with signs before it."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import njit
from .float32 import add, mul, sub

__all__ = ["rotate", "rotate_back"]


@njit
def _transform(row: np.ndarray, block: int) -> None:
    """Each ``block`` of ``row``, in place: H / sqrt(block), with H of Sylvester's order.

    Element i and its partner i + step become their sum and difference, for steps of 1, 2, 4 and so
    on; at last each element is multiplied by float32(1 / sqrt(block)).
    """
    scale = np.float32(1.0 / np.sqrt(block))
    step = 1
    while step < block:
        for first in range(0, row.shape[0], 2 * step):
            for i in range(first, first + step):
                low, high = row[i], row[i + step]
                row[i] = add(low, high)
                row[i + step] = sub(low, high)
        step *= 2
    for i in range(row.shape[0]):
        row[i] = mul(row[i], scale)


@njit
def rotate(x: np.ndarray, signs: np.ndarray, block: int) -> np.ndarray:
    """R x of each row of float32 ``x`` [N, K]: ``signs`` float32 [K], then the transform.

    ``block`` is a power of two that divides K.
    """
    result = np.empty_like(x)
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            result[n, k] = mul(x[n, k], signs[k])
        _transform(result[n], block)
    return result


@njit
def rotate_back(rows: np.ndarray, signs: np.ndarray, block: int) -> np.ndarray:
    """The inverse of ``rotate``: the transform, then ``signs``."""
    result = rows.copy()
    for n in range(rows.shape[0]):
        _transform(result[n], block)
        for k in range(rows.shape[1]):
            result[n, k] = mul(result[n, k], signs[k])
    return result
