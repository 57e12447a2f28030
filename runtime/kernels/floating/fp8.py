"""FP8 E4M3 weights as integers: every code is an integer, up to 448 * 512, times 2^-9."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....numerics import flush
from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..base import IntegerLinear
from ..choice import chosen_kernel, cpu_features
from ..threads import over_rows
from .fp8_vnni import VnniFp8

__all__ = ["Fp8Linear"]

_UNIT = np.float32(2.0**-9)   # the smallest E4M3 number; all others are multiples of it
_SUBNORMALS = np.uint32(8)    # codes below are that many units
_TO_FLOAT32 = np.uint32(20)   # from E4M3's mantissa to float32's
_REBIAS = np.uint32((127 - 7 + 9) << 23)   # float32's exponent bias, less E4M3's, in units


class Fp8Linear(IntegerLinear):
    """y = x W^T with W = code * scale. Sums are int64 in units of 2^-9, exact for every input.

    ``integer`` counts these units; the factor 2^-9 is part of the scale. The portable kernel
    uses the weight as it is stored, not copied: a tied embedding and head share their memory.
    """

    largest_weight: ClassVar[int] = int(448 / _UNIT)
    sum_type: ClassVar[type] = np.int64

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        codes = weight.codes().values
        if chosen_kernel() == "vnni" and "avx512vbmi" in cpu_features():
            units = np.empty(256, np.int32)
            _decode(np.arange(256).astype(np.uint8), units)
            self._fused = VnniFp8(codes, units, self._scale)
            self.nbytes = self._fused.nbytes + self._scale.nbytes
            return
        self._weight = np.ascontiguousarray(codes)
        self.nbytes = self._weight.nbytes + self._scale.nbytes

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """float32 [M] with the unit folded in: exact for scales of at least 2^-117."""
        return _flush_all(super()._scales(stored) * _UNIT)

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int64 sums [N, M] of int8 ``q`` [N, K], in units of 2^-9."""
        M = self.shape[0]
        sums = np.empty((M, len(q)), np.int64)   # a row's are written together
        over_rows(_dot_rows, (self._weight,), q, M, sums)
        return np.ascontiguousarray(sums.T)


@njit
def _flush_all(values: np.ndarray) -> np.ndarray:
    for i in range(values.shape[0]):
        values[i] = flush(values[i])
    return values


@njit
def _decode(codes: np.ndarray, units: np.ndarray) -> None:
    """Write int32 ``units`` [K] from uint8 ``codes`` [K].

    A code's exponent and mantissa, moved to their place in a float32 with another bias, are the
    code's magnitude in units; that of a subnormal code is the code itself.
    """
    for k in range(codes.shape[0]):
        code = np.uint32(codes[k])
        magnitude = np.uint32(code & np.uint32(0x7F))
        bits = np.uint32(np.uint32(magnitude << _TO_FLOAT32) + _REBIAS)
        normal = np.int32(bits.view(np.float32))
        unsigned = normal if magnitude >= _SUBNORMALS else np.int32(magnitude)
        units[k] = np.int32(-unsigned) if code >= np.uint32(0x80) else unsigned


@njit
def _dot_rows(
    weight: np.ndarray, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write rows [start, stop) of int64 ``sums`` [M, N]; a product, below 2^25, is an int32."""
    units = np.empty(weight.shape[1], np.int32)
    for m in range(start, stop):
        _decode(weight[m], units)
        for n in range(q.shape[0]):
            activations = q[n]
            total = np.int64(0)
            for k in range(units.shape[0]):
                total += np.int64(np.int32(units[k] * np.int32(activations[k])))
            sums[m, n] = total
