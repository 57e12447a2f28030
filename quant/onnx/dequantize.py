"""Weights for DequantizeLinear: codes, scales and zero points in the weight's own shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..formats import Codes, Format
from .types import ElementType, element_type, pack_elements

__all__ = ["DequantizeLayout", "from_rows", "to_rows"]

BLOCKED_SINCE = 21   # opset


def to_rows(weight: np.ndarray, axis: int) -> np.ndarray:
    """A weight of any rank as the matrix [rows, K] whose rows run along ``axis``."""
    return np.moveaxis(weight, axis, -1).reshape(-1, weight.shape[axis])


def from_rows(rows: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """``to_rows`` undone for [rows, K'], where K' takes the place of ``shape[axis]``."""
    lead = shape[:axis] + shape[axis + 1:]
    return np.moveaxis(rows.reshape(*lead, rows.shape[1]), -1, axis)


@dataclass(frozen=True)
class DequantizeLayout:
    """How a weight of ``shape``, summed over ``axis``, is stored for DequantizeLinear.

    A format with one scale per tensor gives a scalar scale; one with a scale per row gives a
    scale along the other axis of a matrix; groups (and rows of a weight with more axes) become
    blocks along ``axis``.
    """

    form: Format
    shape: tuple[int, ...]
    axis: int
    opset: int | None = None   # of the model; None: whatever the narrowest type needs

    @property
    def type(self) -> ElementType:
        """The type of the codes and zero points."""
        return element_type(self.form, self.opset)

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """The shape of the stored scales and zero points."""
        K = self.shape[self.axis]
        rows = math.prod(self.shape) // K
        scales = self.form.layout((rows, K))["scale"].shape
        if scales == (1, 1) and rows != 1:
            return ()
        if scales[1] == 1 and len(self.shape) == 2:
            return (rows,)
        return (*self.shape[:self.axis], scales[1], *self.shape[self.axis + 1:])

    @property
    def since(self) -> int:
        """The first opset whose DequantizeLinear can say it."""
        blocked = len(self.scale_shape) > 1
        return max(self.type.since, BLOCKED_SINCE if blocked else 0)

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes."""
        scales = self.scale_shape
        if len(scales) == 0:
            return {}
        if len(scales) == 1:
            return {"axis": 1 - self.axis}
        return {"axis": self.axis, "block_size": self.shape[self.axis] // scales[self.axis]}

    @property
    def nbytes(self) -> int:
        """Stored bytes of codes, float32 scales and zero points."""
        scales = math.prod(self.scale_shape)
        zero_points = 0 if self._symmetric else self.type.nbytes(scales)
        return self.type.nbytes(math.prod(self.shape)) + 4 * scales + zero_points

    @property
    def _symmetric(self) -> bool:
        return getattr(self.form, "symmetric", True)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Stored bytes of the codes ``values`` [rows, K]."""
        return pack_elements(from_rows(values, self.shape, self.axis), self.type)

    def scale(self, codes: Codes) -> np.ndarray:
        """The scales, float32, in ``scale_shape``."""
        return np.ascontiguousarray(self._placed(codes.scale).astype(np.float32))

    def zero_point(self, codes: Codes) -> np.ndarray | None:
        """Stored bytes of the zero points; None for a symmetric format."""
        if codes.zero_point is None:
            return None
        return pack_elements(self._placed(codes.zero_point), self.type)

    def _placed(self, values: np.ndarray) -> np.ndarray:
        shape = self.scale_shape
        return from_rows(values, self.shape, self.axis) if len(shape) > 1 else values.reshape(shape)
