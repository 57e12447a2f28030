"""Formats whose codes select from a group's own levels: HLQ and two-plane ternary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes
from .group_format import LARGEST_FLOAT16, GroupFormat
from .groups import GroupSize, check_columns, check_group_size, grouped

__all__ = ["Codebook"]

_RIDGE = 1e-6   # keeps parameters that no code of a group counts where they are
_ROWS_VALUES = 1 << 18   # fitted at a time: they stay in the cache


@dataclass(frozen=True)
class Codebook(GroupFormat):
    """Codes of a group stand for levels, ``sum over p of table[code, p] * parameter[p]``.

    Encoding alternates between the two halves of a least-squares fit, ``iterations`` times from
    each of some starts: the nearest level for every weight, and the best parameters for these
    codes. The start that ends with the smallest error is taken, its parameters are rounded to
    float16, and the codes are the levels nearest to them; of two equally near the lower.

    A level is computed in float32, from the first parameter to the last.
    """

    table: ClassVar[np.ndarray]       # float64 [codes, parameters]
    iterations: ClassVar[int]

    group_size: GroupSize = 128

    def __post_init__(self) -> None:
        """Check the parameter."""
        check_group_size(self.name, self.group_size)

    @property
    def code_type(self) -> type:
        """The dtype of the codes: indices into the codebook."""
        return np.uint8

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill groups."""
        super().check(tensor, shape)
        check_columns(tensor, shape[1], self.group_size)

    @abstractmethod
    def starts(self, groups: np.ndarray) -> Iterator[np.ndarray]:
        """Parameters float64 [..., parameters] to start from, for ``groups`` [..., group size]."""

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """Codes uint8 [R, K] and parameters [R, groups, parameters]; see the class."""
        del statistics
        groups = grouped(rows, self.group_size)
        step = max(1, _ROWS_VALUES // rows.shape[1])
        importance = np.ones(groups.shape[2])
        blocks = [groups[first : first + step] for first in range(0, len(groups), step)]
        scale = np.concatenate([self.fit(block, importance) for block in blocks])
        values = [self.round(block, scale[i * step : (i + 1) * step, :, None], None)
                  for i, block in enumerate(blocks)]
        return Codes(np.concatenate(values).reshape(rows.shape), scale)

    def fit(self, groups: np.ndarray, importance: np.ndarray) -> np.ndarray:
        """Parameters float32 of ``groups`` [..., group size]; columns weigh ``importance``.

        Raises ``FormatError`` where float16 cannot hold them.
        """
        weights = np.array(groups, np.float64, order="C")
        best: np.ndarray | None = None
        least: np.ndarray | None = None
        for start in self.starts(weights):
            parameters = start
            for _ in range(self.iterations):
                parameters = self._least_squares(weights, importance, parameters)
            stored = self.storable(self._canonical(parameters))
            restored = self.restore(
                self.round(weights, stored[..., None, :], None), stored[..., None, :], None
            )
            error = _sums(np.square(restored - weights), importance)
            if best is None or least is None:
                best, least = stored, error
            best = np.where((error < least)[..., None], stored, best)
            least = np.minimum(error, least)
        assert best is not None, "there is a start at least"
        if np.abs(best).max(initial=0) >= LARGEST_FLOAT16:
            raise FormatError(
                f"a group reaches {np.abs(groups).max():g}: float16 scales end at 65504. "
                "Use int8 or fp8, whose scales are float32"
            )
        return best

    def _canonical(self, parameters: np.ndarray) -> np.ndarray:
        """Parameters of the same levels, with scales above zero, in the order of the format."""
        return parameters

    def _least_squares(
        self, weights: np.ndarray, importance: np.ndarray, parameters: np.ndarray
    ) -> np.ndarray:
        """The best parameters for the codes nearest under ``parameters``."""
        order, midpoints = self._thresholds(parameters)
        weighted = weights * importance
        # Importance, and weight times importance, of what lies above each threshold.
        above = np.zeros((2, *weights.shape[:-1], len(self.table) + 1))
        above[:, ..., 0] = np.broadcast_to(importance.sum(), weighted.shape[:-1]), weighted.sum(-1)
        for level in range(midpoints.shape[-1]):
            chosen = (weights > midpoints[..., level, None]).astype(np.float64)
            above[0, ..., level + 1] = _sums(chosen, importance)
            above[1, ..., level + 1] = _sums(chosen, weighted)
        mass, total = above[..., :-1] - above[..., 1:]
        counts = self.table[order]
        levels = _levels(counts, parameters[..., None, :])
        normal = np.einsum("...l,...lp,...lr->...pr", mass, counts, counts)
        trace = np.einsum("...pp->...", normal)[..., None, None] + np.finfo(np.float64).tiny
        normal += _RIDGE * trace / self.parameters * np.eye(self.parameters)
        slope = np.einsum("...l,...lp->...p", total - mass * levels, counts)
        return parameters + np.linalg.solve(normal, slope[..., None])[..., 0]

    def _thresholds(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes [..., codes] by rising level, and the midpoints [..., codes - 1] between them."""
        levels = _levels(self.table.astype(parameters.dtype), parameters[..., None, :])
        order = np.argsort(levels, axis=-1, kind="stable")
        ordered = np.take_along_axis(levels, order, axis=-1).astype(np.float64)
        return order, (ordered[..., 1:] + ordered[..., :-1]) / 2

    @override
    def round(
        self, weights: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        del zero_point
        order, midpoints = self._thresholds(scale)
        place = np.zeros(weights.shape, np.uint8)
        for level in range(midpoints.shape[-1]):
            place += weights > midpoints[..., level]
        codes = np.broadcast_to(order.astype(np.uint8), (*weights.shape, order.shape[-1]))
        return np.take_along_axis(codes, place[..., None], axis=-1)[..., 0]

    @override
    def restore(
        self, values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        del zero_point
        total = np.zeros((), np.float32)
        for p in range(self.parameters):
            total = total + self.table[:, p].astype(np.float32)[values] * scale[..., p]
        return total

    def counts(self, values: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
        """A row of the table for each code."""
        del zero_point
        return self.table[values]

    def dequantize(self, codes: Codes) -> np.ndarray:
        """The levels of the codes, float32."""
        values = grouped(codes.values, self.group_size)
        return self.restore(values, codes.scale[:, :, None], None).reshape(codes.values.shape)


def _sums(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Sums of ``values * factors`` over the last axis, of float64.

    Not by BLAS: a group's sum must not depend on how many others are summed with it.
    """
    return np.einsum("...k,...k->...", values, factors)


def _levels(counts: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """``sum over p of counts[..., p] * parameters[..., p]``, from the first to the last."""
    total = np.zeros((), counts.dtype)
    for p in range(counts.shape[-1]):
        total = total + counts[..., p] * parameters[..., p]
    return total
