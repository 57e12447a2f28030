"""Exact integer matmul of many tokens by floating-point BLAS.

A float matmul of integers is exact, in whatever order BLAS adds, while every partial sum is an
integer that the type can hold: up to 2^24 for float32, 2^53 for float64. With |q| <= 128 and
|w| <= ``largest``, a sum over ``depth`` products stays within that when
depth * 128 * largest <= 2^24; a larger K is cut into such chunks, added as integers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import LARGEST_ACTIVATION

__all__ = ["PANEL_WEIGHTS", "exact_depth", "exact_matmul", "integer_matmul"]

PANEL_WEIGHTS = 1 << 20   # unpacked at a time: 4 MiB as float32

# Writes rows [start, stop) of a weight into a float [stop - start, K] panel.
Unpack = Callable[[int, int, np.ndarray], None]


def exact_depth(largest: int, dtype: type) -> int:
    """How many products of an int8 and a weight up to ``largest`` a float sum holds exactly."""
    return (1 << np.finfo(dtype).nmant + 1) // (LARGEST_ACTIVATION * largest)


def exact_matmul(q: np.ndarray, panel: np.ndarray, largest: int, sums: np.ndarray) -> None:
    """Write ``q`` [N, K] times ``panel`` [M, K] transposed into integer ``sums`` [N, M].

    ``q`` and ``panel`` are float arrays of one dtype that hold integers, at most 128 and
    ``largest`` in magnitude.
    """
    K = q.shape[1]
    depth = exact_depth(largest, q.dtype.type)
    sums[:] = q[:, :depth] @ panel[:, :depth].T
    for start in range(depth, K, depth):
        chunk = slice(start, start + depth)
        sums += (q[:, chunk] @ panel[:, chunk].T).astype(sums.dtype)


def integer_matmul(
    q: np.ndarray, M: int, unpack: Unpack, largest: int, dtype: type, sums: np.ndarray
) -> None:
    """Write the exact [N, M] ``sums`` of int8 ``q`` [N, K] and a weight unpacked panel by panel."""
    K = q.shape[1]
    rows = max(16, PANEL_WEIGHTS // K)
    panel = np.empty((min(rows, M), K), dtype)
    activations = q.astype(dtype)
    for start in range(0, M, rows):
        stop = min(start + rows, M)
        unpack(start, stop, panel[: stop - start])
        exact_matmul(activations, panel[: stop - start], largest, sums[:, start:stop])
