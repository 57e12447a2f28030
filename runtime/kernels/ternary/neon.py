"""Ternary weights by the dot products of ARM CPUs, at two bits in memory, from either packing.

``ir.arm.ternary`` has the layout and the arithmetic.
"""

from __future__ import annotations

import numpy as np

from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..ir.arm.ternary import BLOCK_COLUMNS, add_products
from ..ir.arm.vectors import QUADS
from ..ir.row_group import ROWS, STEP
from ..ir.x86.ternary_forms import TwoBit
from ..keep_alive import keep_alive
from ..panel import Activations, PanelOutputs, RowGroupKernel, aligned, finish
from ..threads import over_range
from .digits import row_groups

__all__ = ["NeonTernary"]


class NeonTernary(RowGroupKernel):
    """The sums and outputs of a ternary weight."""

    def __init__(self, weight: PackedWeight, scale: np.ndarray) -> None:
        blocks = -(-weight.shape[1] // BLOCK_COLUMNS)
        super().__init__(weight.shape, BLOCK_COLUMNS * blocks, scale)
        self._packed = row_groups(weight, TwoBit)
        for group in self._packed:   # [blocks, subgroups, bytes] -> [subgroups, blocks, bytes]
            parts = group.reshape(blocks, QUADS, STEP // QUADS)
            group[:] = parts.transpose(1, 0, 2).reshape(-1)
        self.nbytes = self._packed.nbytes

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        over_range(_multiply_groups, (self._packed, activations, outputs), self._groups, chunks)


@njit
def _multiply_groups(
    packed: np.ndarray, activations: Activations, outputs: PanelOutputs, start: int, stop: int
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    totals = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    for group in range(start, stop):
        totals[:] = 0
        add_products(
            packed[group].ctypes.data, q.ctypes.data, q.shape[1], q.shape[0],
            totals.ctypes.data, packed.shape[1] // STEP,
        )
        finish(totals, 1, group, activations, outputs)
    keep_alive(totals)
