"""INT4 weights: four-bit codes, a scale (and perhaps a zero point) per group of a row.

The packed bytes are transposed at load to [K / 2, M], so that the inner loops run down the rows:
every lane of a vector is another output, and no lane is ever added to its neighbour. Sixteen
products of a code (0..15) and an int8 stay below 2^15, so they are added as int16, then as int32.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....errors import FormatError
from ....numerics import add, add_group, mul
from ....quant.formats.base import PackedWeight
from ....quant.formats.grouped_int import GroupedInt
from ....quant.formats.grouped_ternary import GroupedTernary
from ....tools.compiled import njit
from ..base import FusedKernel, IntegerLinear
from ..choice import chosen_kernel
from ..threads import over_rows
from .int4_dot import DotInt4
from .stored_nibbles import StoredInt4

__all__ = [
    "GroupedIntLinear", "Int4Linear", "StoredInt4Linear", "grouped_format", "scale_groups",
]

_STEP = 8   # bytes of a column, hence 16 products, to an int16 sum


class GroupedIntLinear(IntegerLinear):
    """What the linears of INT4, INT3 and INT2 share: scales, zero points, the sum over groups."""

    tokens_at_once: ClassVar[int] = 8   # a sum per group takes memory

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        self._zero_point = _zero_points(weight)
        self.nbytes = self._scale.nbytes + self._zero_point.nbytes

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """float32 [groups, M]."""
        return np.ascontiguousarray(stored.T, np.float32)

    def _scale_sums(self, sums: np.ndarray, scale_x: np.ndarray, out: np.ndarray) -> None:
        scale_groups(sums, scale_x, self._scale, self._bias_or_empty, out)


class Int4Linear(GroupedIntLinear):
    """y = x W^T with W = (code - zero point) * scale, in groups along K or one per row.

    Sums are int32 per group, exact for every input; ``numerics.add_group`` adds the groups up.
    """

    largest_weight: ClassVar[int] = 15   # |code - zero point|

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        packed = weight.tensors["packed"]
        if chosen_kernel() in ("vnni", "dotprod"):
            self._fused = self._dot_kernel(packed)
            self.nbytes = self._fused.nbytes
            del self._scale, self._zero_point   # it has its own
            return
        padding = -packed.shape[1] % _STEP   # only of a row that is one group
        self._packed = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, padding))).T)
        self.nbytes += self._packed.nbytes

    def _dot_kernel(self, packed: np.ndarray) -> FusedKernel:
        """What CPUs with dot products of bytes multiply with."""
        return DotInt4(packed, self._zero_point, self._scale)

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, groups, M] of int8 ``q`` [N, K]."""
        pairs = np.zeros((2, len(q), len(self._packed)), np.int8)   # low nibbles', high nibbles'
        pairs[0, :, : self.shape[1] // 2] = q[:, 0::2]
        pairs[1, :, : self.shape[1] // 2] = q[:, 1::2]
        sums = np.empty((len(q), *self._scale.shape), np.int32)
        operands = (self._packed, self._zero_point, pairs)
        over_rows(_sum_groups, operands, q, self.shape[0], sums)
        return sums


class StoredInt4Linear(Int4Linear):
    """The same of a weight that stays where it is stored, on CPUs that can use it there."""

    def _dot_kernel(self, packed: np.ndarray) -> FusedKernel:
        if chosen_kernel() != "vnni":
            return super()._dot_kernel(packed)
        return StoredInt4(packed, self._zero_point, self._scale)


def grouped_format(weight: PackedWeight) -> GroupedInt | GroupedTernary:
    """The format, whose codes are integers; raise ``FormatError`` if it is another."""
    if isinstance(weight.format, GroupedTernary):
        return weight.format
    return weight.format_as(GroupedInt)


def _zero_points(weight: PackedWeight) -> np.ndarray:
    """uint8 [groups, M]; [1, M] where all groups have the same."""
    form = grouped_format(weight)
    stored = weight.tensors.get("zero_point")
    if stored is None:
        return np.full((1, weight.shape[0]), form.half, np.uint8)
    if stored.max() > form.top:
        raise FormatError(f"An {form.name} zero point is {stored.max()}; it may be 0 to {form.top}")
    return np.ascontiguousarray(stored.T)


@njit
def _sum_group(
    packed: np.ndarray,
    zero_point: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    partial: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Write int32 ``sums`` [rows] of one group of one token.

    ``packed`` [bytes, rows] and ``zero_point`` [rows] are the group's, ``low`` and ``high`` int8
    [bytes] its activations; ``partial`` int16 [rows] is room to work in.
    """
    activations = np.int32(0)
    for b in range(low.shape[0]):
        activations += np.int32(np.int32(low[b]) + np.int32(high[b]))
    for m in range(sums.shape[0]):
        sums[m] = np.int32(-np.int32(activations * np.int32(zero_point[m])))
    for first in range(0, low.shape[0], _STEP):
        partial[:] = 0
        for b in range(first, first + _STEP):
            low_activation, high_activation = np.int16(low[b]), np.int16(high[b])
            codes = packed[b]
            for m in range(partial.shape[0]):
                product = np.int16(np.int16(codes[m] & 15) * low_activation)
                product += np.int16(np.int16(codes[m] >> 4) * high_activation)
                partial[m] += product
        for m in range(sums.shape[0]):
            sums[m] += np.int32(partial[m])


@njit
def _sum_groups(
    packed: np.ndarray, zero_point: np.ndarray, pairs: np.ndarray, q: np.ndarray,
    sums: np.ndarray, start: int, stop: int,
) -> None:
    """Write ``sums[..., start:stop]`` from the low and high nibbles' activations in ``pairs``."""
    groups = sums.shape[1]
    size = packed.shape[0] // groups
    partial = np.empty(stop - start, np.int16)
    for n in range(q.shape[0]):
        for group in range(groups):
            k = slice(group * size, (group + 1) * size)
            zero = zero_point[min(group, zero_point.shape[0] - 1), start:stop]
            _sum_group(
                packed[k, start:stop],
                zero,
                pairs[0, n, k],
                pairs[1, n, k],
                partial,
                sums[n, group, start:stop],
            )


@njit
def scale_groups(
    sums: np.ndarray, scale_x: np.ndarray, scale_w: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """Write float32 ``out`` [N, M] from ``sums`` [N, groups, M]; an empty ``bias`` is none."""
    N, groups, M = sums.shape
    for n in range(N):
        y = out[n]
        y[:] = 0
        for group in range(groups):
            for m in range(M):
                y[m] = add_group(y[m], sums[n, group, m], scale_w[group, m])
        for m in range(M):
            y[m] = mul(y[m], scale_x[n])
        for m in range(bias.shape[0]):
            y[m] = add(y[m], bias[m])
