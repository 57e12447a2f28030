"""INT8 weights: eight-bit integers, one float32 scale per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, Format, TensorLayout
from .scales import float32_scale

__all__ = ["Int8"]


@dataclass(frozen=True)
class Int8(Format):
    """INT8, symmetric, per row: ``scale = absmax / 127``, ``q = clip(rint(w / scale), -127, 127)``.

    Quotients are float32. A row of zeros has the smallest scale (see ``float32_scale``).

    Stored: ``packed`` int8 [M, K], never -128; ``scale`` float32 [M, 1].
    """

    name: ClassVar[str] = "int8"
    kernel: ClassVar[str] = "int8"

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        return {
            "packed": TensorLayout(np.dtype(np.int8), shape, per_row=True),
            "scale": TensorLayout(np.dtype(np.float32), (shape[0], 1), per_row=True),
        }

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """int8 [R, K]; see the class for the rule."""
        del statistics
        scale = float32_scale(np.abs(rows).max(axis=1, keepdims=True), 127)
        quotients = rows / scale
        np.rint(quotients, out=quotients)
        np.clip(quotients, -127, 127, out=quotients)
        return Codes(quotients.astype(np.int8), scale)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        return {"packed": codes.values, "scale": codes.scale}

    def verify(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> None:
        """Refuse -128, which is no code."""
        if self.checked(tensors, shape)["packed"].min() == -128:
            raise FormatError("int8: code -128; symmetric codes go from -127 to 127")

    @override
    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        self.verify(tensors, shape)
        return Codes(tensors["packed"], tensors["scale"])

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``q * scale``, rounded to float32."""
        return codes.values * codes.scale
