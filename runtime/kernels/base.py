"""What every linear is, and what the integer ones share: activations to int8, sums to float32."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numba import get_num_threads, njit

from ...errors import FormatError
from ...numerics import add, quantize_activations, scale_sum
from ...quant.formats.base import Format, PackedWeight

__all__ = ["LARGEST_ACTIVATION", "IntegerLinear", "Linear", "chunks_for"]

LARGEST_ACTIVATION = 128   # of an int8, in magnitude

# A thread is worth waking for this many weights (about 10 us of work).
_WEIGHTS_PER_CHUNK = 1 << 18


class Linear(ABC):
    """y = x W^T (+ bias) with W [M, K] in the layout that its kernel wants.

    ``shape`` is (M, K); ``format`` the weight's number format, or None for float32; ``nbytes`` the
    memory that the weight takes here.
    """

    shape: tuple[int, int]
    format: Format | None
    nbytes: int

    def __init__(
        self, shape: tuple[int, int], format: Format | None, bias: np.ndarray | None
    ) -> None:
        self.shape = shape
        self.format = format
        self._bias = None if bias is None else np.ascontiguousarray(bias, np.float32)

    @abstractmethod
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 [N, M] from float32 ``x`` [N, K]."""

    def _checked(self, x: np.ndarray, dtype: type) -> np.ndarray:
        if x.ndim != 2 or x.shape[1] != self.shape[1]:
            raise ValueError(f"A linear of [M, K] = {self.shape} takes [N, K], not {x.shape}")
        return np.ascontiguousarray(x, dtype)


class IntegerLinear(Linear):
    """A linear on int8 activations whose sums are exact integers.

    The activations are quantized per token (``numerics.quantize_activation``); the sums over K are
    exact whatever their order, so every path through a kernel gives the same bits; the output is
    ``numerics.scale_sum``, plus the bias by ``numerics.add``.

    Raises
    ------
    FormatError
        K is so large that a sum could leave int32.
    """

    largest_weight: ClassVar[int]   # integer weight, in magnitude

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight.shape, weight.format, bias)
        M, K = weight.shape
        self._check_sums(K)
        scale = np.asarray(weight.tensors["scale"], np.float32)
        self._scale = np.ascontiguousarray(np.broadcast_to(scale.reshape(-1), M))

    def _check_sums(self, K: int) -> None:
        if K * LARGEST_ACTIVATION * self.largest_weight >= 2**31:
            limit = (2**31 - 1) // (LARGEST_ACTIVATION * self.largest_weight)
            raise FormatError(
                f"A weight with K = {K} could overflow its int32 sums; K may be at most {limit}"
            )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 [N, M] from float32 ``x`` [N, K], the same bits for any N."""
        q, scale_x = quantize_activations(self._checked(x, np.float32))
        out = np.empty((len(q), self.shape[0]), np.float32)
        _scale_sums(self.integer(q), scale_x, self._scale, _or_empty(self._bias), out)
        return out

    @abstractmethod
    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact sums over K, before any scaling, from int8 ``q`` [N, K]."""


def chunks_for(M: int, K: int) -> int:
    """How many threads an [M, K] matrix is worth: at least 1, at most those that there are."""
    return max(1, min(get_num_threads(), M * K // _WEIGHTS_PER_CHUNK))


def _or_empty(bias: np.ndarray | None) -> np.ndarray:
    return np.empty(0, np.float32) if bias is None else bias


@njit(cache=True)
def _scale_sums(
    sums: np.ndarray, scale_x: np.ndarray, scale_w: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """Write float32 ``out`` [N, M] from integer ``sums`` [N, M]; an empty ``bias`` is none."""
    for n in range(sums.shape[0]):
        for m in range(sums.shape[1]):
            value = scale_sum(sums[n, m], scale_x[n], scale_w[m])
            out[n, m] = add(value, bias[m]) if bias.shape[0] else value
