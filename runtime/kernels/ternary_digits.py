"""Ternary weights as digits t + 1, some rows at a time, for the kernels that repack them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...quant.formats.base import PackedWeight
from .intrinsics_panel import ROWS
from .panel import groups_of

__all__ = ["row_digits"]

_ROWS_AT_ONCE = 16 * ROWS   # so that a large weight is never unpacked as a whole


def row_digits(weight: PackedWeight, columns: int) -> Iterator[tuple[int, np.ndarray]]:
    """The first row and uint8 digits [R, ``columns``] of successive rows; R is in whole groups.

    What is beyond the weight has digit 1, for zero. Raises ``FormatError`` for invalid bytes.
    """
    M, K = weight.shape
    for first in range(0, M, _ROWS_AT_ONCE):
        stop = min(first + _ROWS_AT_ONCE, M)
        rows = {**weight.tensors, "packed": weight.tensors["packed"][first:stop]}
        trits = weight.format.unpack(rows, (stop - first, K)).values
        digits = np.ones((groups_of(stop - first) * ROWS, columns), np.uint8)
        np.add(trits, 1, out=digits[: stop - first, :K], casting="unsafe")
        yield first, digits
