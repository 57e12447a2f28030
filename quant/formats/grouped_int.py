"""INT4, INT3 and INT2 weights: integers of a few bits, one float16 scale per group of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, TensorLayout
from .bits import columns_per_unit, pack_bits, unpack_bits
from .group_format import GroupFormat
from .groups import GroupSize, check_columns, check_group_size, grouped
from .scales import float16_scale

__all__ = ["GroupedInt", "Int2", "Int3", "Int4"]


@dataclass(frozen=True)
class GroupedInt(GroupFormat):
    """Integers of ``bits`` bits in groups of ``group_size`` columns (None: one group per row).

    Symmetric, with ``half = 2**(bits - 1)``: ``scale = float16(absmax / (half - 1))``,
    ``q = clip(rint(w / scale), -half, half - 1)``, stored as q + half. Asymmetric, with
    ``top = 2**bits - 1``, ``low = min(0, min w)`` and ``high = max(0, max w)``:
    ``scale = float16((high - low) / top)``, ``zero_point = clip(rint(-low / scale), 0, top)``,
    ``q = clip(rint(w / scale) + zero_point, 0, top)``; zero is always exact. Quotients are float32
    and use the rounded scale; see ``float16_scale`` for groups of zeros, tiny and huge values.

    Stored: ``packed`` uint8 [M, K * bits / 8], a stream of bits (see ``pack_bits``); ``scale``
    float16 [M, K / group_size]; asymmetric also ``zero_point`` uint8 [M, K / group_size], 0 to
    ``top``.
    """

    bits: ClassVar[int]
    opposites: ClassVar[Mapping[str, str]] = {"symmetric": "asymmetric"}

    group_size: GroupSize = 128
    symmetric: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_group_size(self.name, self.group_size)
        if type(self.symmetric) is not bool:
            raise FormatError(
                f"{self.name}: symmetric must be true or false, not {self.symmetric!r}"
            )

    @property
    def code_type(self) -> type:
        """The type of ``Codes.values``."""
        return np.int8 if self.symmetric else np.uint8

    @property
    def top(self) -> int:
        """The largest stored code."""
        return 2**self.bits - 1

    @property
    def half(self) -> int:
        """What is added to a symmetric code before it is stored."""
        return 2 ** (self.bits - 1)

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill groups, and whole bytes."""
        super().check(tensor, shape)
        check_columns(tensor, shape[1], self.group_size)
        unit = columns_per_unit(self.bits)
        if shape[1] % unit:
            raise FormatError(
                f"{tensor}: K = {shape[1]} is not a multiple of {unit}, the columns that fill "
                f"whole bytes in {self.name}; use int8 or fp8"
            )

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        groups = K // self.group_size if self.group_size else 1
        layout = {
            "packed": TensorLayout(np.dtype(np.uint8), (M, K * self.bits // 8), per_row=True),
            "scale": TensorLayout(np.dtype(np.float16), (M, groups), per_row=True),
        }
        if not self.symmetric:
            layout["zero_point"] = TensorLayout(np.dtype(np.uint8), (M, groups), per_row=True)
        return layout

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """int8 -half..half - 1 (symmetric) or uint8 0..top; see the class for the rule."""
        del statistics
        groups = grouped(rows, self.group_size)
        scale, zero_point = self.fit(groups.min(axis=2), groups.max(axis=2))
        values = self.round(
            groups, scale[:, :, None], None if zero_point is None else zero_point[:, :, None]
        )
        return Codes(values.reshape(rows.shape), scale, zero_point)

    def fit(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Scale (float32) and zero point (uint8, or None) of groups that span ``low`` to ``high``.

        All of one shape. Raises ``FormatError`` where float16 cannot hold a scale.
        """
        if self.symmetric:
            return float16_scale(np.maximum(np.abs(low), np.abs(high)), self.half - 1), None
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = float16_scale(np.subtract(high, low, dtype=np.float64), self.top)
        return scale, np.clip(np.rint(-low / scale), 0, self.top).astype(np.uint8)

    @override
    def round(
        self, weights: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        quotients = np.rint(weights / scale)
        if zero_point is None:
            return np.clip(quotients, -self.half, self.half - 1, out=quotients).astype(np.int8)
        quotients += zero_point
        return np.clip(quotients, 0, self.top, out=quotients).astype(np.uint8)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        values = codes.values
        unsigned = (values + np.int8(self.half)).view(np.uint8) if self.symmetric else values
        tensors = {
            "packed": pack_bits(unsigned, self.bits),
            "scale": codes.scale.astype(np.float16),
        }
        if codes.zero_point is not None:
            tensors["zero_point"] = codes.zero_point
        return tensors

    def verify(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> None:
        """Look at the zero points, which may be above ``top``; every byte holds codes."""
        tensors = self.checked(tensors, shape)
        if not self.symmetric and tensors["zero_point"].max() > self.top:
            raise FormatError(
                f"{self.name}: zero point {tensors['zero_point'].max()} is above {self.top}"
            )

    @override
    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        self.verify(tensors, shape)
        unsigned = unpack_bits(tensors["packed"], self.bits)
        scale = tensors["scale"].astype(np.float32)
        if self.symmetric:
            return Codes(unsigned.view(np.int8) - np.int8(self.half), scale)
        zero_point = tensors["zero_point"]
        return Codes(unsigned, scale, zero_point)

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``(q - zero_point) * scale``, exact."""
        zero_point = None if codes.zero_point is None else codes.zero_point[:, :, None]
        values = grouped(codes.values, self.group_size)
        return self.restore(values, codes.scale[:, :, None], zero_point).reshape(codes.values.shape)

    @override
    def restore(
        self, values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        weights = values.astype(np.float32)
        if zero_point is not None:
            weights -= zero_point
        weights *= scale
        return weights

    def counts(self, values: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
        """The codes, each above its zero point."""
        counted = self.restore(values, np.ones((), np.float32), zero_point)
        return counted.astype(np.float64)[..., None]


@dataclass(frozen=True)
class Int4(GroupedInt):
    """INT4: symmetric codes -8 to 7, asymmetric 0 to 15; two to a byte."""

    name: ClassVar[str] = "int4"
    kernel: ClassVar[str] = "int4"
    bits: ClassVar[int] = 4


@dataclass(frozen=True)
class Int3(GroupedInt):
    """INT3: asymmetric codes 0 to 7, symmetric -4 to 3; eight to three bytes."""

    name: ClassVar[str] = "int3"
    kernel: ClassVar[str] = "narrow"
    bits: ClassVar[int] = 3

    symmetric: bool = False


@dataclass(frozen=True)
class Int2(GroupedInt):
    """INT2: asymmetric codes 0 to 3, symmetric -2 to 1; four to a byte."""

    name: ClassVar[str] = "int2"
    kernel: ClassVar[str] = "narrow"
    bits: ClassVar[int] = 2

    symmetric: bool = False
