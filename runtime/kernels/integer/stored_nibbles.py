"""Four-bit codes in AVX-512 VNNI, from the stored bytes: none are copied for long.

For weights that stay in a mapped file, such as those of experts. 64 rows of a span of columns at a
time become a panel, in the L1 cache, which all tokens are then multiplied with, group by group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from typing_extensions import override

from ....tools.compiled import njit
from ..ir.x86.groups import add_group_panel
from ..ir.x86.nibble_rows import unpack_nibble_rows
from ..ir.x86.panel import ROWS, STEP, dot_panel
from ..panel import Activations, PanelOutputs, aligned
from ..threads import over_range
from .int4_dot import finish_groups, group_totals, whole_groups
from .row_major import VECTOR, RowMajorKernel, rows_of

__all__ = ["StoredInt4", "StoredNibbles"]


class _Weight(NamedTuple):
    """``packed`` uint8 [M, bytes] as it is stored, its ``last`` row group (``RowMajorKernel``).

    ``table`` uint8 [16] gives the integers, too large by ``zero`` uint8 [groups or 1, rows].
    """

    packed: np.ndarray
    last: np.ndarray
    table: np.ndarray
    zero: np.ndarray


class StoredNibbles(RowMajorKernel):
    """A ``FusedKernel`` of ``packed`` uint8 [M, K / 2]: int32 sums [N, groups, M].

    Parameters
    ----------
    packed
        Its memory is shared, but for a few rows.
    table
        Uint8 [16]: by code, the weight's integer plus ``zero``.
    zero
        Uint8 [groups, M], or [1, M] for all groups.
    scale
        Float32 [groups, M]; outputs are by ``numerics.add_group``. Nothing is flushed: scales are
        float16 numbers or zero or at least 2^-126, hence so are all products and sums.
    """

    def __init__(
        self, packed: np.ndarray, table: np.ndarray, zero: np.ndarray, scale: np.ndarray
    ) -> None:
        super().__init__(packed, whole_groups(scale))
        M, row_bytes = packed.shape
        self.shape = (M, 2 * row_bytes)
        self._columns = 2 * VECTOR * -(-row_bytes // VECTOR)
        placed = aligned(16)
        placed[:] = table
        self._operand = _Weight(self._weight, self._last, placed, whole_groups(zero))
        self.nbytes += self._scale.nbytes + self._operand.zero.nbytes

    @override
    def _sums_shape(self, N: int) -> tuple[int, ...]:
        return N, len(self._scale), self.shape[0]

    @override
    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        totals = group_totals(activations.q, self.shape[1], len(self._scale))
        _by_nibbles(activations.q)
        operands = (self._operand, totals, activations, outputs)
        over_range(_multiply_groups, operands, self._groups, chunks)


class StoredInt4(StoredNibbles):
    """A ``StoredNibbles`` of INT4 codes."""

    def __init__(self, packed: np.ndarray, zero_point: np.ndarray, scale: np.ndarray) -> None:
        super().__init__(packed, np.arange(16, dtype=np.uint8), zero_point, scale)


@njit
def _by_nibbles(q: np.ndarray) -> None:
    """Bring the columns of int8 ``q`` [N, a multiple of 8] into the order of ``nibble_rows``."""
    eight = np.empty(8, np.int8)
    for n in range(q.shape[0]):
        for first in range(0, q.shape[1], 8):
            eight[:] = q[n, first:first + 8]
            for pair in range(4):
                q[n, first + pair] = eight[2 * pair]
                q[n, first + 4 + pair] = eight[2 * pair + 1]


@njit
def _unpack(
    rows: np.ndarray, column: int, weight: _Weight, panel: np.ndarray, vectors: int
) -> None:
    """Write ``panel`` from byte ``column`` on of 64 ``rows``, flat; the next 64 are prefetched."""
    stride = weight.packed.shape[1]
    here = rows.ctypes.data + column
    ahead = rows.ctypes.data + ROWS * (stride + column)
    unpack_nibble_rows(here, stride, weight.table.ctypes.data, panel.ctypes.data, vectors, ahead)


@njit
def _sum_group(
    panel: np.ndarray, q: np.ndarray, stride: int, steps: int, q_totals: np.ndarray,
    zero: np.ndarray, sums: np.ndarray, out: np.ndarray,
) -> None:
    """Write the exact sums ``out`` int32 [N, rows] of a group; ``sums`` [N, ROWS] is scratch.

    ``q`` is flat from the group on, its rows ``stride`` bytes apart.
    """
    sums[:] = 0
    N = sums.shape[0]
    dot_panel(panel.ctypes.data, q.ctypes.data, stride, N, sums.ctypes.data, steps)
    for n in range(N):
        for r in range(out.shape[1]):
            out[n, r] = sums[n, r] - np.int32(q_totals[n] * np.int32(zero[r]))


@njit
def _add_group(
    panel: np.ndarray, q: np.ndarray, stride: int, steps: int, q_totals: np.ndarray, groups: int,
    zero: np.ndarray, scale: np.ndarray, y: np.ndarray,
) -> None:
    """Add a group, scaled, to ``y`` float32 [N, ROWS]; ``q`` and ``q_totals`` are flat from it."""
    add_group_panel(
        panel.ctypes.data, q.ctypes.data, stride, steps, y.shape[0], q_totals.ctypes.data, groups,
        zero.ctypes.data, scale.ctypes.data, y.ctypes.data,
    )


@njit
def _multiply_groups(
    weight: _Weight, q_totals: np.ndarray, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    N, groups = q_totals.shape
    steps = (weight.packed.shape[1] // groups + 3) // 4 * 2   # of a group
    in_span = max(1, 2 * VECTOR // (4 * steps))   # groups that are unpacked together
    vectors = (4 * steps * in_span + 2 * VECTOR - 1) // (2 * VECTOR)
    panel = aligned(32 * vectors * STEP)
    sums = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    y = aligned(4 * ROWS * N).view(np.float32).reshape((N, ROWS))
    for row_group in range(start, stop):
        rows = slice(row_group * ROWS, row_group * ROWS + ROWS)
        y[:] = 0
        for group in range(groups):
            inside = group % in_span
            if inside == 0:
                column = group // in_span * vectors * VECTOR
                stored = rows_of(row_group, weight.packed, weight.last)
                _unpack(stored, column, weight, panel, vectors)
            zero = weight.zero[min(group, weight.zero.shape[0] - 1), rows]
            here = panel[inside * steps * STEP:]
            flat = q.reshape(-1)[4 * group * steps:]
            if outputs.sums.shape[0]:
                out = outputs.sums[:, group, rows]
                _sum_group(here, flat, q.shape[1], steps, q_totals[:, group], zero, sums, out)
            else:
                totals = q_totals.reshape(-1)[group:]
                _add_group(here, flat, q.shape[1], steps, totals, groups, zero,
                           outputs.scale[group, rows], y)
        if outputs.y.shape[0]:
            finish_groups(row_group * ROWS, y, activations.scale, outputs.bias, outputs.y)
