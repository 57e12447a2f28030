"""FP8 weights in AVX-512 VNNI and VBMI: integers of 19 bits, as three panels of bytes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit, prange

from .intrinsics_fp8 import PLANES, unpack_fp8
from .intrinsics_panel import ROWS, STEP, dot_panel
from .panel import Activations, Outputs, RowGroupKernel, aligned, finish

__all__ = ["VnniFp8"]

_OFFSET = 1 << 18         # of a weight's integer, to make it positive
_PANEL_STEPS = 40         # 30 KiB in three planes
_SEGMENT = 400            # panels until a plane's sums, up to 255 * 128 * K, go to int64


class VnniFp8(RowGroupKernel):
    """The sums and outputs of FP8 ``codes`` uint8 [M, K]; ``units`` int32 [256] are their integers.

    The codes are copied, in the order in which they are read.
    """

    sum_type: ClassVar[type] = np.int64

    def __init__(self, codes: np.ndarray, units: np.ndarray, scale: np.ndarray) -> None:
        M, K = codes.shape
        steps = -(-K // 4)
        super().__init__((M, K), 4 * steps, scale)
        self._packed = aligned(self._groups * steps * STEP).reshape(self._groups, steps * STEP)
        self._packed[:] = 0
        _reorder(codes, self._packed)
        shifted = (units + np.int32(_OFFSET)).astype("<u4")
        self._tables = aligned(PLANES * 256).reshape(PLANES, 256)
        self._tables[:] = shifted.view(np.uint8).reshape(256, 4)[:, :PLANES].T
        self.nbytes = self._packed.nbytes

    def _multiply(self, activations: Activations, outputs: Outputs, chunks: int) -> None:
        operands = (self._packed, self._tables, activations, outputs)
        if chunks > 1:
            _multiply_parallel(*operands, chunks)
        else:
            _multiply_groups(*operands, 0, self._groups)


@njit(cache=True)
def _reorder(codes: np.ndarray, packed: np.ndarray) -> None:
    """Write ``packed`` uint8 [groups, steps * STEP], of zeros, from ``codes`` uint8 [M, K]."""
    for row in range(codes.shape[0]):
        group, place = divmod(row, ROWS)
        target = packed[group]
        for k in range(codes.shape[1]):
            target[k // 4 * STEP + 4 * place + k % 4] = codes[row, k]


@njit(cache=True)
def _add_planes(planes: np.ndarray, totals: np.ndarray) -> None:
    """Add int32 ``planes`` [PLANES, N, ROWS] to int64 ``totals`` [N, ROWS], and clear them."""
    for plane in range(PLANES):
        for n in range(totals.shape[0]):
            for r in range(ROWS):
                totals[n, r] += np.int64(planes[plane, n, r]) << np.int64(8 * plane)
    planes[:] = 0


@njit(cache=True)
def _multiply_groups(
    packed: np.ndarray, tables: np.ndarray, activations: Activations, outputs: Outputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    N, stride = q.shape
    steps = packed.shape[1] // STEP
    plane = _PANEL_STEPS * STEP
    panel = aligned(PLANES * plane)
    planes = aligned(4 * PLANES * N * ROWS).view(np.int32).reshape((PLANES, N, ROWS))
    totals = aligned(8 * N * ROWS).view(np.int64).reshape((N, ROWS))
    planes[:] = 0
    for group in range(start, stop):
        totals[:] = 0
        for first in range(0, steps, _PANEL_STEPS):
            count = min(_PANEL_STEPS, steps - first)
            weights = packed[group].ctypes.data + first * STEP
            unpack_fp8(weights, tables.ctypes.data, panel.ctypes.data, plane, count)
            for p in range(PLANES):
                dot_panel(
                    panel.ctypes.data + p * plane, q.ctypes.data + 4 * first, stride, N,
                    planes[p].ctypes.data, count,
                )
            if first + count == steps or (first // _PANEL_STEPS + 1) % _SEGMENT == 0:
                _add_planes(planes, totals)
        finish(totals, _OFFSET, group, activations, outputs)


@njit(cache=True, parallel=True)
def _multiply_parallel(
    packed: np.ndarray, tables: np.ndarray, activations: Activations, outputs: Outputs, chunks: int
) -> None:
    """``_multiply_groups`` of all groups, in ``chunks`` at the same time."""
    groups = packed.shape[0]
    for chunk in prange(chunks):
        start, stop = groups * chunk // chunks, groups * (chunk + 1) // chunks
        _multiply_groups(packed, tables, activations, outputs, start, stop)
