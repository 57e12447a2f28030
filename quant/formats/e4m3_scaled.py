"""Four-bit codes with an E4M3 scale per group and one float32 number that divides all scales."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, Format, TensorLayout
from .bits import pack_bits, unpack_bits
from .fp8 import E4M3_MAX, E4M3_VALUES, to_e4m3
from .groups import grouped

__all__ = ["SMALLEST_E4M3", "E4m3Scaled", "e4m3_scale"]

SMALLEST_E4M3 = np.float32(2.0**-9)
_NAN = 0x7F   # and whatever has the sign bit


class E4m3Scaled(Format):
    """What NVFP4 and INT4 with FP8 scales share: ``w = value(code) * scale / global_scale``.

    Stored: ``packed`` uint8 [M, K / 2], the even column in the low nibble; ``scale`` uint8
    [M, K / columns], E4M3 bit patterns above zero; ``global_scale`` float32 [1, 1].
    """

    @property
    @abstractmethod
    def columns(self) -> int:
        """Columns that share a scale."""

    @abstractmethod
    def values(self, codes: np.ndarray) -> np.ndarray:
        """Float32 (or small integer) values of ``Codes.values``."""

    @abstractmethod
    def stored(self, codes: np.ndarray) -> np.ndarray:
        """Nibbles (uint8) of ``Codes.values``."""

    @abstractmethod
    def from_stored(self, nibbles: np.ndarray) -> np.ndarray:
        """Inverse of ``stored``."""

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        byte = np.dtype(np.uint8)
        return {
            "packed": TensorLayout(byte, (M, K // 2), per_row=True),
            "scale": TensorLayout(byte, (M, K // self.columns), per_row=True),
            "global_scale": TensorLayout(np.dtype(np.float32), (1, 1), per_row=False),
        }

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        assert codes.global_scale is not None, "these formats' codes have one"
        return {
            "packed": pack_bits(self.stored(codes.values), 4),
            "scale": to_e4m3(codes.scale),
            "global_scale": codes.global_scale,
        }

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; every nibble is a code."""
        tensors = self.checked(tensors, shape)
        values = self.from_stored(unpack_bits(tensors["packed"], 4))
        return Codes(values, E4M3_VALUES[tensors["scale"]], global_scale=tensors["global_scale"])

    @override
    def check_scale(self, scale: np.ndarray) -> None:
        if not ((scale > 0) & (scale < _NAN)).all():
            raise FormatError(f"{self.name} has a scale that is not an E4M3 number above zero")

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``value * (scale / global_scale)``, two roundings to float32."""
        step = codes.scale / codes.global_scale
        values = grouped(self.values(codes.values), self.columns)
        return (values * step[:, :, None]).astype(np.float32).reshape(codes.values.shape)


def e4m3_scale(wanted: np.ndarray) -> np.ndarray:
    """Float32 E4M3 numbers nearest to float32 ``wanted``, between 2**-9 and 448."""
    return E4M3_VALUES[to_e4m3(np.clip(wanted, SMALLEST_E4M3, np.float32(E4M3_MAX)))]
