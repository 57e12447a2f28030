"""GPTQ: round column by column, and let the columns to come make up for each error.

Frantar, Ashkboos, Hoefler and Alistarh 2022, "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers" (arXiv 2210.17323), with the columns in ``activation_order``,
scales that may clip (``fit_clipped``), and coordinate descent at the end (``refine``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..formats import Codes
from ..formats.grouped_int import GroupedInt
from ..formats.grouped_ternary import GroupedTernary
from .calibration import row_errors
from .clip import fit_clipped
from .order import activation_order
from .refine import refine

__all__ = ["gptq", "inverse_factor"]

FitGroup = Callable[..., tuple[np.ndarray, np.ndarray | None]]

DAMPING = 0.01   # of the mean of the Hessian's diagonal
BLOCK = 128      # columns between two updates of all that follow


def gptq(
    weight: np.ndarray, hessian: np.ndarray, form: GroupedInt | GroupedTernary,
    fit: FitGroup = fit_clipped,
) -> Codes:
    """Codes of float32 ``weight`` [M, K] for inputs with ``hessian`` float64 [K, K].

    ``fit(form, group, importance)`` gives a group's scale and zero point, as ``fit_clipped`` does.
    Rows that end up with a larger ``row_errors`` than plain rounding gives keep the plain rounding.
    Arithmetic is float64; same inputs, same codes.
    """
    codes = refine(weight, hessian, form, _column_by_column(weight, hessian, form, fit))
    return _better_rows(weight, hessian, form, codes, form.encode(weight))


def _column_by_column(
    weight: np.ndarray, hessian: np.ndarray, form: GroupedInt | GroupedTernary,
    fit: FitGroup = fit_clipped,
) -> Codes:
    """The algorithm of the paper."""
    M, K = weight.shape
    size = form.group_size or K
    order = activation_order(np.diag(hessian), size)
    factor = inverse_factor(hessian[np.ix_(order, order)])
    # One row for each column of the weight, in the order in which they are rounded.
    columns = np.ascontiguousarray(weight.T[order], np.float64)
    importance = np.diag(hessian)[order]
    values = np.empty((K, M), np.int8 if form.symmetric else np.uint8)
    scale = np.empty((K // size, M), np.float32)
    zero_point = None if form.symmetric else np.empty((K // size, M), np.uint8)
    for start in range(0, K, BLOCK):
        stop = min(start + BLOCK, K)
        errors = np.empty((stop - start, M))
        for column in range(start, stop):
            group = order[column] // size
            if column % size == 0:
                members = slice(column, column + size)
                scale[group], zero = fit(form, columns[members].T, importance[members])
                if zero_point is not None:
                    zero_point[group] = zero
            zero = None if zero_point is None else zero_point[group]
            values[order[column]] = form.round(columns[column], scale[group], zero)
            rounded = form.restore(values[order[column]], scale[group], zero)
            error = (columns[column] - rounded) / factor[column, column]
            columns[column + 1 : stop] -= factor[column, column + 1 : stop, None] * error
            errors[column - start] = error
        columns[stop:] -= factor[start:stop, stop:].T @ errors
    return Codes(
        np.ascontiguousarray(values.T), np.ascontiguousarray(scale.T),
        None if zero_point is None else np.ascontiguousarray(zero_point.T),
    )


def inverse_factor(hessian: np.ndarray) -> np.ndarray:
    """Upper triangular U with ``U^T U`` the inverse of the damped ``hessian``.

    Columns whose inputs are always zero are given a diagonal of 1: they are rounded as they are.
    """
    damped = hessian.copy()
    diagonal = np.einsum("kk->k", damped)   # a view
    diagonal[diagonal == 0] = 1
    diagonal += DAMPING * diagonal.mean()
    return np.linalg.cholesky(np.linalg.inv(damped)).T


def _better_rows(
    weight: np.ndarray, hessian: np.ndarray, form: GroupedInt, first: Codes, second: Codes
) -> Codes:
    """Row by row the codes with the smaller output error; ``second`` where they are equal."""
    exact = weight.astype(np.float64)
    errors = [row_errors(form.dequantize(codes) - exact, hessian) for codes in (first, second)]
    keep = (errors[0] < errors[1])[:, None]

    def pick(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.where(keep, one, other)

    return Codes(
        pick(first.values, second.values),
        pick(first.scale, second.scale),
        None if first.zero_point is None else pick(first.zero_point, second.zero_point),
    )
