"""Coordinate descent on the output error: every code and every scale once more, given the others.

Behdin et al. 2023, "QuantEase: Optimization-based Quantization for Language Models" (arXiv
2309.01885), for the codes; between them each group's scale is set to its least-squares optimum, as
in the activation-aware grid alignment of PT2-LLM (arXiv 2510.03267).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..formats import Codes
from ..formats.grouped_int import GroupedInt
from .calibration import row_errors
from .order import activation_order

__all__ = ["refine"]

PASSES = 2
BLOCK = 128   # columns between two updates of the whole gradient
_FLOAT16 = (2.0**-24, 65504.0)


def refine(weight: np.ndarray, hessian: np.ndarray, form: GroupedInt, codes: Codes) -> Codes:
    """Codes of ``weight`` [M, K] whose ``row_errors`` are nowhere larger than those of ``codes``.

    Zero points stay. Arithmetic is float64; a column whose inputs are always zero is left alone.
    """
    descent = _Descent(weight, hessian, form, codes)
    size = form.group_size or weight.shape[1]
    order = activation_order(np.diag(hessian), size).reshape(-1, size)
    for _ in range(PASSES):
        for columns in order:
            group = int(columns[0]) // size
            descent.fit_scale(group)
            for start in range(0, size, BLOCK):
                descent.round_again(group, columns[start : start + BLOCK])
    return descent.codes


class _Descent:
    """The codes so far, and half the gradient of the output error at them."""

    def __init__(
        self, weight: np.ndarray, hessian: np.ndarray, form: GroupedInt, codes: Codes
    ) -> None:
        self.codes = replace(codes, values=codes.values.copy(), scale=codes.scale.copy())
        self._form = form
        self._hessian = hessian
        self._size = form.group_size or weight.shape[1]
        self._quantized = form.dequantize(codes).astype(np.float64)
        self._gradient = (self._quantized - weight) @ hessian

    def fit_scale(self, group: int) -> None:
        """Give ``group`` of every row the scale, as float16, that makes the error smallest."""
        scale, zero_point = self._parameters(group)
        members = slice(group * self._size, (group + 1) * self._size)
        steps = self._form.restore(
            self.codes.values[:, members], np.float32(1), _as_columns(zero_point)
        ).astype(np.float64)
        slope = np.einsum("mk,mk->m", self._gradient[:, members], steps)
        curvature = row_errors(steps, self._hessian[members, members])
        ideal = scale - np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        fitted = np.clip(ideal, *_FLOAT16).astype(np.float16).astype(np.float32)
        change = fitted.astype(np.float64) - scale
        change[change * (2 * slope + change * curvature) >= 0] = 0   # clipping can make it worse
        self.codes.scale[:, group] = np.where(change == 0, scale, fitted)
        moved = change[:, None] * steps
        self._quantized[:, members] += moved
        self._gradient += moved @ self._hessian[members]

    def round_again(self, group: int, columns: np.ndarray) -> None:
        """Round the ``columns`` (of ``group``) one by one to what now makes the error smallest."""
        scale, zero_point = self._parameters(group)
        hessian = self._hessian[np.ix_(columns, columns)]
        gradient = np.ascontiguousarray(self._gradient[:, columns].T)
        moved = np.zeros_like(gradient)
        for i, column in enumerate(columns):
            if hessian[i, i] == 0:
                continue
            before = self._quantized[:, column]
            values = self._form.round(before - gradient[i] / hessian[i, i], scale, zero_point)
            after = self._form.restore(values, scale, zero_point)
            moved[i] = after - before
            gradient += hessian[:, i, None] * moved[i]
            self.codes.values[:, column] = values
            self._quantized[:, column] = after
        self._gradient += moved.T @ self._hessian[columns]

    def _parameters(self, group: int) -> tuple[np.ndarray, np.ndarray | None]:
        zero_point = self.codes.zero_point
        return self.codes.scale[:, group], None if zero_point is None else zero_point[:, group]


def _as_columns(parameter: np.ndarray | None) -> np.ndarray | None:
    return None if parameter is None else parameter[:, None]
