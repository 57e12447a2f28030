"""Coordinate descent on the output error: every code and every scale once more, given the others.

Behdin et al. 2023, "QuantEase: Optimization-based Quantization for Language Models" (arXiv
2309.01885), for the codes; between them each group's scale is set to its least-squares optimum, as
in the activation-aware grid alignment of PT2-LLM (arXiv 2510.03267).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..formats import Codes
from ..formats.group_format import GroupFormat
from ..formats.grouped_int import GroupedInt
from .order import activation_order

__all__ = ["refine"]

PASSES = 6
BLOCK = 128      # columns between two updates of a group's whole gradient
_RIDGE = 1e-9    # for parameters that no code counts, or that always count alike


def refine(weight: np.ndarray, hessian: np.ndarray, form: GroupFormat, codes: Codes) -> Codes:
    """Codes of ``weight`` [M, K] whose ``row_errors`` are nowhere larger than those of ``codes``.

    Zero points stay. Arithmetic is float64; a column whose inputs are always zero is left alone.
    """
    descent = _Descent(weight, hessian, form, codes)
    size = form.group_size or weight.shape[1]
    order = activation_order(np.diag(hessian), size).reshape(-1, size)
    for _ in range(PASSES):
        for columns in order:
            descent.improve(int(columns[0]) // size, columns)
    return descent.codes


class _Descent:
    """The codes so far, and the errors that they make."""

    def __init__(
        self, weight: np.ndarray, hessian: np.ndarray, form: GroupFormat, codes: Codes
    ) -> None:
        self.codes = replace(codes, values=codes.values.copy(), scale=codes.scale.copy())
        self._form = form
        self._hessian = hessian
        self._errors = form.dequantize(codes).astype(np.float64) - weight

    def improve(self, group: int, columns: np.ndarray) -> None:
        """Fit the parameters of a group, then round its ``columns`` again, in this order."""
        hessian = self._hessian[np.ix_(columns, columns)]
        # Half the gradient of the output error, and below what the group adds to it.
        gradient = self._errors @ self._hessian[:, columns]
        gradient += self._fit(group, columns, hessian, gradient) @ hessian
        for start in range(0, len(columns), BLOCK):
            part = slice(start, start + BLOCK)
            moved = self._round_again(
                group, columns[part], hessian[part, part], gradient[:, part]
            )
            gradient += moved @ hessian[part]

    def _fit(
        self, group: int, columns: np.ndarray, hessian: np.ndarray, gradient: np.ndarray
    ) -> np.ndarray:
        """Give every row the parameters, as they are stored, that make its error smallest.

        Returns the change of the weights [M, columns].
        """
        scale, zero_point = self._parameters(group)
        before = scale.reshape(len(scale), -1).astype(np.float64)
        zero_column = None if zero_point is None else zero_point[:, None]
        counts = self._form.counts(self.codes.values[:, columns], zero_column)
        slope = np.einsum("mk,mkp->mp", gradient, counts)
        curvature = np.stack([
            np.einsum("mk,mkp->mp", counts[:, :, p] @ hessian, counts)
            for p in range(self._form.parameters)
        ], axis=1)
        trace = np.einsum("mpp->m", curvature)[:, None, None] + np.finfo(np.float64).tiny
        ridge = _RIDGE * trace * np.eye(self._form.parameters)
        ideal = before - np.linalg.solve(curvature + ridge, slope[..., None])[..., 0]
        fitted = self._form.storable(ideal)
        change = fitted - before
        # The least error is at the ideal; clipping and rounding can lead away from it.
        gain = np.einsum("mp,mp->m", change, 2 * slope + np.einsum("mpr,mr->mp", curvature, change))
        change[gain >= 0] = 0
        taken = np.where(gain[:, None] < 0, fitted, before).astype(np.float32)
        self.codes.scale[:, group] = taken.reshape(scale.shape)
        moved = np.einsum("mkp,mp->mk", counts, change)
        self._errors[:, columns] += moved
        return moved

    def _round_again(
        self, group: int, columns: np.ndarray, hessian: np.ndarray, gradient: np.ndarray
    ) -> np.ndarray:
        """Round the ``columns`` one by one to what now makes the error smallest.

        Returns the change of the weights [M, columns].
        """
        parameters = self._parameters(group)
        gradient = np.ascontiguousarray(gradient.T)
        before = self._form.restore(
            self.codes.values[:, columns].T, *_as_rows(*parameters)
        ).astype(np.float64)
        codes = np.ascontiguousarray(self.codes.values[:, columns].T)
        if isinstance(self._form, GroupedInt):
            from .integer_columns import descend  # noqa: PLC0415   Numba, which others do not need

            moved = descend(self._form, before, gradient, hessian, *parameters, codes.view(np.int8))
        else:
            moved = self._descend(before, gradient, hessian, parameters, codes)
        self.codes.values[:, columns] = codes.T
        self._errors[:, columns] += moved.T
        return moved.T

    def _descend(
        self, before: np.ndarray, gradient: np.ndarray, hessian: np.ndarray,
        parameters: tuple[np.ndarray, np.ndarray | None], codes: np.ndarray,
    ) -> np.ndarray:
        """``integer_columns.descend`` for formats of any kind."""
        moved = np.zeros_like(gradient)
        for i in range(len(codes)):
            if hessian[i, i] == 0:
                continue
            codes[i] = self._form.round(before[i] - gradient[i] / hessian[i, i], *parameters)
            moved[i] = self._form.restore(codes[i], *parameters) - before[i]
            gradient[i + 1 :] += hessian[i + 1 :, i, None] * moved[i]
        return moved

    def _parameters(self, group: int) -> tuple[np.ndarray, np.ndarray | None]:
        zero_point = self.codes.zero_point
        return self.codes.scale[:, group], None if zero_point is None else zero_point[:, group]


def _as_rows(
    scale: np.ndarray, zero_point: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    return scale[None], None if zero_point is None else zero_point[None]
