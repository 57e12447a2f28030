"""Weights that are planes of bits or trits, with a scale for each plane of each group of a row.

HLQ is multiplied bit by bit (T-MAC, arXiv 2407.00088): for every four activations a table of the 16
sums that four bits can select, int16, exact; a plane then costs one lookup for four weights, and no
weight is ever restored. Two planes of trits are two grouped ternary weights.

The sums are those of each plane and group, exact int32, for HLQ followed by the group's sum of
activations, which its offset multiplies. ``numerics.add_group`` adds them up: group after group,
and in a group plane after plane, then the offset.

These are the portable kernels, and the definition. With AVX2 or AVX-512 ``planes_shuffle`` takes
their place.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....quant.formats.base import PackedWeight
from ....quant.formats.bits import pack_bits
from ....quant.formats.hlq import Hlq
from ....quant.formats.ternary_planes import TernaryPlanes
from ....tools.compiled import njit
from ..base import IntegerLinear
from ..choice import lookup_vectors
from ..threads import over_rows
from .int4 import scale_groups
from .narrow import narrow_sums
from .planes_shuffle import ShuffleBits, ShuffleTrits

__all__ = ["HlqLinear", "TernaryPlanesLinear"]

_QUAD = 4       # activations to a table
_ENTRIES = 16
_STEP = 16      # bytes, 128 columns, to an int16 sum; a byte adds at most 1024


class _PlanesLinear(IntegerLinear):
    """What both have in common: scales [groups * planes, M], sums of the same order."""

    largest_weight: ClassVar[int] = 1
    tokens_at_once: ClassVar[int] = 8   # a sum per group and plane takes memory

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """float32 [groups * planes, M] from [M, groups, planes]."""
        return np.ascontiguousarray(stored.reshape(len(stored), -1).T, np.float32)

    def _scale_sums(self, sums: np.ndarray, scale_x: np.ndarray, out: np.ndarray) -> None:
        scale_groups(sums, scale_x, self._scale, self._bias_or_empty, out)


class HlqLinear(_PlanesLinear):
    """y = x W^T with W = offset + sum over b of scale_b * bit_b; the offset counts as a plane."""

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        self._bits = weight.format_as(Hlq).bits
        super().__init__(weight, bias)
        stored = weight.tensors
        scale = np.concatenate([stored["scale"], stored["offset"][:, :, None]], axis=2)
        self._scale = self._scales(scale)
        packed = stored["packed"]
        self._groups = stored["offset"].shape[1]
        if vectors := lookup_vectors():
            self._fused = ShuffleBits(packed, self._groups, self._scale, vectors)
            self.nbytes = self._fused.nbytes + self._scale.nbytes
            return
        self._packed = np.ascontiguousarray(packed.transpose(1, 2, 0))   # [bits, bytes, M]
        self.nbytes = self._packed.nbytes + self._scale.nbytes

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, groups * (bits + 1), M] of int8 ``q`` [N, K]."""
        sums = np.empty((len(q), *self._scale.shape), np.int32)
        operands = (self._packed, self._groups)
        over_rows(_look_up, operands, q, self.shape[0], sums)
        return sums


class TernaryPlanesLinear(_PlanesLinear):
    """y = x W^T with W = scale_0 * t_0 + scale_1 * t_1: two bits a trit in memory."""

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        planes = weight.format_as(TernaryPlanes).trits(weight.codes().values)
        self._groups = weight.tensors["scale"].shape[1]
        if vectors := lookup_vectors():
            self._fused = ShuffleTrits(planes, self._groups, self._scale, vectors)
            self.nbytes = self._fused.nbytes + self._scale.nbytes
            return
        padding = -self.shape[1] % 32   # only of a row that is one group
        self._columns = self.shape[1] + padding
        self._packed = [
            np.ascontiguousarray(
                pack_bits(np.pad((trits + 1).view(np.uint8), ((0, 0), (0, padding))), 2).T
            )
            for trits in planes
        ]
        self.nbytes = sum(plane.nbytes for plane in self._packed) + self._scale.nbytes

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, groups * 2, M] of int8 ``q`` [N, K]."""
        none = np.empty((0, self.shape[0]), np.uint8)
        one = np.ones((1, self.shape[0]), np.uint8)   # a digit is t + 1
        planes = [
            narrow_sums((plane, none, one), q, self._groups, self._columns)
            for plane in self._packed
        ]
        return np.stack(planes, axis=2).reshape(len(q), *self._scale.shape)


@njit
def _build_tables(q: np.ndarray, tables: np.ndarray) -> None:
    """Fill int16 ``tables`` [quads, 16] with the sums of the activations that four bits select."""
    for quad in range(tables.shape[0]):
        table = tables[quad]
        table[0] = 0
        for i in range(_QUAD):
            activation = np.int16(q[_QUAD * quad + i])
            for entry in range(1 << i):
                table[(1 << i) + entry] = np.int16(table[entry] + activation)


@njit
def _look_up(
    packed: np.ndarray, groups: int, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write ``sums[..., start:stop]`` from planes ``packed`` uint8 [bits, bytes, M]."""
    bits = packed.shape[0]
    row_bytes = packed.shape[1] // groups
    tables = np.empty((2 * packed.shape[1], _ENTRIES), np.int16)
    partial = np.empty(stop - start, np.int16)
    for n in range(q.shape[0]):
        _build_tables(q[n], tables)
        for group in range(groups):
            first = group * row_bytes
            activations = np.int32(0)
            for k in range(8 * first, 8 * (first + row_bytes)):
                activations += np.int32(q[n, k])
            sums[n, (group + 1) * (bits + 1) - 1, start:stop] = activations
            for b in range(bits):
                totals = sums[n, group * (bits + 1) + b, start:stop]
                totals[:] = 0
                for step in range(first, first + row_bytes, _STEP):
                    partial[:] = 0
                    for byte in range(step, min(step + _STEP, first + row_bytes)):
                        low, high = tables[2 * byte], tables[2 * byte + 1]
                        codes = packed[b, byte, start:stop]
                        for m in range(partial.shape[0]):
                            partial[m] += np.int16(low[codes[m] & 15] + high[codes[m] >> 4])
                    for m in range(totals.shape[0]):
                        totals[m] += np.int32(partial[m])
