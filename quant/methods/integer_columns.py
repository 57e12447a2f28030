"""The inner loops of GPTQ and of its coordinate descent for integer formats, compiled.

What ``GroupedInt.round`` and ``restore`` do column by column, and what each column's error adds to
the others, are many passes over memory in numpy. Here a few rows of a block of columns stay in the
processor's cache until all columns are rounded. Every number is computed by the same operations in
the same order as there, so that the codes are the same in every bit.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from ..formats.grouped_int import GroupedInt

__all__ = ["descend", "round_in_turn"]

_ROWS = 16   # of all columns of a block at a time: 16 KiB as float64
_compiled = njit(nogil=True)


def round_in_turn(
    form: GroupedInt, columns: np.ndarray, first: int, count: int, factor: np.ndarray,
    scale: np.ndarray, zero_point: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """GPTQ's step for ``count`` of the ``columns`` float64 [C, M], from ``first`` on.

    Each is rounded, and all behind it make up for its error by the rows of ``factor`` [C, C].
    Returns the codes int8 and the rounded weights float64, both [count, M].
    """
    codes = np.empty((count, columns.shape[1]), np.int8)
    rounded = np.empty(codes.shape)
    zero = _zeros_of(scale, zero_point)
    _round_in_turn(columns, first, np.ascontiguousarray(factor), np.ascontiguousarray(scale), zero,
                   *_ends(form), codes, rounded)
    return codes, rounded


def descend(
    form: GroupedInt, before: np.ndarray, gradient: np.ndarray, hessian: np.ndarray,
    scale: np.ndarray, zero_point: np.ndarray | None, codes: np.ndarray,
) -> np.ndarray:
    """Coordinate descent on columns whose weights are ``before`` float64 [C, M].

    ``gradient`` [C, M] is half that of the output error; ``codes`` int8 [C, M] are
    overwritten, but for columns whose inputs are always zero. Returns the change [C, M].
    """
    moved = np.zeros(before.shape)
    zero = _zeros_of(scale, zero_point)
    _descend(before, gradient, np.ascontiguousarray(hessian.T), np.ascontiguousarray(scale), zero,
             *_ends(form), codes, moved)
    return moved


def _zeros_of(scale: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
    """Zero points as float32, 0 for symmetric codes."""
    return np.zeros(len(scale), np.float32) if zero_point is None else zero_point.astype(np.float32)


def _ends(form: GroupedInt) -> tuple[float, float]:
    """The smallest and the largest code."""
    return (float(-form.half), float(form.half - 1)) if form.symmetric else (0.0, float(form.top))


@_compiled
def _nearest(weight: float, scale: np.float32, zero: np.float32, low: float, high: float) -> float:
    return min(max(np.rint(weight / np.float64(scale)) + np.float64(zero), low), high)


@_compiled
def _restored(code: float, scale: np.float32, zero: np.float32) -> float:
    return np.float64(np.float32(np.float32(np.float32(code) - zero) * scale))


@_compiled
def _round_in_turn(
    columns: np.ndarray, first: int, factor: np.ndarray, scale: np.ndarray, zero: np.ndarray,
    low: float, high: float, codes: np.ndarray, rounded: np.ndarray,
) -> None:
    C, M = columns.shape
    for part in range((M + _ROWS - 1) // _ROWS):
        begin = part * _ROWS
        rows = min(_ROWS, M - begin)
        left, scales, zeros = _tile(columns, begin, rows, scale, zero)
        values, error = np.empty(_ROWS), np.empty(_ROWS)
        for n in range(len(codes)):
            i = first + n
            for r in range(_ROWS):
                code = _nearest(left[i, r], scales[r], zeros[r], low, high)
                values[r] = code
                error[r] = (left[i, r] - _restored(code, scales[r], zeros[r])) / factor[i, i]
            for r in range(rows):
                codes[n, begin + r] = np.int8(values[r])
                rounded[n, begin + r] = _restored(values[r], scales[r], zeros[r])
            for j in range(i + 1, C):
                weight, column = factor[i, j], left[j]
                for r in range(_ROWS):
                    column[r] -= weight * error[r]
        for j in range(first + len(codes), C):
            for r in range(rows):
                columns[j, begin + r] = left[j, r]


@_compiled
def _descend(
    before: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, scale: np.ndarray,
    zero: np.ndarray, low: float, high: float, codes: np.ndarray, moved: np.ndarray,
) -> None:
    C, M = before.shape
    for part in range((M + _ROWS - 1) // _ROWS):
        begin = part * _ROWS
        rows = min(_ROWS, M - begin)
        slope, scales, zeros = _tile(gradient, begin, rows, scale, zero)
        weights = _tile(before, begin, rows, scale, zero)[0]
        values, step = np.empty(_ROWS), np.empty(_ROWS)
        for i in range(C):
            power = hessian[i, i]
            if power == 0:
                continue
            for r in range(_ROWS):
                weight = weights[i, r] - slope[i, r] / power
                values[r] = _nearest(weight, scales[r], zeros[r], low, high)
                step[r] = _restored(values[r], scales[r], zeros[r]) - weights[i, r]
            for r in range(rows):
                codes[i, begin + r] = np.int8(values[r])
                moved[i, begin + r] = step[r]
            for j in range(i + 1, C):
                weight, column = hessian[i, j], slope[j]
                for r in range(_ROWS):
                    column[r] += weight * step[r]


@_compiled
def _tile(
    columns: np.ndarray, begin: int, rows: int, scale: np.ndarray, zero: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``rows`` rows of all columns, their scales and zero points; the last one again to the end."""
    tile = np.empty((len(columns), _ROWS))
    scales, zeros = np.empty(_ROWS, np.float32), np.empty(_ROWS, np.float32)
    for r in range(_ROWS):
        row = begin + min(r, rows - 1)
        scales[r], zeros[r] = scale[row], zero[row]
    for i in range(len(columns)):
        for r in range(_ROWS):
            tile[i, r] = columns[i, begin + min(r, rows - 1)]
    return tile, scales, zeros
