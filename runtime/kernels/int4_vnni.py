"""INT4 weights in AVX-512 VNNI: codes become a panel, a group of columns at a time.

A group's sums are exact int32. They are scaled and added to the output in the order of the groups,
by ``numerics.add_group``, 64 rows at a time: in registers, where a group fits a panel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from ...numerics import add, add_group, mul
from .intrinsics_int4 import BLOCK, BLOCK_COLUMNS, add_group_panel, add_groups_token, unpack_int4
from .intrinsics_panel import ROWS, STEP, dot_panel
from .panel import Activations, Outputs, RowGroupKernel, aligned

__all__ = ["VnniInt4"]

_BLOCK_STEPS = BLOCK_COLUMNS // 4
_PANEL_BLOCKS = 64   # 32 KiB
_TOKEN_BLOCKS = 1 << 14   # of a group: the sums of its high nibbles times 16 fit an int32
_FEW_TOKENS = 2           # are faster one by one


class _Groups(NamedTuple):
    """Of ``groups`` of columns: int32 ``q_totals`` [N, groups], the sums of the activations.

    ``zero_point`` uint8 [groups, rows], or [1, rows] for all; rows are whole row groups.
    """

    q_totals: np.ndarray
    zero_point: np.ndarray


class VnniInt4(RowGroupKernel):
    """The sums and outputs of ``packed`` uint8 [M, K / 2] as it is stored.

    ``zero_point`` is uint8 [groups, M], or [1, M] for all groups; ``scale`` float32 [groups, M].
    The sums are [N, groups, M].
    """

    def __init__(self, packed: np.ndarray, zero_point: np.ndarray, scale: np.ndarray) -> None:
        M, K = packed.shape[0], 2 * packed.shape[1]
        blocks = -(-K // BLOCK_COLUMNS)
        super().__init__((M, K), blocks * BLOCK_COLUMNS, _whole_groups(scale))
        self._zero_point = _whole_groups(zero_point)
        self._packed = aligned(self._groups * blocks * BLOCK).reshape(self._groups, blocks * BLOCK)
        self._packed[:] = 0
        _reorder(np.ascontiguousarray(packed), self._packed)
        self.nbytes = self._packed.nbytes

    def _sums_shape(self, N: int) -> tuple[int, ...]:
        return N, len(self._scale), self.shape[0]

    def _multiply(self, activations: Activations, outputs: Outputs, chunks: int) -> None:
        totals = _group_totals(activations.q, self._columns, len(self._scale))
        operands = (self._packed, _Groups(totals, self._zero_point), activations, outputs)
        if chunks > 1:
            _multiply_parallel(*operands, chunks)
        else:
            _multiply_groups(*operands, 0, self._groups)


def _whole_groups(values: np.ndarray) -> np.ndarray:
    """[groups, M] with zeros up to a multiple of ``ROWS``; not copied if there is none missing."""
    missing = -values.shape[1] % ROWS
    return np.pad(values, ((0, 0), (0, missing))) if missing else values


@njit(cache=True)
def _reorder(stored: np.ndarray, packed: np.ndarray) -> None:
    """Fill ``packed`` uint8 [groups, bytes], of zeros, from ``stored`` uint8 [M, K / 2]."""
    for row in range(stored.shape[0]):
        group, place = divmod(row, ROWS)
        target = packed[group]
        for pair in range(stored.shape[1]):
            for nibble in range(2):
                block, column = divmod(2 * pair + nibble, BLOCK_COLUMNS)
                code = (stored[row, pair] >> 4 * nibble) & 15
                target[block * BLOCK + 4 * place + column % 4] |= code << 4 * (column // 4)


@njit(cache=True)
def _group_totals(q: np.ndarray, columns: int, groups: int) -> np.ndarray:
    """Int32 [N, groups]: sums of the activations of each group of columns."""
    totals = np.zeros((q.shape[0], groups), np.int32)
    size = columns // groups
    for n in range(q.shape[0]):
        for group in range(groups):
            total = np.int32(0)
            for k in range(group * size, (group + 1) * size):
                total += np.int32(q[n, k])
            totals[n, group] = total
    return totals


@njit(cache=True)
def _sum_group(
    packed: int, q: int, stride: int, blocks: int, panel: np.ndarray, totals: np.ndarray
) -> None:
    """Write int32 ``totals`` [N, ROWS] of codes times activations, at two addresses."""
    totals[:] = 0
    for first in range(0, blocks, _PANEL_BLOCKS):
        count = min(_PANEL_BLOCKS, blocks - first)
        unpack_int4(packed + first * BLOCK, panel.ctypes.data, count)
        dot_panel(
            panel.ctypes.data, q + first * BLOCK_COLUMNS, stride, totals.shape[0],
            totals.ctypes.data, count * _BLOCK_STEPS,
        )


@njit(cache=True)
def _take_sums(
    totals: np.ndarray, q_totals: np.ndarray, zero_point: np.ndarray, scale: np.ndarray,
    y: np.ndarray, sums: np.ndarray,
) -> None:
    """Make a group's ``totals`` [N, ROWS] exact ``sums`` [N, rows], or if empty add them to y."""
    for n in range(totals.shape[0]):
        for r in range(ROWS):
            totals[n, r] -= np.int32(q_totals[n] * np.int32(zero_point[r]))
        if sums.shape[0]:
            for r in range(sums.shape[1]):
                sums[n, r] = totals[n, r]
        else:
            for r in range(ROWS):
                y[n, r] = add_group(y[n, r], totals[n, r], scale[r])


