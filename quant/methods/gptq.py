"""GPTQ: round column by column, and let the columns to come make up for each error.

Frantar, Ashkboos, Hoefler and Alistarh 2022, "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers" (arXiv 2210.17323), with the columns in ``activation_order``,
scales that may clip (``fit_clipped``), and coordinate descent at the end (``refine``).

The Hessian is not inverted. With ``H = R R^T``, R upper triangular, ``R^-1`` is the paper's factor
of the inverse, and a block of columns only needs the inverse of its own part of R: what it makes up
for is ``errors before it @ R[before, block]`` (Chee et al. 2023, "QuIP", arXiv 2307.13304, theorem
6, has the equivalence column by column).

For formats with several parameters per group (HLQ, two ternary planes) a group's levels are fitted
when its turn comes, to the weights as they are then, and its columns are rounded one by one like
any others. (ELUTQ, arXiv 2510.19482, fixes all codes of a group first, so that its columns cannot
make up for each other's errors.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..formats import Codes
from ..formats.codebook import Codebook
from ..formats.group_format import GroupFormat
from ..formats.grouped_int import GroupedInt
from ..formats.grouped_ternary import GroupedTernary
from .calibration import row_errors
from .clip import fit_clipped
from .method import Method
from .order import activation_order
from .refine import refine

__all__ = ["METHOD", "gptq", "triangular_inverse", "upper_factor"]

DAMPING = 0.01   # of the mean of the Hessian's diagonal
BLOCK = 128      # columns between two updates of all that follow; whole groups or parts of one


def gptq(weight: np.ndarray, hessian: np.ndarray, form: GroupFormat) -> Codes:
    """Codes of float32 ``weight`` [M, K] for inputs with ``hessian`` float64 [K, K].

    Rows that end up with a larger ``row_errors`` than plain rounding gives keep the plain rounding.
    Arithmetic is float64; same inputs, same codes.
    """
    codes = refine(weight, hessian, form, _Columns(weight, hessian, form).round_all())
    return better_rows(weight, hessian, form, codes, form.encode(weight))


@dataclass
class _Columns:
    """The algorithm of the paper: all columns of a weight, in the order of their rounding."""

    weight: np.ndarray
    hessian: np.ndarray
    form: GroupFormat
    codes: Codes = field(init=False)

    def __post_init__(self) -> None:
        """Bring the columns in order: one row of ``_targets`` for each."""
        M, K = self.weight.shape
        self._size = self.form.group_size or K
        self._order = activation_order(np.diag(self.hessian), self._size)
        self._importance = np.diag(self.hessian)[self._order]
        self._targets = np.ascontiguousarray(self.weight.T[self._order], np.float64)
        extra = (self.form.parameters,) if self.form.parameters > 1 else ()
        integers = isinstance(self.form, GroupedInt) and not self.form.symmetric
        self.codes = Codes(
            np.empty((M, K), self.form.code_type),
            np.empty((M, K // self._size, *extra), np.float32),
            np.empty((M, K // self._size), np.uint8) if integers else None,
        )

    def round_all(self) -> Codes:
        """Block after block; each begins with what it must make up for."""
        K = len(self._order)
        factor = upper_factor(self.hessian[np.ix_(self._order, self._order)])
        errors = np.empty(self._targets.shape)   # weight minus rounded weight
        for start in range(0, K, BLOCK):
            block = slice(start, min(start + BLOCK, K))
            inverse = triangular_inverse(factor[block, block])
            columns = self._targets[block] + inverse.T @ (factor[:start, block].T @ errors[:start])
            errors[block] = self._targets[block] - self._round_block(start, columns, inverse)
        return self.codes

    def _round_block(self, start: int, columns: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """The rounded ``columns`` [columns, M] from ``start`` on; they are used up."""
        rounded = np.empty(columns.shape)
        step = min(self._size, BLOCK)
        in_turn = self._integers if isinstance(self.form, GroupedInt) else self._any
        for i in range(0, len(columns), step):
            group = self._order[start + i] // self._size
            if (start + i) % self._size == 0:
                self._fit(group, start, i, columns)
            part = slice(i, min(i + step, len(columns)))
            codes, rounded[part] = in_turn(group, part, columns, factor)
            places = self._order[start + part.start : start + part.stop]
            self.codes.values[:, places] = codes.T
        return rounded

    def _integers(
        self, group: int, part: slice, columns: np.ndarray, factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes and rounded weights of a ``part`` of the columns, which all are of ``group``."""
        from .integer_columns import round_in_turn  # noqa: PLC0415   Numba, which others do not need

        assert isinstance(self.form, GroupedInt), "``_round_block`` asks for these alone"
        return round_in_turn(self.form, columns, part.start, part.stop - part.start, factor,
                             *self._parameters(group))

    def _any(
        self, group: int, part: slice, columns: np.ndarray, factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for formats of any kind."""
        parameters = self._parameters(group)
        rounded = np.empty(columns[part].shape)
        codes: np.ndarray = np.empty(rounded.shape, self.form.code_type)
        for n, i in enumerate(range(part.start, part.stop)):
            codes[n] = self.form.round(columns[i], *parameters)
            rounded[n] = self.form.restore(codes[n], *parameters)
            error = (columns[i] - rounded[n]) / factor[i, i]
            columns[i + 1 :] -= factor[i, i + 1 :, None] * error
        return codes, rounded

    def _fit(self, group: int, start: int, i: int, columns: np.ndarray) -> None:
        """Choose the parameters of ``group``, whose columns begin with ``start + i``.

        A group longer than the block is the whole row, of which nothing is rounded yet.
        """
        members = columns[i : i + self._size] if self._size <= BLOCK else self._targets
        importance = self._importance[start + i : start + i + self._size]
        if isinstance(self.form, GroupedInt):
            scale, zero_point = fit_clipped(self.form, members.T, importance)
        else:
            assert isinstance(self.form, Codebook | GroupedTernary), "there is no other kind"
            scale, zero_point = self.form.fit(members.T, importance), None
        self.codes.scale[:, group] = scale
        if zero_point is not None and self.codes.zero_point is not None:
            self.codes.zero_point[:, group] = zero_point

    def _parameters(self, group: int) -> tuple[np.ndarray, np.ndarray | None]:
        zero_point = self.codes.zero_point
        return self.codes.scale[:, group], None if zero_point is None else zero_point[:, group]


def upper_factor(hessian: np.ndarray) -> np.ndarray:
    """Upper triangular R with ``R R^T`` the damped ``hessian``.

    Columns whose inputs are always zero are given a diagonal of 1: they are rounded as they are.
    """
    damped = hessian[::-1, ::-1].copy()
    diagonal = np.einsum("kk->k", damped)   # a view
    diagonal[diagonal == 0] = 1
    diagonal += DAMPING * diagonal.mean()
    return np.linalg.cholesky(damped)[::-1, ::-1]


def triangular_inverse(upper: np.ndarray) -> np.ndarray:
    """Inverse of an upper triangular matrix."""
    return np.triu(np.linalg.inv(upper))


def better_rows(
    weight: np.ndarray, hessian: np.ndarray, form: GroupFormat, first: Codes, second: Codes
) -> Codes:
    """Row by row the codes with the smaller output error; ``second`` where they are equal."""
    exact = weight.astype(np.float64)
    errors = [row_errors(form.dequantize(codes) - exact, hessian) for codes in (first, second)]
    keep = errors[0] < errors[1]

    def pick(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.where(keep.reshape(-1, *[1] * (one.ndim - 1)), one, other)

    return Codes(
        pick(first.values, second.values),
        pick(first.scale, second.scale),
        None if first.zero_point is None or second.zero_point is None
        else pick(first.zero_point, second.zero_point),
    )


METHOD = Method("gptq", gptq, (GroupedInt, Codebook), corrects_inputs=True)
