"""Four-bit codes in AVX-512 VNNI: a table turns them into a panel, a block of columns at a time.

The table's integers are made positive by an offset, which plays the part of a zero point. An FP8
activation, an integer of 19 bits, is three signed bytes (balanced digits of base 256): the panel
meets three times as many tokens, and their sums count 1, 256 and 65,536 times.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from typing_extensions import override

from ....numerics import quantize_activation, quantize_activation_fp8
from ....tools.compiled import njit
from ..integer.int4_dot import finish_groups, group_totals, reorder, whole_groups
from ..integer.stored_nibbles import StoredNibbles
from ..ir.int4_layout import BLOCK, BLOCK_COLUMNS
from ..ir.x86.groups import add_group_panel
from ..ir.x86.nibbles import unpack_nibbles
from ..ir.x86.panel import ROWS, STEP, dot_panel
from ..keep_alive import keep_alive
from ..panel import Activations, PanelOutputs, RowGroupKernel, aligned, finish
from ..threads import over_range

__all__ = ["StoredBlocks", "VnniBlocks", "VnniScaledBlocks"]

_BLOCK_STEPS = BLOCK_COLUMNS // 4


class _Weight(NamedTuple):
    """``packed`` uint8 [row groups, bytes]; ``table`` uint8 [16] of integers plus ``offset``.

    ``scale`` int32 [blocks, rows] multiplies a block's sum, or is empty.
    """

    packed: np.ndarray
    table: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


class _Nibbles(RowGroupKernel):
    """Both kernels: ``packed`` uint8 [M, K / 2] in the order in which it is read."""

    def __init__(
        self, packed: np.ndarray, table: np.ndarray, integer_scale: np.ndarray, scale: np.ndarray
    ) -> None:
        M, K = packed.shape[0], 2 * packed.shape[1]
        super().__init__((M, K), K, scale)
        blocks = K // BLOCK_COLUMNS
        ordered = aligned(self._groups * blocks * BLOCK).reshape(self._groups, blocks * BLOCK)
        ordered[:] = 0
        reorder(packed, ordered[:, np.newaxis])
        offset = -int(table.min())
        shifted = aligned(16)
        shifted[:] = table.astype(np.int16) + offset
        offsets = np.full((1, self._groups * ROWS), offset, np.uint8)
        self._weight = _Weight(ordered, shifted, offsets, integer_scale)
        self.nbytes = ordered.nbytes


class VnniBlocks(_Nibbles):
    """Int32 sums [N, blocks, M]; outputs by ``numerics.add_group`` with ``scale`` [blocks, M].

    Nothing is flushed: scales are zero or at least 2^-126, hence so are all products and sums.
    """

    def __init__(self, packed: np.ndarray, table: np.ndarray, scale: np.ndarray) -> None:
        super().__init__(packed, table, np.empty((0, 0), np.int32), whole_groups(scale))

    def _sums_shape(self, N: int) -> tuple[int, ...]:
        return N, len(self._scale), self.shape[0]

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        totals = group_totals(activations.q, self._columns, len(self._scale))
        operands = (self._weight, totals, activations, outputs)
        over_range(_multiply_groups, operands, self._groups, chunks)


class StoredBlocks(StoredNibbles):
    """``VnniBlocks`` from the stored bytes."""

    def __init__(self, packed: np.ndarray, table: np.ndarray, scale: np.ndarray) -> None:
        offset = -int(table.min())
        shifted = (table.astype(np.int16) + offset).astype(np.uint8)
        super().__init__(packed, shifted, np.full((1, len(packed)), offset, np.uint8), scale)


class VnniScaledBlocks(_Nibbles):
    """Int64 sums [N, M] with an int32 scale [blocks, M] in them; ``planes`` bytes an activation.

    ``scale`` float32 [M] makes outputs of them. One plane: int8 activations. Three: those of
    ``numerics.quantize_activation_fp8``.
    """

    sum_type = np.int64

    def __init__(
        self, packed: np.ndarray, table: np.ndarray, integer_scale: np.ndarray, scale: np.ndarray,
        planes: int,
    ) -> None:
        super().__init__(packed, table, whole_groups(integer_scale), scale)
        self._planes = planes

    @override
    def integer(self, q: np.ndarray) -> np.ndarray:
        sums = np.empty((len(q), self.shape[0]), np.int64)
        self._run(q.astype(np.int32), np.empty(0, np.float32), sums, np.empty(0, np.float32))
        return sums

    @override
    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        units, scale = np.empty(x.shape, np.int32), np.empty(len(x), np.float32)
        _quantize(x, self._planes == 1, units, scale)
        y = np.empty((len(x), self.shape[0]), np.float32)
        self._run(units, scale, y, bias)
        return y

    def _run(
        self, units: np.ndarray, scale_x: np.ndarray, out: np.ndarray, bias: np.ndarray
    ) -> None:
        """Fill ``out``: int64 sums, or float32 outputs where ``scale_x`` is given."""
        none_of_them = (0, self.shape[0])
        if out.dtype == np.int64:
            outputs = PanelOutputs(out, np.empty(none_of_them, np.float32), self._scale, bias)
        else:
            outputs = PanelOutputs(np.empty(none_of_them, np.int64), out, self._scale, bias)
        stride = (-(-self._columns // ROWS) | 1) * ROWS
        q = np.zeros((self._planes * len(units), stride), np.int8)
        _split(units, q)
        nothing = np.zeros(len(units), np.int32)
        self._multiply(Activations(q, nothing, scale_x), outputs, self._chunks(len(q)))

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        N = max(len(outputs.sums), len(outputs.y))
        totals = _unit_totals(activations.q, N, self._columns, len(self._weight.scale))
        operands = (self._weight, totals, activations, outputs)
        over_range(_multiply_scaled, operands, self._groups, chunks)


@njit
def _quantize(x: np.ndarray, to_int8: bool, units: np.ndarray, scale: np.ndarray) -> None:
    row = np.empty(x.shape[1], np.int8)
    for n in range(x.shape[0]):
        if to_int8:
            scale[n] = quantize_activation(x[n], row)
            units[n] = row
        else:
            scale[n] = quantize_activation_fp8(x[n], units[n])


@njit
def _split(units: np.ndarray, q: np.ndarray) -> None:
    """Write ``q`` int8 [planes * N, stride]: digit p, of base 256, of token n in row p * N + n."""
    N, K = units.shape
    planes = q.shape[0] // max(N, 1)
    for n in range(N):
        for k in range(K):
            left = units[n, k]
            for plane in range(planes):
                digit = np.int8(left)
                q[plane * N + n, k] = digit
                left = np.int32(np.int32(left - np.int32(digit)) >> 8)


@njit
def _unit_totals(q: np.ndarray, N: int, columns: int, blocks: int) -> np.ndarray:
    """Int32 [N, blocks]: sums, modulo 2^32, of the units that ``_split`` made ``q`` of."""
    digits = group_totals(q, columns, blocks)
    totals = np.zeros((N, blocks), np.int32)
    for row in range(len(digits) - 1, -1, -1):   # the highest digits are in the last rows
        for block in range(blocks):
            higher = np.int32(totals[row % N, block] << 8)
            totals[row % N, block] = np.int32(higher + digits[row, block])
    return totals


@njit
def _block_sums(
    weight: _Weight, row_group: int, block: int, q: np.ndarray, steps: int, panel: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Write int32 ``sums`` [tokens, ROWS] of the offset integers of one block of columns."""
    packed = weight.packed[row_group].ctypes.data + block * (steps // _BLOCK_STEPS) * BLOCK
    unpack_nibbles(packed, weight.table.ctypes.data, panel.ctypes.data, steps // _BLOCK_STEPS)
    sums[:] = 0
    dot_panel(
        panel.ctypes.data, q.ctypes.data + 4 * block * steps, q.shape[1], q.shape[0],
        sums.ctypes.data, steps,
    )


@njit
def _multiply_groups(
    weight: _Weight, q_totals: np.ndarray, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop) of a ``VnniBlocks``."""
    q = activations.q
    N, blocks = q_totals.shape
    steps = weight.packed.shape[1] // BLOCK * _BLOCK_STEPS // blocks
    panel = aligned(steps * STEP)
    sums = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    y = aligned(4 * ROWS * N).view(np.float32).reshape((N, ROWS))
    for row_group in range(start, stop):
        first = row_group * ROWS
        zero = weight.offset[0, first:first + ROWS]
        y[:] = 0
        for block in range(blocks):
            if outputs.sums.shape[0]:
                _block_sums(weight, row_group, block, q, steps, panel, sums)
                out = outputs.sums[:, block, first:first + ROWS]
                for n in range(N):
                    for r in range(out.shape[1]):
                        out[n, r] = sums[n, r] - np.int32(q_totals[n, block] * np.int32(zero[r]))
                continue
            packed = weight.packed[row_group].ctypes.data + block * steps // _BLOCK_STEPS * BLOCK
            unpack_nibbles(
                packed, weight.table.ctypes.data, panel.ctypes.data, steps // _BLOCK_STEPS
            )
            add_group_panel(
                panel.ctypes.data, q.ctypes.data + 4 * block * steps, q.shape[1], steps, N,
                q_totals[:, block:].ctypes.data, blocks,
                weight.offset[0, first:first + ROWS].ctypes.data,
                outputs.scale[block, first:first + ROWS].ctypes.data, y.ctypes.data,
            )
        finish_groups(first, y, activations.scale, outputs.bias, outputs.y)
    keep_alive(panel)
    keep_alive(y)


@njit
def _add_scaled(
    sums: np.ndarray, q_totals: np.ndarray, zero: int, scale: np.ndarray, totals: np.ndarray
) -> None:
    """Add a block, int32 ``sums`` [planes * N, ROWS], to int64 ``totals`` [N, ROWS]."""
    N = totals.shape[0]
    planes = sums.shape[0] // max(N, 1)
    for n in range(N):
        excess = np.int32(q_totals[n] * np.int32(zero))
        for r in range(ROWS):
            total = np.int32(sums[n, r] - excess)
            if planes > 1:
                high = np.int32(sums[N + n, r] + np.int32(sums[2 * N + n, r] << 8))
                total = np.int32(total + np.int32(high << 8))
            totals[n, r] += np.int64(total) * np.int64(scale[r])


@njit
def _multiply_scaled(
    weight: _Weight, q_totals: np.ndarray, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop) of a ``VnniScaledBlocks``."""
    q = activations.q
    N, blocks = q_totals.shape
    steps = weight.packed.shape[1] // BLOCK * _BLOCK_STEPS // blocks
    zero = int(weight.offset[0, 0])
    panel = aligned(steps * STEP)
    sums = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    totals = aligned(8 * ROWS * N).view(np.int64).reshape((N, ROWS))
    for row_group in range(start, stop):
        first = row_group * ROWS
        totals[:] = 0
        for block in range(blocks):
            _block_sums(weight, row_group, block, q, steps, panel, sums)
            scale = weight.scale[block, first:first + ROWS]
            _add_scaled(sums, q_totals[:, block], zero, scale, totals)
        finish(totals, 0, row_group, activations, outputs)
