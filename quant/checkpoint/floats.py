"""Stored floats as float32, and the rule that weights are finite."""

from __future__ import annotations

import numpy as np

from ...errors import CheckpointError

__all__ = ["check_finite", "to_float32"]


def check_finite(entry: object, block: np.ndarray, first_row: int) -> None:
    """Raise ``CheckpointError`` at the first NaN or infinity of rows ``first_row`` and on.

    ``entry`` says, as text, which tensor of which file it is.
    """
    finite = np.isfinite(block)
    if finite.all():
        return
    position = [int(axis) for axis in np.unravel_index(np.argmin(finite), block.shape)]
    value = block[tuple(position)]
    if position:
        position[0] += first_row
    raise CheckpointError(f"{entry} holds {value} at {position}; weights must be finite")


def to_float32(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Stored F32, F16 or BF16 (as uint16 bit patterns) as float32, exactly."""
    if dtype == "BF16":
        bits = stored.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return stored.astype(np.float32, copy=False)
