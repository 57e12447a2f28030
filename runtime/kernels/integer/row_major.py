"""What the kernels share that read a weight of one byte to a code as it is stored, row by row."""

from __future__ import annotations

import numpy as np

from ....tools.compiled import njit
from ..ir.x86.panel import ROWS
from ..panel import RowGroupKernel

__all__ = ["VECTOR", "RowMajorKernel", "rows_of"]

VECTOR = 64   # columns that are read at once


class RowMajorKernel(RowGroupKernel):
    """A ``FusedKernel`` of bytes ``weight`` [M, K], whose memory it shares but for a few rows.

    Rows are read in whole vectors, beyond column K: activations are zero there.
    """

    def __init__(self, weight: np.ndarray, scale: np.ndarray) -> None:
        M, K = weight.shape
        super().__init__((M, K), -(-K // VECTOR) * VECTOR, scale)
        self._weight = self._with_room(weight)
        self._last = self._last_group()
        copied = 0 if np.shares_memory(self._last, self._weight) else self._last.nbytes
        self.nbytes = weight.nbytes + copied

    def _with_room(self, weight: np.ndarray) -> np.ndarray:
        """The weight; copied where the last group is too small to be read into by the one before.

        That is so for less than 32 columns.
        """
        M, K = weight.shape
        room = self._columns - K
        if self._groups == 1 or (M - (self._groups - 1) * ROWS) * K >= room:
            return weight
        memory = np.zeros(M * K + room, weight.dtype)
        memory[:M * K] = weight.reshape(-1)
        return memory[:M * K].reshape(M, K)

    def _last_group(self) -> np.ndarray:
        """The last rows, flat; copied where reading 64 whole rows would leave the weight."""
        M, K = self.shape
        rows = self._weight[(self._groups - 1) * ROWS:].reshape(-1)
        if self._columns == K and M % ROWS == 0:
            return rows
        copied = np.zeros((ROWS - 1) * K + self._columns, rows.dtype)
        copied[: len(rows)] = rows
        return copied


@njit
def rows_of(group: int, weight: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Flat, from the 64 rows of a group on: of ``weight`` [M, K], or, of the last one, ``last``."""
    M, K = weight.shape
    whole = (group + 1) * ROWS < M
    return weight.reshape(-1)[group * ROWS * K:] if whole else last
