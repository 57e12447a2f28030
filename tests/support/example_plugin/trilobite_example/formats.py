"""INT8 with scales that are powers of two."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from trilobite.quant.formats import Codes, Int8


@dataclass(frozen=True)
class Int8Pow2(Int8):
    """INT8 whose scale is the power of two nearest above absmax / 127; ``margin`` raises it by one.

    Stored as INT8 is, and multiplied by its kernel.
    """

    name: ClassVar[str] = "int8-pow2"

    margin: Literal["none", "one"] = "none"

    @override
    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        del statistics
        absmax = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(2.0**-100))
        exponent = np.ceil(np.log2(absmax / np.float32(127))) + (self.margin == "one")
        scale = np.exp2(exponent).astype(np.float32)
        return Codes(np.clip(np.rint(rows / scale), -127, 127).astype(np.int8), scale)
