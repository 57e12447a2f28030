"""Rounding rows of a large weight to INT4: the bits of ``Int4``, compiled.

``Int4.encode``, ``pack`` and the error's sums are many passes over a block in numpy. Here it is
two: the range of every group, then codes, bytes and errors at once. Numba releases the interpreter,
so that blocks go through threads.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from ..formats import Int4
from .error_meter import Errors

__all__ = ["round_int4"]

# Sums of squares may be added up in lanes; divisions and products stay as they are written.
_compiled = njit(nogil=True, fastmath={"reassoc"})


def round_int4(form: Int4, rows: np.ndarray) -> tuple[dict[str, np.ndarray], Errors]:
    """The stored tensors of float32 ``rows``, and their errors.

    Raises ``FormatError`` as ``Int4.encode`` does.
    """
    R, K = rows.shape
    size = form.group_size or K
    low, high = np.empty((2, R, K // size), np.float32)
    _ranges(rows, size, low, high)
    scale, zero_point = form.fit(low, high)
    zero = np.full((R, K // size), form.half, np.uint8) if zero_point is None else zero_point
    packed, sums = np.empty((R, K // 2), np.uint8), np.empty((R, 3))
    _codes(rows, size, scale, zero, packed, sums)
    tensors = {"packed": packed, "scale": scale.astype(np.float16)}
    if zero_point is not None:
        tensors["zero_point"] = zero_point
    squares, error_squares = sums[:, 0].sum(), sums[:, 1].sum()
    return tensors, Errors(float(squares), float(error_squares), float(sums[:, 2].max()))


@_compiled
def _ranges(rows: np.ndarray, size: int, low: np.ndarray, high: np.ndarray) -> None:
    """The smallest and largest of each group of ``size`` columns.

    Compared as integers of the same order: floats, of which NaN compares with none, would be
    compared one at a time.
    """
    bits = rows.view(np.int32)
    lowest, highest = low.view(np.int32), high.view(np.int32)
    for r in range(rows.shape[0]):
        for group in range(low.shape[1]):
            columns = bits[r, group * size : (group + 1) * size]
            smallest = largest = _ordered(columns[0])
            for k in range(size):
                smallest = min(smallest, _ordered(columns[k]))
                largest = max(largest, _ordered(columns[k]))
            lowest[r, group], highest[r, group] = _ordered(smallest), _ordered(largest)


@_compiled
def _ordered(bits: np.int32) -> np.int32:
    """Integers ordered as the floats of these bits; its own inverse."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@_compiled
def _codes(
    rows: np.ndarray, size: int, scale: np.ndarray, zero: np.ndarray, packed: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Write ``packed`` uint8 [R, K / 2] and ``sums`` float64 [R, 3], a row's ``Errors``.

    A symmetric code is stored plus 8: that is a zero point of 8.
    """
    codes, errors = np.empty(size, np.uint8), np.empty(size, np.float32)
    magnitudes = errors.view(np.int32)   # compared as integers, as in ``_ranges``
    for r in range(rows.shape[0]):
        squares, error_squares, worst = 0.0, 0.0, np.int32(0)
        for group in range(scale.shape[1]):
            columns = rows[r, group * size : (group + 1) * size]
            step, offset = scale[r, group], np.float32(zero[r, group])
            for k in range(size):
                weight = columns[k]
                code = np.rint(np.float32(weight / step)) + offset
                code = min(max(code, np.float32(0)), np.float32(15))
                codes[k] = np.uint8(np.int32(code))
                error = np.float32(np.float32((code - offset) * step) - weight)
                squares += np.float64(weight) * np.float64(weight)
                error_squares += np.float64(error) * np.float64(error)
                errors[k] = abs(error)
            for k in range(size):
                worst = max(worst, magnitudes[k])
            half = packed[r, group * size // 2 : (group + 1) * size // 2]
            for pair in range(size // 2):
                half[pair] = codes[2 * pair] | codes[2 * pair + 1] << 4
        magnitudes[0] = worst
        sums[r, 0], sums[r, 1], sums[r, 2] = squares, error_squares, errors[0]
