"""Rotary position embedding: the tables of angles, and how checkpoints scale them."""

from __future__ import annotations

import math

import numpy as np

from ..model import ModelConfig, Rope, RopeScaling

__all__ = ["query_factors", "rope_factors", "rope_rows", "rope_tables"]


def _scaled_frequencies(
    frequencies: np.ndarray, scaling: RopeScaling, theta: float, length: int
) -> np.ndarray:
    """Rotary frequencies (radians per position) after ``scaling``, for ``length`` positions."""
    context = scaling.original_max_position_embeddings
    match scaling.kind:
        case "linear":
            return frequencies / scaling.factor
        case "yarn":
            share = _kept_by_yarn(2 * len(frequencies), theta, scaling)
        case "longrope":
            chosen = scaling.long if length > context else scaling.short
            return frequencies / np.array(chosen)
        case "dynamic":
            width = 2 * len(frequencies)
            stretch = scaling.factor * max(length, context) / context - (scaling.factor - 1)
            base = theta * stretch ** (width / (width - 2))
            return base ** -(np.arange(0, width, 2) / width)
        case _:
            turns = context * frequencies / (2 * math.pi)   # over the original context
            low, high = scaling.low_freq_factor, scaling.high_freq_factor
            share = np.clip((turns - low) / (high - low), 0, 1)   # of the unscaled frequency
    return share * frequencies + (1 - share) * frequencies / scaling.factor


def _kept_by_yarn(width: int, theta: float, scaling: RopeScaling) -> np.ndarray:
    """The share of each unscaled frequency: 1 for fast channels, 0 for slow ones."""
    def channel(turns: float) -> float:
        """Which channel turns so often over the original context."""
        context = scaling.original_max_position_embeddings
        return width * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first, last = channel(scaling.beta_fast), channel(scaling.beta_slow)
    if scaling.whole:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    last += 0.001 if first == last else 0
    return 1 - np.clip((np.arange(width // 2) - first) / (last - first), 0, 1)


def rope_factors(head_dim: int, theta: float, scaling: RopeScaling) -> np.ndarray:
    """What ``scaling`` divides each rotary frequency by: float64 [head_dim / 2]."""
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    return frequencies / _scaled_frequencies(frequencies, scaling, theta, 0)


def rope_rows(rope: Rope, positions: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tables (cos, sin) of the rotary angles at ``positions``: float32 [positions, width / 2].

    Column j turns by theta^(-2 j / width) radians per position, after the scaling for a sequence of
    ``length`` positions (``transformers`` ``modeling_rope_utils``). Computed in float64, times the
    scaling's magnitude, and rounded once.
    """
    exponents = np.arange(0, rope.width, 2) / max(rope.width, 1)
    frequencies = rope.theta**-exponents
    magnitude = 1.0
    if rope.scaling is not None:
        frequencies = _scaled_frequencies(frequencies, rope.scaling, rope.theta, length)
        magnitude = rope.scaling.magnitude
    angles = np.multiply.outer(np.asarray(positions, np.float64), frequencies)
    cosines, sines = (
        (magnitude * turn(angles)).astype(np.float32) for turn in (np.cos, np.sin))
    return cosines, sines


def rope_tables(config: ModelConfig, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``rope_rows`` of a model whose layers all have one rotary embedding, of any length."""
    return rope_rows(config.rope(0), positions, 0)


def query_factors(config: ModelConfig, positions: np.ndarray) -> np.ndarray:
    """What multiplies the queries at ``positions``: float32 [positions].

    1 + query_growth * log(1 + floor(position / query_period)), as Llama 4 and Ministral 3 have it;
    computed in float64 and rounded once.
    """
    periods = np.floor(np.asarray(positions, np.float64) / config.query_period)
    return (1 + config.query_growth * np.log1p(periods)).astype(np.float32)
