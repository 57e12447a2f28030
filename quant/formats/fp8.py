"""FP8 weights: E4M3FN floats, one float32 scale per row or per tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, Format, TensorLayout
from .scales import float32_scale

__all__ = ["E4M3_MAX", "E4M3_VALUES", "Fp8", "to_e4m3"]

E4M3_MAX = 448.0


def _e4m3_values() -> np.ndarray:
    """float32 [256]: the number of each bit pattern; 0x7F and 0xFF are NaN, there is no infinity.

    Sign 1 bit, exponent 4 bits with bias 7, mantissa 3 bits; exponent 0 holds the subnormals,
    multiples of 2**-9.
    """
    codes = np.arange(128)
    exponent, mantissa = codes >> 3, codes & 7
    magnitude = np.where(
        exponent == 0,
        mantissa * 2.0**-9,
        (8 + mantissa) * 2.0 ** (exponent - 10),
    )
    magnitude[0x7F] = np.nan
    return np.concatenate([magnitude, -magnitude]).astype(np.float32)


E4M3_VALUES = _e4m3_values()


@dataclass(frozen=True)
class Fp8(Format):
    """FP8 E4M3FN: ``scale = absmax / 448`` per row or per tensor, code = e4m3(w / scale).

    The number format is that of Micikevicius et al. 2022, "FP8 Formats for Deep Learning" (arXiv
    2209.05433).

    The float32 quotient is clipped to [-448, 448] and rounded to nearest, ties to even. Rows (or
    tensors) of zeros have the smallest scale (see ``float32_scale``).

    Stored: ``packed`` uint8 [M, K], the bit patterns; ``scale`` float32 [M, 1] or [1, 1].
    """

    name: ClassVar[str] = "fp8"
    kernel: ClassVar[str] = "fp8"

    granularity: Literal["row", "tensor"] = "row"

    def __post_init__(self) -> None:
        """Check the parameter."""
        if self.granularity not in ["row", "tensor"]:
            raise FormatError(
                f"fp8: granularity must be 'row' or 'tensor', not {self.granularity!r}"
            )

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        per_row = self.granularity == "row"
        scale = (shape[0], 1) if per_row else (1, 1)
        return {
            "packed": TensorLayout(np.dtype(np.uint8), shape, per_row=True),
            "scale": TensorLayout(np.dtype(np.float32), scale, per_row=per_row),
        }

    def statistics(self, blocks: Iterable[np.ndarray]) -> np.ndarray | None:
        """The tensor's scale, float32 [1, 1]; None per row."""
        if self.granularity == "row":
            return None
        return self._tensor_scale(blocks)

    @staticmethod
    def _tensor_scale(blocks: Iterable[np.ndarray]) -> np.ndarray:
        absmax = max(np.abs(block).max() for block in blocks)
        return float32_scale(np.full((1, 1), absmax, np.float32), E4M3_MAX)

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """Bit patterns uint8 [R, K]; see the class for the rule."""
        if self.granularity == "tensor":
            scale = self._tensor_scale([rows]) if statistics is None else statistics
        else:
            scale = float32_scale(np.abs(rows).max(axis=1, keepdims=True), E4M3_MAX)
        quotients = rows / scale
        np.clip(quotients, -E4M3_MAX, E4M3_MAX, out=quotients)
        return Codes(to_e4m3(quotients), scale)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        return {"packed": codes.values, "scale": codes.scale}

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; the two NaN patterns are no codes."""
        tensors = self.checked(tensors, shape)
        if (tensors["packed"] & 0x7F == 0x7F).any():
            raise FormatError("fp8: a code is NaN (0x7F or 0xFF)")
        return Codes(tensors["packed"], tensors["scale"])

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``e4m3 * scale``, rounded to float32."""
        return E4M3_VALUES[codes.values] * codes.scale


def to_e4m3(numbers: np.ndarray) -> np.ndarray:
    """E4M3FN bit patterns (uint8) of float32 ``numbers`` within [-448, 448]; ties to even.

    Normal results: half an ulp (its low bit decides ties) is added to the float32 bit pattern,
    whose upper 12 bits are then sign, exponent and mantissa with bias 127 instead of 7. Results
    below 2**-6 are integers times 2**-9.
    """
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    magnitude = bits & 0x7FFFFFFF
    normal = magnitude + (((magnitude >> 20) & 1) + 0x7FFFF)
    normal = (normal >> 20) - ((127 - 7) << 3)
    subnormal = np.rint(np.minimum(np.abs(numbers), 2.0**-6) * 2.0**9)
    code = np.where(magnitude < (127 - 6) << 23, subnormal.astype(np.uint32), normal)
    return (code | (bits >> 24 & 0x80)).astype(np.uint8)
