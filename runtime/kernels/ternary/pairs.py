"""Ternary weights by multiplication in AVX2 or AVX-512, for CPUs without VNNI; at two bits.

``ir.x86.pairs`` has the arithmetic, ``ternary_forms`` the layout.
"""

from __future__ import annotations

import numpy as np

from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..ir.x86.pairs import BLOCK_COLUMNS, add_products
from ..ir.x86.panel import ROWS, STEP
from ..ir.x86.ternary_forms import TwoBit
from ..keep_alive import keep_alive
from ..panel import Activations, PanelOutputs, RowGroupKernel, aligned, finish
from ..threads import over_range
from .digits import row_groups

__all__ = ["PairsTernary"]


class PairsTernary(RowGroupKernel):
    """The sums and outputs of a ternary weight; 64 rows are ``vectors`` vectors, 4 or 8."""

    def __init__(self, weight: PackedWeight, scale: np.ndarray, vectors: int) -> None:
        blocks = -(-weight.shape[1] // BLOCK_COLUMNS)
        super().__init__(weight.shape, BLOCK_COLUMNS * blocks, scale)
        self._vectors = (0,) * vectors
        self._packed = row_groups(weight, TwoBit)
        self.nbytes = self._packed.nbytes

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        operands = (self._packed, activations, outputs, self._vectors)
        over_range(_multiply_groups, operands, self._groups, chunks)


@njit
def _multiply_groups(
    packed: np.ndarray, activations: Activations, outputs: PanelOutputs, vectors: tuple,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    totals = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    for group in range(start, stop):
        totals[:] = 0
        add_products(
            packed[group].ctypes.data, q.ctypes.data, q.shape[1], q.shape[0],
            totals.ctypes.data, packed.shape[1] // STEP, vectors,
        )
        finish(totals, 1, group, activations, outputs)
    keep_alive(totals)
