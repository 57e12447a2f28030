"""Scales that clip: a narrower range rounds the many weights finer and cuts the few off.

The search is AWQ's and GPTQ's ("mse" there): of some fractions of a group's range, take the one
whose rounding has the smallest squared error, weighted by the power of each column's inputs.
"""

from __future__ import annotations

import numpy as np

from ..formats.grouped_int import GroupedInt

__all__ = ["FRACTIONS", "fit_clipped"]

FRACTIONS = tuple(1 - step / 20 for step in range(13))   # 1.0 to 0.4


def fit_clipped(
    form: GroupedInt, group: np.ndarray, importance: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale float32 [M] and zero point uint8 [M] (or None) of one group, float64 [M, group size].

    ``importance`` [group size] weighs the columns' squared errors. The widest range wins a draw.
    """
    low, high = group.min(axis=1), group.max(axis=1)
    best_scale, best_zero = form.fit(low, high)
    least = np.full(len(group), np.inf)
    for fraction in FRACTIONS:
        scale, zero = form.fit(low * fraction, high * fraction)
        columns = (scale[:, None], None if zero is None else zero[:, None])
        error = form.restore(form.round(group, *columns), *columns) - group
        total = np.square(error) @ importance
        better = total < least
        least = np.where(better, total, least)
        best_scale = np.where(better, scale, best_scale)
        if zero is not None and best_zero is not None:
            best_zero = np.where(better, zero, best_zero)
    return best_scale, best_zero
