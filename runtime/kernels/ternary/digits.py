"""Ternary weights as digits t + 1, for the kernels that repack them, and repacked by a form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....quant.formats.base import PackedWeight
from ..ir.x86.panel import ROWS, STEP
from ..ir.x86.ternary_forms import Form
from ..panel import groups_of, weight_memory

__all__ = ["row_digits", "row_groups"]

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


def row_groups(weight: PackedWeight, form: type[Form]) -> np.ndarray:
    """Uint8 [groups, blocks * STEP] of a weight in the layout of ``ternary_forms``.

    K is filled up with zero weights to whole blocks of 4 * ``form.per_byte`` columns.
    """
    blocks = -(-weight.shape[1] // (4 * form.per_byte))
    packed = weight_memory(groups_of(weight.shape[0]), blocks * STEP)
    for first, digits in row_digits(weight, blocks * 4 * form.per_byte):
        # [groups, vectors, rows, blocks, digits, bytes] -> [groups, blocks, ..., digits]
        shaped = digits.reshape(-1, 4, 16, blocks, form.per_byte, 4)
        encoded = form.encode(shaped.transpose(0, 3, 1, 2, 5, 4))
        packed[first // ROWS:][: len(encoded)] = encoded.reshape(len(encoded), -1)
    return packed
