"""Ternary weights with a scale per group of a row, for models that were not trained ternary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from .base import Codes, TensorLayout
from .group_format import GroupFormat
from .groups import GroupSize, check_columns, check_group_size, grouped
from .scales import float16_scale
from .ternary import Ternary

__all__ = ["GroupedTernary"]

_ITERATIONS = 10
_TRITS = Ternary(packing="base3")


@dataclass(frozen=True)
class GroupedTernary(GroupFormat):
    """-1, 0 or 1 times a float16 scale per group of ``group_size`` columns (None: per row).

    Rounding is the iterative ternary fitting of PT2-LLM (arXiv 2510.03267), without its offset:
    from TWN's threshold (arXiv 1605.04711) on, the least-squares scale for the trits and the
    nearest trits for the scale take turns ten times. See ``float16_scale`` for groups of zeros,
    tiny and huge values.

    Stored: ``packed`` uint8 [M, ceil(K / 5)] as in ``Ternary``'s base 3; ``scale`` float16
    [M, K / group_size].
    """

    name: ClassVar[str] = "ternary-group"
    kernel: ClassVar[str] = "ternary-group"
    symmetric: ClassVar[bool] = True
    half: ClassVar[int] = 1   # what is added to a trit where codes start at 0
    top: ClassVar[int] = 2

    group_size: GroupSize = 128

    def __post_init__(self) -> None:
        """Check the parameter."""
        check_group_size(self.name, self.group_size)

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill groups."""
        super().check(tensor, shape)
        check_columns(tensor, shape[1], self.group_size)

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        groups = K // self.group_size if self.group_size else 1
        scale = TensorLayout(np.dtype(np.float16), (M, groups), per_row=True)
        return {"packed": _TRITS.layout(shape)["packed"], "scale": scale}

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """Trits int8 [R, K]; see the class for the rule."""
        del statistics
        groups = grouped(rows, self.group_size)
        scale = self.fit(groups, np.ones(groups.shape[2]))
        values = self.round(groups, scale[:, :, None], None)
        return Codes(values.reshape(rows.shape), scale)

    def fit(self, groups: np.ndarray, importance: np.ndarray) -> np.ndarray:
        """Scales float32 [...] of ``groups`` [..., group size]; columns weigh ``importance``."""
        magnitudes = np.abs(groups).astype(np.float64)
        chosen = magnitudes > 0.75 * magnitudes.mean(axis=-1, keepdims=True)
        for _ in range(_ITERATIONS):
            power = chosen @ importance
            total = (magnitudes * chosen) @ importance
            scale = np.divide(total, power, out=np.zeros_like(total), where=power > 0)
            chosen = magnitudes > scale[..., None] / 2
        return float16_scale(scale, 1)

    @override
    def round(
        self, weights: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        del zero_point
        return np.clip(np.rint(weights / scale), -1, 1).astype(np.int8)

    @override
    def restore(
        self, values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        del zero_point
        return values * np.asarray(scale, np.float32)

    def counts(self, values: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
        """The trits."""
        del zero_point
        return values.astype(np.float64)[..., None]

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        packed = _TRITS.pack(Codes(codes.values, np.ones((1, 1), np.float32)))["packed"]
        return {"packed": packed, "scale": codes.scale.astype(np.float16)}

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; what ``Ternary`` refuses is refused."""
        tensors = self.checked(tensors, shape)
        unit = np.ones((1, 1), np.float32)
        trits = _TRITS.unpack({"packed": tensors["packed"], "scale": unit}, shape).values
        return Codes(trits, tensors["scale"].astype(np.float32))

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``t * scale``, exact."""
        values = grouped(codes.values, self.group_size)
        return self.restore(values, codes.scale[:, :, None], None).reshape(codes.values.shape)
