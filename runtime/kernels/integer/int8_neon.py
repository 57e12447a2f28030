"""INT8 weights by the dot products of ARM CPUs, from the stored bytes."""

from __future__ import annotations

import numpy as np

from ....tools.compiled import njit
from ..ir.arm.int8 import COLUMNS, ROWS_AT_ONCE, dot_rows
from ..ir.row_group import ROWS
from ..panel import Activations, PanelOutputs, aligned, finish
from ..threads import over_range
from .row_major import VECTOR, RowMajorKernel, rows_of

__all__ = ["NeonInt8"]


class NeonInt8(RowMajorKernel):
    """The sums and outputs of an int8 weight."""

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        operands = (self._weight, self._last, activations, outputs)
        over_range(_multiply_groups, operands, self._groups, chunks)


@njit
def _add_rows(rows: np.ndarray, K: int, q: np.ndarray, totals: np.ndarray) -> None:
    """Add to int32 ``totals`` [N, ROWS] from 64 ``rows``, flat."""
    N, stride = q.shape
    vectors = (K + VECTOR - 1) // VECTOR * VECTOR // COLUMNS
    for r in range(0, ROWS, ROWS_AT_ONCE):
        dot_rows(rows.ctypes.data + r * K, K, q.ctypes.data, stride, N,
                 totals.ctypes.data + 4 * r, vectors)


@njit
def _multiply_groups(
    weight: np.ndarray, last: np.ndarray, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    K, N = weight.shape[1], activations.q.shape[0]
    totals = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    for group in range(start, stop):
        totals[:] = 0
        _add_rows(rows_of(group, weight, last), K, activations.q, totals)
        finish(totals, 0, group, activations, outputs)