@njit(cache=True)
def _finish(first: int, y: np.ndarray, activations: Activations, outputs: Outputs) -> None:
    """Write outputs from row ``first`` on: ``y`` [N, ROWS] times the token's scale, plus bias."""
    rows = min(ROWS, outputs.y.shape[1] - first)
    for n in range(outputs.y.shape[0]):
        out = outputs.y[n, first:first + rows]
        for r in range(rows):
            out[r] = mul(y[n, r], activations.scale[n])
        if outputs.bias.shape[0]:
            bias = outputs.bias[first:first + rows]
            for r in range(rows):
                out[r] = add(out[r], bias[r])


@njit(cache=True)
def _add_token(
    packed: np.ndarray, groups: _Groups, q: np.ndarray, q_totals: np.ndarray, scale: np.ndarray,
    first: int, y: np.ndarray,
) -> None:
    """Add all groups of one token to ``y`` [ROWS], for the rows from ``first`` on."""
    zero = groups.zero_point
    column_groups = scale.shape[0]
    blocks = packed.shape[0] // BLOCK // column_groups
    add_groups_token(
        packed.ctypes.data, q.ctypes.data, blocks, column_groups, q_totals.ctypes.data,
        zero[:, first:].ctypes.data, zero.strides[0] if zero.shape[0] > 1 else 0,
        scale[:, first:].ctypes.data, scale.strides[0], y.ctypes.data,
    )


@njit(cache=True)
def _add_tokens(
    packed: np.ndarray, groups: _Groups, q: np.ndarray, outputs: Outputs, first: int,
    panel: np.ndarray, totals: np.ndarray, y: np.ndarray,
) -> None:
    """Add all groups to ``y`` [N, ROWS], for the rows from ``first`` on, or write the sums."""
    N, stride = q.shape
    column_groups = groups.q_totals.shape[1]
    blocks = packed.shape[0] // BLOCK // column_groups
    for group in range(column_groups):
        weights = packed.ctypes.data + group * blocks * BLOCK
        activated = q.ctypes.data + group * blocks * BLOCK_COLUMNS
        zero = groups.zero_point[min(group, len(groups.zero_point) - 1), first:first + ROWS]
        scale = outputs.scale[group, first:first + ROWS]
        if blocks <= _PANEL_BLOCKS and outputs.sums.shape[0] == 0:
            unpack_int4(weights, panel.ctypes.data, blocks)
            add_group_panel(
                panel.ctypes.data, activated, stride, blocks * _BLOCK_STEPS, N,
                groups.q_totals[:, group:].ctypes.data, column_groups,
                zero.ctypes.data, scale.ctypes.data, y.ctypes.data,
            )
        else:
            sums = outputs.sums[:, group, first:first + ROWS]
            _sum_group(weights, activated, stride, blocks, panel, totals)
            _take_sums(totals, groups.q_totals[:, group], zero, scale, y, sums)


@njit(cache=True)
def _multiply_groups(
    packed: np.ndarray, groups: _Groups, activations: Activations, outputs: Outputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    blocks = packed.shape[1] // BLOCK // groups.q_totals.shape[1]
    in_nibbles = 0 < outputs.y.shape[0] <= _FEW_TOKENS and blocks <= _TOKEN_BLOCKS
    panel = aligned(_PANEL_BLOCKS * _BLOCK_STEPS * STEP)
    totals = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    y = aligned(4 * ROWS * q.shape[0]).view(np.float32).reshape((q.shape[0], ROWS))
    for row_group in range(start, stop):
        weights, first = packed[row_group], row_group * ROWS
        y[:] = 0
        if in_nibbles:
            for n in range(q.shape[0]):
                _add_token(weights, groups, q[n], groups.q_totals[n], outputs.scale, first, y[n])
        else:
            _add_tokens(weights, groups, q, outputs, first, panel, totals, y)
        _finish(first, y, activations, outputs)


@njit(cache=True, parallel=True)
def _multiply_parallel(
    packed: np.ndarray, groups: _Groups, activations: Activations, outputs: Outputs, chunks: int
) -> None:
    """``_multiply_groups`` of all groups, in ``chunks`` at the same time."""
    row_groups = packed.shape[0]
    for chunk in prange(chunks):
        start, stop = row_groups * chunk // chunks, row_groups * (chunk + 1) // chunks
        _multiply_groups(packed, groups, activations, outputs, start, stop)
