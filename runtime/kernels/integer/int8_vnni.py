"""INT8 weights in AVX-512 VNNI, from the stored bytes: none are copied for long.

A few tokens read the rows in order, or four at once that are far apart. For more, 64 rows of some
columns at a time are transposed into a panel, which all tokens are then multiplied with.
"""

from __future__ import annotations

import numpy as np

from ....tools.compiled import njit
from ..ir.x86.int8 import LARGEST_TILE, STREAMS, dot_rows, unpack_int8
from ..ir.x86.panel import ROWS, dot_panel
from ..panel import Activations, PanelOutputs, aligned, finish
from ..threads import over_range
from .row_major import VECTOR, RowMajorKernel, rows_of

__all__ = ["VnniInt8"]

_OFFSET = 128         # of a weight, to make it unsigned
_PANEL_VECTORS = 24   # of 64 rows: 96 KiB, in the L2 cache


class VnniInt8(RowMajorKernel):
    """The sums and outputs of an int8 weight."""

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        operands = (self._weight, self._last, activations, outputs)
        over_range(_multiply_groups, operands, self._groups, chunks)


@njit
def _add_rows(rows: np.ndarray, K: int, q: np.ndarray, totals: np.ndarray) -> None:
    """Add to int32 ``totals`` [N, ROWS] from 64 ``rows``, flat."""
    N, stride = q.shape
    vectors = (K + VECTOR - 1) // VECTOR
    for r in range(ROWS // STREAMS[N]):
        sums = totals.ctypes.data + 4 * r
        dot_rows(rows.ctypes.data + r * K, K, q.ctypes.data, stride, N, sums, vectors)


@njit
def _add_panels(
    rows: np.ndarray, K: int, q: np.ndarray, panel: np.ndarray, totals: np.ndarray
) -> None:
    """``_add_rows`` by way of panels; meanwhile the next 64 rows are prefetched, in order."""
    N, stride = q.shape
    vectors = (K + VECTOR - 1) // VECTOR
    ahead = rows.ctypes.data + ROWS * K
    for first in range(0, vectors, _PANEL_VECTORS):
        count = min(_PANEL_VECTORS, vectors - first)
        column = first * VECTOR
        unpack_int8(rows.ctypes.data + column, K, panel.ctypes.data, count)
        dot_panel(
            panel.ctypes.data, q.ctypes.data + column, stride, N, totals.ctypes.data,
            count * VECTOR // 4, ahead + ROWS * column,
        )


@njit
def _multiply_groups(
    weight: np.ndarray, last: np.ndarray, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    K, N = weight.shape[1], activations.q.shape[0]
    totals = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    panel = aligned(_PANEL_VECTORS * VECTOR * ROWS)
    for group in range(start, stop):
        totals[:] = 0
        rows = rows_of(group, weight, last)
        if 0 < N <= LARGEST_TILE:
            _add_rows(rows, K, activations.q, totals)
        else:
            _add_panels(rows, K, activations.q, panel, totals)
        finish(totals, _OFFSET, group, activations, outputs)
