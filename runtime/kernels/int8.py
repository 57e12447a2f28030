"""INT8 weights: integer dot products straight from the stored bytes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit, prange

from ...quant.formats.base import PackedWeight
from .base import IntegerLinear, chunks_for
from .blas import integer_matmul

__all__ = ["Int8Linear"]

_MATMUL_TOKENS = 8   # from here on unpacking for BLAS is faster than dot products


class Int8Linear(IntegerLinear):
    """y = x W^T with int8 W and a scale per row. Sums are int32, exact for every input.

    The weight is used as it is stored, not copied: a tied embedding and head share their memory.
    """

    largest_weight: ClassVar[int] = 128

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        self._weight = np.ascontiguousarray(weight.tensors["packed"])
        self.nbytes = self._weight.nbytes + self._scale.nbytes

    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, M] of int8 ``q`` [N, K]."""
        q = self._checked(q, np.int8)
        M, K = self.shape
        sums = np.empty((len(q), M), np.int32)
        if len(q) >= _MATMUL_TOKENS:
            integer_matmul(q, M, self._unpack, self.largest_weight, np.float32, sums)
            return sums
        chunks = chunks_for(M, K)
        if chunks == 1:
            _dot_rows(self._weight, q, 0, M, sums)
        else:
            _dot_rows_parallel(self._weight, q, chunks, sums)
        return sums

    def _unpack(self, start: int, stop: int, panel: np.ndarray) -> None:
        panel[:] = self._weight[start:stop]


@njit(cache=True)
def _dot_rows(weight: np.ndarray, q: np.ndarray, start: int, stop: int, sums: np.ndarray) -> None:
    """Write columns [start, stop) of int32 ``sums`` [N, M]."""
    for m in range(start, stop):
        row = weight[m]
        for n in range(q.shape[0]):
            activations = q[n]
            total = np.int32(0)
            for k in range(row.shape[0]):
                total = np.int32(total + np.int32(np.int32(row[k]) * np.int32(activations[k])))
            sums[n, m] = total


@njit(cache=True, parallel=True)
def _dot_rows_parallel(weight: np.ndarray, q: np.ndarray, chunks: int, sums: np.ndarray) -> None:
    """``_dot_rows`` of all rows, cut into ``chunks`` that run at the same time."""
    M = weight.shape[0]
    for chunk in prange(chunks):
        _dot_rows(weight, q, M * chunk // chunks, M * (chunk + 1) // chunks, sums)
