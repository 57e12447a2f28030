"""Four-bit codes that stand for small integers: MXFP4, NVFP4, and INT4 with FP8 scales.

Every code is an integer by a table of 16 (twice an E2M1 number, or the INT4 code itself). The sums
of a block or group are exact int32; what follows depends on the scale's format:

- E8M0 scales span 2^-127 to 2^125, far more than an integer could: the blocks are scaled and added
  in float32, by ``numerics.add_group``.
- An E4M3 scale is an integer times 2^-9: it multiplies the block's sum, and the sum over all blocks
  is an int64, exact in any order.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from ....numerics import flush_array, quantize_activations_fp8
from ....quant.formats.base import PackedWeight
from ....quant.formats.e2m1 import E2M1_TWICE
from ....quant.formats.fp8 import E4M3_VALUES
from ....tools.compiled import njit
from ..base import IntegerLinear
from ..choice import chosen_kernel
from ..integer.int4 import scale_groups
from ..threads import over_rows
from .nibbles_vnni import StoredBlocks, VnniBlocks, VnniScaledBlocks

__all__ = ["Int4Fp8Linear", "Mxfp4Linear", "Nvfp4Linear", "StoredMxfp4Linear"]

_E4M3_UNITS = np.float32(2.0**9)      # in 1
_LARGEST_E4M3 = 448 * 512
_HALF = np.float32(0.5)               # E2M1_TWICE counts halves


class _NibbleLinear(IntegerLinear):
    """y = x W^T with W = table[code] * scale, a scale for each block of columns."""

    tokens_at_once: ClassVar[int] = 8   # a sum per block takes memory
    table: ClassVar[np.ndarray]         # int8 [16]

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        weight.format.checked(weight.tensors, weight.shape)
        self._packed = np.ascontiguousarray(weight.tensors["packed"])
        self._blocks = weight.tensors["scale"].shape[1]
        self.nbytes = self._packed.nbytes + self._scale.nbytes

    def _block_sums(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, blocks, M] of integer ``q`` [N, K]."""
        sums = np.empty((len(q), self._blocks, self.shape[0]), np.int32)
        operands = (self._packed, self.table)
        over_rows(_sum_blocks, operands, q, self.shape[0], sums)
        return sums


class Mxfp4Linear(_NibbleLinear):
    """MXFP4: int32 sums per block of 32, in units of half the scale 2^(e - 127)."""

    largest_weight: ClassVar[int] = 12
    table: ClassVar[np.ndarray] = E2M1_TWICE
    fused_vnni: ClassVar[type[VnniBlocks] | type[StoredBlocks]] = VnniBlocks

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        if chosen_kernel() == "vnni":
            self._fused = self.fused_vnni(self._packed, self.table, self._scale)
            self.nbytes = self._fused.nbytes + self._scale.nbytes

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """float32 [blocks, M], 2^(e - 128), flushed."""
        power = np.ldexp(np.float32(1), stored.T.astype(np.int32) - 128)
        return np.ascontiguousarray(flush_array(power))

    def _scale_sums(self, sums: np.ndarray, scale_x: np.ndarray, out: np.ndarray) -> None:
        scale_groups(sums, scale_x, self._scale, self._bias_or_empty, out)

    def _integer(self, q: np.ndarray) -> np.ndarray:
        return self._block_sums(q)


class StoredMxfp4Linear(Mxfp4Linear):
    """The same of a weight that stays where it is stored, on CPUs that can use it there."""

    fused_vnni = StoredBlocks


class _ScaledNibbleLinear(_NibbleLinear):
    """E4M3 scales: exact int64 sums over K of table[code] * scale * 2^9 * activation."""

    sum_type: ClassVar[type] = np.int64
    planes: ClassVar[int] = 1        # of signed bytes that make up an activation
    unit: ClassVar[np.float32]       # of the sums, but for the global scale

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        # float32(unit / global scale): one rounding, none where that is a power of two.
        divisor = weight.tensors["global_scale"]
        self._unit = flush_array(self.unit / divisor.astype(np.float32))
        super().__init__(weight, bias)
        units = E4M3_VALUES[weight.tensors["scale"]] * _E4M3_UNITS
        self._integer_scale = np.ascontiguousarray(units.T.astype(np.int32))
        self.nbytes += self._integer_scale.nbytes
        if chosen_kernel() == "vnni":
            self._fused = VnniScaledBlocks(
                self._packed, self.table, self._integer_scale, self._scale, self.planes
            )
            self.nbytes = self._fused.nbytes + self._scale.nbytes + self._integer_scale.nbytes

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """float32 [M], all the same."""
        del stored
        return super()._scales(self._unit)

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int64 sums [N, M]."""
        sums = np.empty((len(q), self.shape[0]), np.int64)
        _sum_scaled(self._block_sums(q), self._integer_scale, sums)
        return sums


class Nvfp4Linear(_ScaledNibbleLinear):
    """NVFP4 with int8 activations; sums in units of 2^-10 / global scale."""

    largest_weight: ClassVar[int] = 12 * _LARGEST_E4M3
    table: ClassVar[np.ndarray] = E2M1_TWICE
    unit: ClassVar[np.float32] = _HALF / _E4M3_UNITS


class Int4Fp8Linear(_ScaledNibbleLinear):
    """INT4 with FP8 scales and FP8 activations; sums in units of 2^-18 / global scale.

    An activation is an integer in units of 2^-9 (``numerics.quantize_activation_fp8``).
    """

    largest_weight: ClassVar[int] = 8 * _LARGEST_E4M3
    largest_activation: ClassVar[int] = _LARGEST_E4M3
    activation_type: ClassVar[type] = np.int32
    planes: ClassVar[int] = 3
    table: ClassVar[np.ndarray] = np.arange(-8, 8).astype(np.int8)
    unit: ClassVar[np.float32] = np.float32(1) / (_E4M3_UNITS * _E4M3_UNITS)

    @override
    def activations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return quantize_activations_fp8(x)


@njit
def _decode(packed: np.ndarray, table: np.ndarray, integers: np.ndarray) -> None:
    """Write int32 ``integers`` [K] from uint8 ``packed`` [K / 2]."""
    for pair in range(packed.shape[0]):
        integers[2 * pair] = table[packed[pair] & 15]
        integers[2 * pair + 1] = table[packed[pair] >> 4]


@njit
def _sum_blocks(
    packed: np.ndarray, table: np.ndarray, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write ``sums[..., start:stop]`` from ``packed`` codes, which the ``table`` decodes."""
    K = q.shape[1]
    blocks = sums.shape[1]
    size = K // blocks
    integers = np.empty(K, np.int32)
    for m in range(start, stop):
        _decode(packed[m], table, integers)
        for n in range(q.shape[0]):
            for block in range(blocks):
                total = np.int32(0)
                for k in range(block * size, (block + 1) * size):
                    total += np.int32(integers[k] * np.int32(q[n, k]))
                sums[n, block, m] = total


@njit
def _sum_scaled(block_sums: np.ndarray, scale: np.ndarray, sums: np.ndarray) -> None:
    """Write int64 ``sums`` [N, M] from int32 [N, blocks, M] and int32 ``scale`` [blocks, M]."""
    for n in range(sums.shape[0]):
        sums[n] = 0
        for block in range(scale.shape[0]):
            for m in range(sums.shape[1]):
                sums[n, m] += np.int64(block_sums[n, block, m]) * np.int64(scale[block, m])
