"""One row per number format and parameter set: what the common tests know of it."""

from dataclasses import dataclass

import numpy as np

from trilobite.quant.formats import (
    Format,
    Fp8,
    GroupedTernary,
    Hlq2,
    Hlq3,
    Int2,
    Int3,
    Int4,
    Int4Fp8,
    Int8,
    Mxfp4,
    Nvfp4,
    Ternary,
    TernaryPlanes,
    parse_format,
)


@dataclass(frozen=True)
class FormatCase:
    """A format, with what is promised about it.

    ``gaussian_nmse`` is ||W - W'||^2 / ||W||^2 on a 2048 x 1024 standard normal matrix of seed 0;
    ``stored_bits`` are bits per weight of that matrix, scales included.
    """

    format: Format   # or its string
    gaussian_nmse: float
    stored_bits: float
    columns: int = 1          # K must be a multiple of this
    idempotent: bool = True   # quantizing what was dequantized gives the same codes

    def __post_init__(self):
        object.__setattr__(self, "format", parse_format(self.format))

    def __str__(self) -> str:
        parameters = ",".join(f"{v}" for k, v in self.format.spec().items() if k != "format")
        return f"{self.format.name}({parameters})"


def nmse(quantized: np.ndarray, weight: np.ndarray) -> float:
    """||quantized - weight||^2 / ||weight||^2."""
    error = quantized.astype(np.float64) - weight
    return np.square(error).sum() / np.square(weight, dtype=np.float64).sum()


_SCALE_PER_ROW = 32 / 1024
_SCALE_PER_TENSOR = 32 / (2048 * 1024)

FORMAT_TABLE = [
    FormatCase(Ternary("base3"), 0.2636, 8 * 205 / 1024 + _SCALE_PER_TENSOR),
    FormatCase(Ternary("2bit"), 0.2636, 2 + _SCALE_PER_TENSOR),
    FormatCase(GroupedTernary(128), 0.1872, 1.6015625 + 16 / 128, columns=128, idempotent=False),
    FormatCase(GroupedTernary(32), 0.1780, 1.6015625 + 16 / 32, columns=32, idempotent=False),
    FormatCase(GroupedTernary(None), 0.1899, 1.6015625 + 16 / 1024, columns=8, idempotent=False),
    FormatCase(TernaryPlanes(128), 0.0256, 2 * 1.6015625 + 32 / 128, columns=128),
    FormatCase(TernaryPlanes(None), 0.0296, 2 * 1.6015625 + 32 / 1024),
    FormatCase(Hlq2(128), 0.1090, 2 + 48 / 128, columns=128),
    FormatCase(Hlq3(None), 0.0369, 3 + 64 / 1024, columns=8),
    FormatCase(Int4(128), 0.0138, 4 + 16 / 128, columns=128),
    FormatCase(Int4(64), 0.0116, 4 + 16 / 64, columns=64),
    FormatCase(Int4(32), 0.0094, 4 + 16 / 32, columns=32),
    FormatCase(Int4(None), 0.0203, 4 + 16 / 1024, columns=2),
    FormatCase(Int4(128, symmetric=False), 0.0100, 4 + 24 / 128, columns=128, idempotent=False),
    FormatCase(Int4(32, symmetric=False), 0.0065, 4 + 24 / 32, columns=32, idempotent=False),
    FormatCase(Int4(None, symmetric=False), 0.0157, 4 + 24 / 1024, columns=2, idempotent=False),
    FormatCase(Int3(128), 0.0464, 3 + 24 / 128, columns=128, idempotent=False),
    FormatCase(Int3(32), 0.0300, 3 + 24 / 32, columns=32, idempotent=False),
    FormatCase(Int3(None), 0.0720, 3 + 24 / 1024, columns=8, idempotent=False),
    FormatCase(Int3(64, symmetric=True), 0.0631, 3 + 16 / 64, columns=64),
    FormatCase(Int2(128), 0.2532, 2 + 24 / 128, columns=128, idempotent=False),
    FormatCase(Int2(32), 0.1651, 2 + 24 / 32, columns=32, idempotent=False),
    FormatCase(Int2(None), 0.3839, 2 + 24 / 1024, columns=4, idempotent=False),
    FormatCase(Int2(64, symmetric=True), 0.5149, 2 + 16 / 64, columns=64),
    FormatCase(Int8(), 0.000061, 8 + _SCALE_PER_ROW),
    FormatCase(Fp8("row"), 0.0007, 8 + _SCALE_PER_ROW),
    FormatCase(Fp8("tensor"), 0.0007, 8 + _SCALE_PER_TENSOR),
    FormatCase(Mxfp4("floor"), 0.0132, 4 + 8 / 32, columns=32),
    FormatCase(Mxfp4("even"), 0.0125, 4 + 8 / 32, columns=32),
    FormatCase(Mxfp4("ceil"), 0.0133, 4 + 8 / 32, columns=32, idempotent=False),
    FormatCase(Nvfp4(), 0.0090, 4 + 8 / 16 + _SCALE_PER_TENSOR, columns=16, idempotent=False),
    FormatCase(
        Int4Fp8(128), 0.0138, 4 + 8 / 128 + _SCALE_PER_TENSOR, columns=128, idempotent=False
    ),
    FormatCase(
        Int4Fp8(128, "fireq"), 0.0138, 4 + 8 / 128 + _SCALE_PER_TENSOR, columns=128,
        idempotent=False,
    ),
    FormatCase(Int4Fp8(32), 0.0094, 4 + 8 / 32 + _SCALE_PER_TENSOR, columns=32, idempotent=False),
]
