"""Ternary weights by exact table lookup in AVX2 or AVX-512, for CPUs without VNNI; at two bits.

Tables of all sums of two activations are built for every token, K / 2 of them; a lookup of 64 rows
then adds two columns of them. ``ir.x86.shuffle`` has the layout.
"""

from __future__ import annotations

import numpy as np

from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..ir.x86.panel import ROWS
from ..ir.x86.shuffle import QUADS_PER_CHUNK, TABLES, look_up
from ..keep_alive import keep_alive
from ..panel import Activations, PanelOutputs, RowGroupKernel, aligned, finish
from ..threads import over_range
from .digits import row_digits

__all__ = ["ShuffleTernary", "build_pair_tables"]

# Of entry d0 + 4 * d1, what the two activations count; entries with a digit 3 are never read.
_FIRST = np.array([entry % 4 - 1 for entry in range(16)], np.int16)
_SECOND = np.array([entry // 4 - 1 for entry in range(16)], np.int16)


class ShuffleTernary(RowGroupKernel):
    """The sums and outputs of a ternary weight; 64 rows are ``vectors`` vectors, 1 or 2."""

    def __init__(self, weight: PackedWeight, scale: np.ndarray, vectors: int) -> None:
        quads = -(-weight.shape[1] // 4)
        super().__init__(weight.shape, 4 * quads, scale)
        self._vectors = (0,) * vectors
        self._packed = aligned(self._groups * quads * ROWS).reshape(self._groups, quads * ROWS)
        for first, digits in row_digits(weight, self._columns):
            _encode(digits, self._packed[first // ROWS:])
        self.nbytes = self._packed.nbytes

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        tables = aligned(len(activations.q) * self._columns // 4 * TABLES)
        tables = tables.reshape(len(activations.q), -1) if tables.size else tables.reshape(0, 0)
        build_pair_tables(activations.q, tables)
        operands = (self._packed, tables, activations, outputs, self._vectors)
        over_range(_multiply_groups, operands, self._groups, chunks)


@njit
def _encode(digits: np.ndarray, packed: np.ndarray) -> None:
    """Write ``packed`` uint8 [groups, quads * ROWS] from ``digits`` uint8 [groups * ROWS, K]."""
    for row in range(digits.shape[0]):
        group, place = divmod(row, ROWS)
        for quad in range(digits.shape[1] // 4):
            byte = np.uint8(0)
            for column in range(4):
                byte |= digits[row, 4 * quad + column] << 2 * column
            packed[group, quad * ROWS + place] = byte


@njit
def build_pair_tables(q: np.ndarray, tables: np.ndarray) -> None:
    """Write uint8 ``tables`` [N, quads * TABLES] of the sums that two activations can have."""
    for n in range(tables.shape[0]):
        for pair in range(tables.shape[1] * 2 // TABLES):
            a0, a1 = np.int16(q[n, 2 * pair]), np.int16(q[n, 2 * pair + 1])
            table = tables[n, 32 * pair:32 * pair + 32]
            for entry in range(16):
                total = np.int16(np.int16(_FIRST[entry] * a0) + np.int16(_SECOND[entry] * a1))
                table[entry] = np.uint8(total & np.int16(255))
                table[entry + 16] = np.uint8(np.int16(total >> 8) & np.int16(255))


@njit
def _multiply_groups(
    packed: np.ndarray, tables: np.ndarray, activations: Activations, outputs: PanelOutputs,
    vectors: tuple, start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    N, quads = tables.shape[0], packed.shape[1] // ROWS
    totals = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    for group in range(start, stop):
        totals[:] = 0
        for first in range(0, quads, QUADS_PER_CHUNK):
            count = min(QUADS_PER_CHUNK, quads - first)
            weights = packed[group].ctypes.data + first * ROWS
            for n in range(N):
                entries = tables[n].ctypes.data + first * TABLES
                look_up(weights, entries, totals[n].ctypes.data, count, vectors)
        finish(totals, 0, group, activations, outputs)
    keep_alive(totals)
