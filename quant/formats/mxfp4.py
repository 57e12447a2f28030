"""MXFP4 weights: blocks of 32 E2M1 floats with a power of two as scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, Format, TensorLayout
from .bits import pack_bits, unpack_bits
from .e2m1 import E2M1_VALUES, to_e2m1
from .groups import check_blocks, grouped

__all__ = ["Mxfp4"]

_LARGEST_SCALE = 252   # 6 * 2**125 is the largest float32 that a block can hold
_BIAS = 127
_MANTISSA_BITS = 23
_QUARTER = 1 << 21         # 0.25 of a mantissa, 1.0 to 2.0
_ONE_AND_A_HALF = 1 << 22  # the mantissa bits of 1.5
# What is added to the bits of absmax before its exponent is taken.
_ROUND_UP = {"floor": 0, "even": _QUARTER, "ceil": _ONE_AND_A_HALF - 1}


@dataclass(frozen=True)
class Mxfp4(Format):
    """MXFP4 (OCP Microscaling Formats v1.0): ``w = e2m1 * 2**(e - 127)`` in blocks of 32 columns.

    The scale X of a block is a power of two from its absmax, by ``scale_rule``:

    - ``floor``: ``2**(floor(log2(absmax)) - 2)``, section 6.3 of the standard, and ggml's. Weights
      above 6 X become 6 X.
    - ``even``: the same, doubled where the mantissa of absmax is 1.75 or more, which would be
      rounded up: compressed-tensors and vLLM.
    - ``ceil``: the smallest X with ``6 X >= absmax``: nothing is cut off.

    Codes are E2M1 of ``w / X``, exact up to the rounding. X is between 2**-127 (also of zeros) and
    2**125.

    Stored: ``packed`` uint8 [M, K / 2], the even column in the low nibble; ``scale`` uint8
    [M, K / 32], E8M0: the exponent e, 0 to 252.
    """

    name: ClassVar[str] = "mxfp4"
    kernel: ClassVar[str] = "mxfp4"
    block: ClassVar[int] = 32

    scale_rule: Literal["floor", "even", "ceil"] = "even"

    def __post_init__(self) -> None:
        """Check the parameter."""
        if self.scale_rule not in list(_ROUND_UP):
            raise FormatError(
                f"mxfp4: scale_rule must be 'floor', 'even' or 'ceil', not {self.scale_rule!r}"
            )

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill blocks."""
        super().check(tensor, shape)
        check_blocks(tensor, shape[1], self.name, self.block)

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        byte = np.dtype(np.uint8)
        return {
            "packed": TensorLayout(byte, (M, K // 2), per_row=True),
            "scale": TensorLayout(byte, (M, K // self.block), per_row=True),
        }

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """E2M1 codes uint8 [R, K]; see the class for the rule."""
        del statistics
        blocks = grouped(rows, self.block)
        absmax = np.abs(blocks).max(axis=2).view(np.uint32)
        exponent = (absmax + np.uint32(_ROUND_UP[self.scale_rule])) >> _MANTISSA_BITS
        exponent = np.clip(exponent.astype(np.int32) - 2, 0, _LARGEST_SCALE)
        scale = _power(exponent)
        values = to_e2m1(blocks / scale[:, :, None])
        return Codes(values.reshape(rows.shape), scale)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        exponent = np.frexp(codes.scale)[1] - 1 + _BIAS
        return {"packed": pack_bits(codes.values, 4), "scale": exponent.astype(np.uint8)}

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; every nibble is a code."""
        tensors = self.checked(tensors, shape)
        return Codes(unpack_bits(tensors["packed"], 4), _power(tensors["scale"]))

    def check_scale(self, scale: np.ndarray) -> None:
        """Refuse 255, which is NaN, and 253 and 254, which stand for more than a float32."""
        if scale.max() > _LARGEST_SCALE:
            raise FormatError(
                f"mxfp4: a scale is {scale.max()}; an E8M0 scale here is 0 to {_LARGEST_SCALE}"
            )

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``e2m1 * scale``, exact (float32 has the subnormals that the smallest scales need)."""
        values = grouped(E2M1_VALUES[codes.values], self.block)
        return (values * codes.scale[:, :, None]).reshape(codes.values.shape)


def _power(exponent: np.ndarray) -> np.ndarray:
    """Float32 2**(exponent - 127)."""
    return np.ldexp(np.float32(1), exponent.astype(np.int32) - _BIAS)
