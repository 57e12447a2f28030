"""INT8 weights in AVX-512 VNNI, from the stored bytes: nothing is repacked or copied.

Four rows meet up to five tokens at a time, whose sums stay in registers. For 64 rows, a tile of
tokens stays in the L1 cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .intrinsics_int8 import LARGEST_TILE, ROW_TILE, dot_rows
from .intrinsics_panel import ROWS
from .panel import Activations, Outputs, RowGroupKernel, aligned, finish

__all__ = ["VnniInt8"]

_OFFSET = 128   # of a weight, to make it unsigned
_VECTOR = 64    # columns


class VnniInt8(RowGroupKernel):
    """The sums and outputs of int8 ``weight`` [M, K]."""

    def __init__(self, weight: np.ndarray, scale: np.ndarray) -> None:
        M, K = weight.shape
        super().__init__((M, K), -(-K // _VECTOR) * _VECTOR, scale)
        self._weight = weight
        self._last = self._last_group()
        copied = 0 if np.shares_memory(self._last, weight) else self._last.nbytes
        self.nbytes = weight.nbytes + copied

    def _last_group(self) -> np.ndarray:
        """The last rows, flat; copied where reading 64 whole rows would leave the weight."""
        M, K = self.shape
        rows = self._weight[(self._groups - 1) * ROWS:].reshape(-1)
        if self._columns == K and M % ROWS == 0:
            return rows
        copied = np.zeros((ROWS - 1) * K + self._columns, np.int8)
        copied[: len(rows)] = rows
        return copied

    def _multiply(self, activations: Activations, outputs: Outputs, chunks: int) -> None:
        operands = (self._weight, self._last, activations, outputs)
        if chunks > 1:
            _multiply_parallel(*operands, chunks)
        else:
            _multiply_groups(*operands, 0, self._groups)


@njit(cache=True)
def _add_rows(rows: int, K: int, q: np.ndarray, totals: np.ndarray) -> None:
    """Add to int32 ``totals`` [N, ROWS] from the 64 rows at the address ``rows``."""
    N, stride = q.shape
    vectors = (K + _VECTOR - 1) // _VECTOR
    tiles = (N + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = N * tile // tiles
        tokens = N * (tile + 1) // tiles - first
        activations = q.ctypes.data + first * stride
        sums = totals.ctypes.data + 4 * ROWS * first
        for r in range(0, ROWS, ROW_TILE):
            dot_rows(rows + r * K, K, activations, stride, tokens, sums + 4 * r, vectors)


@njit(cache=True)
def _multiply_groups(
    weight: np.ndarray, last: np.ndarray, activations: Activations, outputs: Outputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    M, K = weight.shape
    N = activations.q.shape[0]
    totals = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    for group in range(start, stop):
        totals[:] = 0
        whole = (group + 1) * ROWS < M
        rows = weight.ctypes.data + group * ROWS * K if whole else last.ctypes.data
        _add_rows(rows, K, activations.q, totals)
        finish(totals, _OFFSET, group, activations, outputs)


@njit(cache=True, parallel=True)
def _multiply_parallel(
    weight: np.ndarray, last: np.ndarray, activations: Activations, outputs: Outputs, chunks: int
) -> None:
    """``_multiply_groups`` of all groups, in ``chunks`` at the same time."""
    groups = (weight.shape[0] + ROWS - 1) // ROWS
    for chunk in prange(chunks):
        start, stop = groups * chunk // chunks, groups * (chunk + 1) // chunks
        _multiply_groups(weight, last, activations, outputs, start, stop)
