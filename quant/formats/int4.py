"""INT4 weights: four-bit integers, one float16 scale per group of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import FormatError
from .base import Codes, Format, TensorLayout
from .scales import float16_scale

__all__ = ["GROUP_SIZES", "Int4"]

GROUP_SIZES = (32, 64, 128)


@dataclass(frozen=True)
class Int4(Format):
    """INT4 in groups of ``group_size`` columns (None: one group per row).

    Symmetric: ``scale = float16(absmax / 7)``, ``q = clip(rint(w / scale), -8, 7)``, stored as
    q + 8. Asymmetric, with ``low = min(0, min w)`` and ``high = max(0, max w)``:
    ``scale = float16((high - low) / 15)``, ``zero_point = clip(rint(-low / scale), 0, 15)``,
    ``q = clip(rint(w / scale) + zero_point, 0, 15)``; zero is always exact. Quotients are float32
    and use the rounded scale; see ``float16_scale`` for groups of zeros, tiny and huge values.

    Stored: ``packed`` uint8 [M, K/2], even column in the low nibble; ``scale`` float16
    [M, K/group_size]; asymmetric also ``zero_point`` uint8 [M, K/group_size], 0 to 15.
    """

    name: ClassVar[str] = "int4"

    group_size: int | None = 128
    symmetric: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        size = self.group_size
        if size is not None and (type(size) is not int or size not in GROUP_SIZES):
            raise FormatError(f"int4: group_size must be 32, 64, 128 or None (row), not {size!r}")
        if type(self.symmetric) is not bool:
            raise FormatError(f"int4: symmetric must be true or false, not {self.symmetric!r}")

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """See ``Format.check``; K must be a multiple of the group size, and even."""
        super().check(tensor, shape)
        K = shape[1]
        if K % 2:
            raise FormatError(
                f"{tensor}: K = {K} is odd, and int4 stores two columns to a byte; use int8 or fp8"
            )
        if self.group_size and K % self.group_size:
            fitting = [str(size) for size in GROUP_SIZES if K % size == 0]
            raise FormatError(
                f"{tensor}: K = {K} is not a multiple of the group size {self.group_size}; "
                f"what fits: {', '.join([*fitting, 'one group per row'])}"
            )

    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        """See ``Format.layout``."""
        M, K = shape
        groups = K // self.group_size if self.group_size else 1
        layout = {
            "packed": TensorLayout(np.dtype(np.uint8), (M, K // 2), per_row=True),
            "scale": TensorLayout(np.dtype(np.float16), (M, groups), per_row=True),
        }
        if not self.symmetric:
            layout["zero_point"] = TensorLayout(np.dtype(np.uint8), (M, groups), per_row=True)
        return layout

    def encode(self, rows: np.ndarray, statistics: np.ndarray | None = None) -> Codes:
        """int8 -8..7 (symmetric) or uint8 0..15; see the class for the rule."""
        del statistics
        grouped = self._grouped(rows)
        if self.symmetric:
            scale = float16_scale(np.abs(grouped).max(axis=2), 7)
            quotients = np.rint(grouped / scale[:, :, None])
            values = np.clip(quotients, -8, 7, out=quotients).astype(np.int8)
            return Codes(values.reshape(rows.shape), scale)
        low = np.minimum(grouped.min(axis=2), 0)
        high = np.maximum(grouped.max(axis=2), 0)
        scale = float16_scale(np.subtract(high, low, dtype=np.float64), 15)
        zero_point = np.clip(np.rint(-low / scale), 0, 15)
        quotients = np.rint(grouped / scale[:, :, None])
        quotients += zero_point[:, :, None]
        values = np.clip(quotients, 0, 15, out=quotients).astype(np.uint8)
        return Codes(values.reshape(rows.shape), scale, zero_point.astype(np.uint8))

    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        """See ``Format.pack``."""
        nibbles = (codes.values + 8).view(np.uint8) if self.symmetric else codes.values
        tensors = {
            "packed": nibbles[:, 0::2] | (nibbles[:, 1::2] << 4),
            "scale": codes.scale.astype(np.float16),
        }
        if codes.zero_point is not None:
            tensors["zero_point"] = codes.zero_point
        return tensors

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """See ``Format.unpack``; every nibble is a code, a zero point above 15 is not."""
        tensors = self.checked(tensors, shape)
        nibbles = np.empty(shape, np.uint8)
        nibbles[:, 0::2] = tensors["packed"] & 0x0F
        nibbles[:, 1::2] = tensors["packed"] >> 4
        scale = tensors["scale"].astype(np.float32)
        if self.symmetric:
            return Codes(nibbles.view(np.int8) - np.int8(8), scale)
        zero_point = tensors["zero_point"]
        if zero_point.max() > 15:
            raise FormatError(f"int4: zero point {zero_point.max()} is above 15")
        return Codes(nibbles, scale, zero_point)

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``(q - zero_point) * scale``, exact."""
        weight = self._grouped(codes.values.astype(np.float32))
        if codes.zero_point is not None:
            weight = weight - codes.zero_point[:, :, None]
        return (weight * codes.scale[:, :, None]).reshape(codes.values.shape)

    def _grouped(self, rows: np.ndarray) -> np.ndarray:
        """A view [R, groups, group size] of rows [R, K]."""
        return rows.reshape(rows.shape[0], -1, self.group_size or rows.shape[1])
