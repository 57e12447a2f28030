"""The weights that are multiplied with, and how many copies of them."""

from __future__ import annotations

import numpy as np

__all__ = ["TERNARY_SCALE", "copies_of", "weight_of"]

TERNARY_SCALE = np.float32(0.02)


def weight_of(kind: str, K: int, M: int) -> np.ndarray:
    """Float32 [M, K]: normal numbers, or for ternary types ternary ones, which every peer holds."""
    rng = np.random.default_rng(0)
    if kind.startswith("ternary"):
        return rng.integers(-1, 2, (M, K)).astype(np.float32) * TERNARY_SCALE
    return rng.standard_normal((M, K), np.float32) * np.float32(0.02)


def copies_of(nbytes: float, working_set: float) -> int:
    """How many weights of ``nbytes`` make up ``working_set`` bytes; one at least."""
    return max(1, round(working_set / nbytes))
