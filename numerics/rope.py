"""Rotary position embedding: the tables of angles, and how checkpoints scale them."""

from __future__ import annotations

import math

import numpy as np

from ..model import ModelConfig, RopeScaling

__all__ = ["rope_factors", "rope_tables"]


def _scaled_frequencies(frequencies: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """Rotary frequencies (radians per position) after ``scaling``."""
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    context = scaling.original_max_position_embeddings
    turns = context * frequencies / (2 * math.pi)   # over the original context
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    share = np.clip((turns - low) / (high - low), 0, 1)   # of the unscaled frequency
    return share * frequencies + (1 - share) * frequencies / scaling.factor


def rope_factors(head_dim: int, theta: float, scaling: RopeScaling) -> np.ndarray:
    """What ``scaling`` divides each rotary frequency by: float64 [head_dim / 2]."""
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    return frequencies / _scaled_frequencies(frequencies, scaling)


def rope_tables(config: ModelConfig, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables (cos, sin) of the rotary angles at ``positions``: float32 [positions, head_dim / 2].

    Column j turns by rope_theta^(-2 j / head_dim) radians per position, after ``rope_scaling``
    (``transformers`` ``modeling_rope_utils``). Computed in float64 and rounded once.
    """
    exponents = np.arange(0, config.head_dim, 2) / config.head_dim
    frequencies = config.rope_theta**-exponents
    if config.rope_scaling is not None:
        frequencies = _scaled_frequencies(frequencies, config.rope_scaling)
    angles = np.multiply.outer(np.asarray(positions, np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
