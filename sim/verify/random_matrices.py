"""Random ternary matrices of given shapes, with their exact products: to simulate shapes alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...hw.matmul.reference import matmul
from ...model import LINEAR_NAMES, ModelConfig
from .engine import EngineProblem

__all__ = ["linear_shapes", "random_matrices"]


def linear_shapes(configs: Iterable[ModelConfig]) -> list[tuple[int, int]]:
    """The distinct shapes [M, K] of the linears of all ``configs``, smallest first."""
    return sorted(
        {config.linear_shape(name) for config in configs for name in LINEAR_NAMES},
        key=lambda shape: (shape[0] * shape[1], shape),
    )


def random_matrices(shapes: Iterable[tuple[int, int]], seed: int = 0) -> list[EngineProblem]:
    """One uniformly random ternary matrix and one int8 activation vector for each [M, K]."""
    generator = np.random.default_rng(seed)
    matrices = []
    for M, K in shapes:
        trits = generator.integers(-1, 2, (M, K), dtype=np.int8)
        activations = generator.integers(-128, 128, (1, K), dtype=np.int8)
        matrices.append(EngineProblem("random", trits, activations, matmul(trits, activations)))
    return matrices
