"""INT8 weights: integer dot products straight from the stored bytes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..base import IntegerLinear
from ..choice import chosen_kernel
from ..dot import dot_tokens
from ..threads import over_rows
from .int8_neon import NeonInt8
from .int8_vnni import VnniInt8

__all__ = ["Int8Linear"]


class Int8Linear(IntegerLinear):
    """y = x W^T with int8 W and a scale per row. Sums are int32, exact for every input.

    The weight is used as it is stored, not copied: a tied embedding and head share their memory.
    """

    largest_weight: ClassVar[int] = 128

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        self._weight = np.ascontiguousarray(weight.codes().values)
        self.nbytes = self._weight.nbytes + self._scale.nbytes
        fused = {"vnni": VnniInt8, "dotprod": NeonInt8}.get(chosen_kernel())
        if fused:
            self._fused = fused(self._weight, self._scale)
            self.nbytes = self._fused.nbytes + self._scale.nbytes

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, M] of int8 ``q`` [N, K]."""
        M = self.shape[0]
        sums = np.empty((M, len(q)), np.int32)   # a row's are written together
        over_rows(_dot_rows, (self._weight,), q, M, sums)
        return np.ascontiguousarray(sums.T)


@njit
def _dot_rows(
    weight: np.ndarray, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write rows [start, stop) of int32 ``sums`` [M, N]."""
    for m in range(start, stop):
        dot_tokens(weight[m], q, sums[m])
