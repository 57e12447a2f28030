"""FP8 weights in AVX-512 VNNI and VBMI, from the stored codes: none are copied for long.

A few tokens read the rows one after the other, as a single stream. For more, 64 rows of some
columns at a time become two panels of bytes, which all tokens are then multiplied with, and a few
vectors of what the panels leave out.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from ....tools.compiled import njit
from ..integer.row_major import VECTOR, RowMajorKernel, rows_of
from ..ir.x86.fp8 import LARGEST_TILE, PLANES, SHIFTS, dot_row_fp8
from ..ir.x86.fp8_panel import dot_kept, unpack_fp8
from ..ir.x86.panel import ROWS, STEP, VECTORS, dot_panel
from ..panel import Activations, PanelOutputs, aligned, finish
from ..threads import over_range

__all__ = ["VnniFp8"]

_OFFSET = 1 << 18           # of a weight's integer, to make it positive
_PANEL_VECTORS = 12         # 96 KiB in two panels, in the L2 cache
_STEPS = _PANEL_VECTORS * VECTOR // 4
_SEGMENT_PANELS = 85        # until a panel's sums, up to 255 * 128 * K, go to int64
_SEGMENT_VECTORS = 1 << 14  # of a row, whose sums lie in 16 lanes


class VnniFp8(RowMajorKernel):
    """The sums and outputs of FP8 codes uint8 [M, K]; ``units`` int32 [256] are their integers."""

    sum_type: ClassVar[type] = np.int64

    def __init__(self, codes: np.ndarray, units: np.ndarray, scale: np.ndarray) -> None:
        super().__init__(codes, scale)
        self._tables = (_bytes_of(np.abs(units[:128])), _bytes_of(units + np.int32(_OFFSET)))

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        operands = (self._weight, self._last, *self._tables, activations, outputs)
        over_range(_multiply_groups, operands, self._groups, chunks)


def _bytes_of(units: np.ndarray) -> np.ndarray:
    """Uint8 [PLANES, codes]: low and high byte of ``units`` // 8, and the remainder."""
    table = aligned(PLANES * len(units)).reshape(PLANES, len(units))
    table[:] = [units >> 3 & 255, units >> 11, units & 7]
    return table


class _Scratch(NamedTuple):
    """What ``unpack_fp8`` writes, and the sums of the planes that it makes, int32 [.., N, ROWS]."""

    panels: np.ndarray
    kept: np.ndarray
    steps: np.ndarray
    counts: np.ndarray
    planes: np.ndarray


@njit
def _scratch(N: int) -> _Scratch:
    planes = aligned(4 * PLANES * N * ROWS).view(np.int32).reshape((PLANES, N, ROWS))
    planes[:] = 0
    return _Scratch(
        aligned(2 * _STEPS * STEP),
        aligned(VECTORS * _STEPS * 64).reshape((VECTORS, _STEPS, 64)),
        np.empty((VECTORS, _STEPS), np.int64),
        np.empty(VECTORS, np.int64),
        planes,
    )


@njit
def _add_rows(
    rows: np.ndarray, K: int, table: np.ndarray, q: np.ndarray, totals: np.ndarray
) -> None:
    """Add to int64 ``totals`` [N, ROWS] from 64 ``rows``, flat, in order."""
    N, stride = q.shape
    vectors = (K + VECTOR - 1) // VECTOR
    for r in range(ROWS):
        for first in range(0, vectors, _SEGMENT_VECTORS):
            count = min(_SEGMENT_VECTORS, vectors - first)
            dot_row_fp8(
                rows.ctypes.data + r * K + first * VECTOR, table.ctypes.data,
                q.ctypes.data + first * VECTOR, stride, N, totals.ctypes.data + 8 * r, count,
            )


@njit
def _add_planes(planes: np.ndarray, totals: np.ndarray) -> None:
    """Add int32 ``planes`` [PLANES, N, ROWS] to int64 ``totals`` [N, ROWS], and clear them."""
    for plane in range(PLANES):
        shift = np.int64(SHIFTS[plane])
        for n in range(totals.shape[0]):
            for r in range(ROWS):
                totals[n, r] += np.int64(planes[plane, n, r]) << shift
    planes[:] = 0


@njit
def _dot_panels(scratch: _Scratch, q: int, stride: int, steps: int, ahead: int) -> None:
    """Add to the planes' sums from what ``unpack_fp8`` wrote; ``q`` and ``ahead`` are addresses."""
    planes = scratch.planes
    N = planes.shape[1]
    for plane in range(2):
        panel = scratch.panels.ctypes.data + plane * _STEPS * STEP
        dot_panel(panel, q, stride, N, planes[plane].ctypes.data, steps, ahead)
        ahead = 0
    for group in range(VECTORS):
        if scratch.counts[group]:
            dot_kept(
                scratch.kept[group].ctypes.data, scratch.steps[group].ctypes.data,
                scratch.counts[group], q, stride, N, planes[2].ctypes.data + 64 * group,
            )


@njit
def _add_panels(
    rows: np.ndarray, K: int, table: np.ndarray, q: np.ndarray, scratch: _Scratch,
    totals: np.ndarray,
) -> None:
    """Add to int64 ``totals`` [N, ROWS], by panels, ``_OFFSET`` times the activations too much.

    Meanwhile the next 64 rows are prefetched, in order.
    """
    vectors = (K + VECTOR - 1) // VECTOR
    ahead = rows.ctypes.data + ROWS * K
    for first in range(0, vectors, _PANEL_VECTORS):
        count = min(_PANEL_VECTORS, vectors - first)
        column = first * VECTOR
        unpack_fp8(
            rows.ctypes.data + column, K, table.ctypes.data, scratch.panels.ctypes.data,
            scratch.kept.ctypes.data, scratch.steps.ctypes.data, scratch.counts.ctypes.data,
            _STEPS, count,
        )
        activations = q.ctypes.data + column
        _dot_panels(scratch, activations, q.shape[1], count * VECTOR // 4, ahead + ROWS * column)
        if first + count == vectors or (first // _PANEL_VECTORS + 1) % _SEGMENT_PANELS == 0:
            _add_planes(scratch.planes, totals)


@njit
def _multiply_groups(
    weight: np.ndarray, last: np.ndarray, magnitudes: np.ndarray, shifted: np.ndarray,
    activations: Activations, outputs: PanelOutputs, start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    K, N = weight.shape[1], q.shape[0]
    few = 0 < N <= LARGEST_TILE and q.min() > -128   # -128 has no negative
    scratch = _scratch(0 if few else N)
    totals = aligned(8 * N * ROWS).view(np.int64).reshape((N, ROWS))
    for group in range(start, stop):
        totals[:] = 0
        rows = rows_of(group, weight, last)
        if few:
            _add_rows(rows, K, magnitudes, q, totals)
        else:
            _add_panels(rows, K, shifted, q, scratch, totals)
        finish(totals, 0 if few else _OFFSET, group, activations, outputs)
