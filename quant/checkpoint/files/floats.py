"""Stored floats as float32, and the rule that weights are finite."""

from __future__ import annotations

import numpy as np

from ....errors import CheckpointError

__all__ = ["all_finite", "check_finite", "to_float32"]

# By type: its bits as integers, those of the exponent (all ones: no number), and without the sign.
_BITS: dict[str, tuple[type[np.unsignedinteger], int, int]] = {
    "F32": (np.uint32, 0x7F800000, 0x7FFFFFFF), "F16": (np.uint16, 0x7C00, 0x7FFF),
    "BF16": (np.uint16, 0x7F80, 0x7FFF),
}


def all_finite(stored: np.ndarray, dtype: str) -> bool:
    """Whether ``stored`` F32, F16 or BF16 (as uint16) has no NaN and no infinity; destroys it."""
    kind, exponent, magnitude = _BITS[dtype]
    bits = stored.view(kind)
    np.bitwise_and(bits, kind(magnitude), out=bits)
    return bool(bits.max(initial=0) < exponent)


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
