"""What every linear is, and what the integer ones share: activations to int8, sums to float32."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import numpy as np

from ...errors import FormatError
from ...numerics import add, quantize_activations, scale_sum
from ...quant.formats.base import Format, PackedWeight
from ...tools.compiled import njit

__all__ = ["LARGEST_ACTIVATION", "FusedKernel", "IntegerLinear", "Linear"]

LARGEST_ACTIVATION = 128   # of an int8, in magnitude


class Linear(ABC):
    """y = x W^T (+ bias) with W [M, K] in the layout that its kernel wants.

    ``shape`` is (M, K); ``format`` the weight's number format, or None for float32; ``nbytes`` the
    memory that the weight takes here. Nothing in it changes once it is made, so that threads may
    call the same linear at the same time.
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


class FusedKernel(Protocol):
    """A kernel for some CPUs: the same bits as the portable one, activations to outputs at once.

    It is made from a weight and its scales; ``nbytes`` is the memory that the former takes in it.
    """

    nbytes: int

    def integer(self, q: np.ndarray) -> np.ndarray:
        """The sums that ``IntegerLinear.integer`` gives."""

    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Float32 [N, M] of float32 ``x`` [N, K] and a bias, or an empty one."""


class IntegerLinear(Linear):
    """A linear on integer activations whose sums are exact integers.

    The activations are quantized per token (``activations``: to int8 by
    ``numerics.quantize_activation``, unless a subclass says otherwise); the sums over K are
    exact whatever their order, so every path through a kernel gives the same bits; the output is
    ``numerics.scale_sum``, plus the bias by ``numerics.add``. A subclass is the portable kernel,
    and the definition; where it sets ``_fused``, that does the work instead.

    Raises
    ------
    FormatError
        K is so large that a sum could leave int32.
    """

    format: Format

    largest_weight: ClassVar[int]   # integer weight, in magnitude
    largest_activation: ClassVar[int] = LARGEST_ACTIVATION
    activation_type: ClassVar[type] = np.int8
    sum_type: ClassVar[type] = np.int32
    tokens_at_once: ClassVar[int] = 64   # their activations stay in a core's cache

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight.shape, weight.format, bias)
        self._bias_or_empty = np.empty(0, np.float32) if self._bias is None else self._bias
        self._check_sums()
        self._rotation = weight.rotation
        self._scale = self._scales(weight.tensors["scale"])
        self._fused: FusedKernel | None = None

    def _check_sums(self) -> None:
        limit = np.iinfo(self.sum_type).max // (self.largest_activation * self.largest_weight)
        if self.shape[1] > limit:
            raise FormatError(
                f"A {self.format.name} weight with K = {self.shape[1]} could overflow its "
                f"{np.dtype(self.sum_type)} sums; K may be at most {limit}"
            )

    def _scales(self, stored: np.ndarray) -> np.ndarray:
        """Scales in the layout that ``_scale_sums`` takes: float32 [M] from [M, 1] or [1, 1]."""
        scale = np.asarray(stored, np.float32).reshape(-1)
        return np.ascontiguousarray(np.broadcast_to(scale, self.shape[0]))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 [N, M] from float32 ``x`` [N, K], the same bits for any N."""
        x = self.transformed(self._checked(x, np.float32))
        if self._fused:
            return self._fused.output(x, self._bias_or_empty)
        q, scale_x = self.activations(x)
        out = np.empty((len(q), self.shape[0]), np.float32)
        for first in range(0, len(q), self.tokens_at_once):
            tokens = slice(first, first + self.tokens_at_once)
            self._scale_sums(self._integer(q[tokens]), scale_x[tokens], out[tokens])
        return out

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """What is quantized of float32 ``x`` [N, K]: it, or rotated as the weight expects."""
        return x if self._rotation is None else self._rotation.inputs(x)

    def activations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integers [N, K] of float32 ``x`` [N, K], and the float32 scale [N] of each token."""
        return quantize_activations(x)

    def _scale_sums(self, sums: np.ndarray, scale_x: np.ndarray, out: np.ndarray) -> None:
        """Write float32 ``out`` [N, M] from what ``integer`` gave."""
        _scale_sums(sums, scale_x, self._scale, self._bias_or_empty, out)

    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact sums over K, before any scaling, from ``q`` [N, K] of ``activation_type``.

        [N, M]; [N, groups, M] where a format has a float scale per group.
        """
        q = self._checked(q, self.activation_type)
        return self._fused.integer(q) if self._fused else self._integer(q)

    @abstractmethod
    def _integer(self, q: np.ndarray) -> np.ndarray:
        """``integer`` by the portable kernel."""


@njit
def _scale_sums(
    sums: np.ndarray, scale_x: np.ndarray, scale_w: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """Write float32 ``out`` [N, M] from integer ``sums`` [N, M]; an empty ``bias`` is none."""
    for n in range(sums.shape[0]):
        for m in range(sums.shape[1]):
            value = scale_sum(sums[n, m], scale_x[n], scale_w[m])
            out[n, m] = add(value, bias[m]) if bias.shape[0] else value
