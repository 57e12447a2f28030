"""INT3, INT2 and grouped ternary weights: the INT4 kernel's way with three and two bits.

At load the codes are split into a plane of their two low bits and, of three, a plane of the high
one, transposed to [bytes, M] so that the inner loops run down the rows. A column costs one product
per plane, with the activation times four for the high bit. The products of 32 columns, at most
7 * 128 each, fit an int16. Where the CPU has dot products ``int4_dot`` takes codes of two bits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....quant.formats import GroupedTernary
from ....quant.formats.base import PackedWeight
from ....quant.formats.bits import pack_bits, unpack_bits
from ....quant.formats.grouped_int import GroupedInt
from ....tools.compiled import njit
from ..choice import chosen_kernel
from ..threads import over_rows
from .int4 import GroupedIntLinear, grouped_format
from .int4_dot import DotInt4

__all__ = ["GroupedTernaryLinear", "NarrowIntLinear", "narrow_sums"]

_STEP = 32       # columns to an int16 sum; divides every group size
_LOW_BITS = 2


class NarrowIntLinear(GroupedIntLinear):
    """y = x W^T with W = (code - zero point) * scale, in groups along K or one per row.

    Sums are int32 per group, exact for every input; ``numerics.add_group`` adds the groups up.
    """

    largest_weight: ClassVar[int] = 7   # |code - zero point|

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        codes = self._codes(weight)
        if chosen_kernel() in ("vnni", "dotprod") and grouped_format(weight).top < 2**_LOW_BITS:
            self._fused = DotInt4(
                pack_bits(np.pad(codes, ((0, 0), (0, -codes.shape[1] % 4))), _LOW_BITS),
                self._zero_point, self._scale, _LOW_BITS)
            self.nbytes = self._fused.nbytes
            del self._scale, self._zero_point   # it has its own
            return
        padding = -codes.shape[1] % _STEP   # only of a row that is one group
        codes = np.pad(codes, ((0, 0), (0, padding)))
        self._columns = codes.shape[1]
        self._low = np.ascontiguousarray(pack_bits(codes & 3, _LOW_BITS).T)
        self._high = np.empty((0, len(codes)), np.uint8)
        if grouped_format(weight).top >= 2**_LOW_BITS:
            self._high = np.ascontiguousarray(pack_bits(codes >> _LOW_BITS, 1).T)
        self.nbytes += self._low.nbytes + self._high.nbytes

    def _codes(self, weight: PackedWeight) -> np.ndarray:
        """uint8 [M, K], from 0."""
        return unpack_bits(weight.tensors["packed"], weight.format_as(GroupedInt).bits)

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, groups, M] of int8 ``q`` [N, K]."""
        operands = (self._low, self._high, self._zero_point)
        return narrow_sums(operands, q, len(self._scale), self._columns)


class GroupedTernaryLinear(NarrowIntLinear):
    """y = x W^T with W = t * scale, in groups along K or one per row: two bits a trit in memory."""

    def _codes(self, weight: PackedWeight) -> np.ndarray:
        return (weight.codes().values + np.int8(GroupedTernary.half)).view(np.uint8)


def narrow_sums(
    operands: tuple[np.ndarray, np.ndarray, np.ndarray], q: np.ndarray, groups: int, columns: int
) -> np.ndarray:
    """Exact int32 sums [N, groups, M] of int8 ``q`` [N, K].

    ``operands`` are the planes of low bits uint8 [columns / 4, M] and of high bits [columns / 8, M]
    or of no bytes, and the zero points [groups, M] or [1, M]; columns are K in whole steps of 32.
    """
    padded = np.zeros((len(q), columns), np.int16)
    padded[:, : q.shape[1]] = q
    M = operands[0].shape[1]
    sums = np.empty((len(q), groups, M), np.int32)
    over_rows(_sum_groups, operands, padded, M, sums)
    return sums


@njit
def _add_plane(
    plane: np.ndarray, width: int, activations: np.ndarray, partial: np.ndarray
) -> None:
    """Add to int16 ``partial`` [rows] the products of a plane of ``width`` bits.

    ``plane`` uint8 [bytes, rows] holds 8 / width columns to a byte, ``activations`` int16 one to a
    column.
    """
    mask = np.uint8((1 << width) - 1)
    per_byte = 8 // width
    for b in range(plane.shape[0]):
        codes = plane[b]
        for i in range(0, per_byte, 2):
            first, second = np.uint8(width * i), np.uint8(width * i + width)
            first_activation = activations[b * per_byte + i]
            second_activation = activations[b * per_byte + i + 1]
            for m in range(partial.shape[0]):
                product = np.int16(np.int16((codes[m] >> first) & mask) * first_activation)
                product += np.int16(np.int16((codes[m] >> second) & mask) * second_activation)
                partial[m] += product


@njit
def _sum_groups(
    low: np.ndarray, high: np.ndarray, zero_point: np.ndarray, q: np.ndarray, sums: np.ndarray,
    start: int, stop: int,
) -> None:
    """Write ``sums[..., start:stop]`` from planes of low and high bits and padded ``q``."""
    groups = sums.shape[1]
    size = q.shape[1] // groups
    partial = np.empty(stop - start, np.int16)
    for n in range(q.shape[0]):
        for group in range(groups):
            totals = sums[n, group, start:stop]
            zero = zero_point[min(group, zero_point.shape[0] - 1), start:stop]
            activations = np.int32(0)
            for k in range(group * size, (group + 1) * size):
                activations += np.int32(q[n, k])
            for m in range(totals.shape[0]):
                totals[m] = np.int32(-np.int32(activations * np.int32(zero[m])))
            for first in range(group * size, (group + 1) * size, _STEP):
                columns = q[n, first : first + _STEP]
                partial[:] = 0
                _add_plane(low[first // 4 : (first + _STEP) // 4, start:stop], 2, columns, partial)
                if high.shape[0]:
                    plane = high[first // 8 : (first + _STEP) // 8, start:stop]
                    _add_plane(plane, 1, (columns * np.int16(4)).astype(np.int16), partial)
                for m in range(totals.shape[0]):
                    totals[m] += np.int32(partial[m])
