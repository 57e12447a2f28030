"""Unquantized weights, by BLAS."""

from __future__ import annotations

import numpy as np

from ..base import Linear

__all__ = ["Float32Linear"]


class Float32Linear(Linear):
    """y = x W^T + bias in float32.

    The order of the sums is that of the BLAS in use: this path measures what quantization costs; it
    is outside the rule of numbers, and no hardware reproduces it bit for bit.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__((weight.shape[0], weight.shape[1]), None, bias)
        self._weight = np.asarray(weight, np.float32)
        self.nbytes = self._weight.nbytes

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 [N, M] from float32 ``x`` [N, K]."""
        # What overflows is found where logits are checked, and said there.
        with np.errstate(over="ignore", invalid="ignore"):
            y = self._checked(x, np.float32) @ self._weight.T
        return y if self._bias is None else y + self._bias
