"""NVFP4 weights: blocks of 16 E2M1 floats, an E4M3 scale for each, one float32 for the tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from .base import Codes
from .e2m1 import E2M1_MAX, E2M1_VALUES, to_e2m1
from .e4m3_scaled import E4m3Scaled, e4m3_scale
from .fp8 import E4M3_MAX
from .groups import check_blocks, grouped

__all__ = ["Nvfp4"]

# Between them every product stays a finite and normal float32.
_SMALLEST_GLOBAL = np.float32(E4M3_MAX * E2M1_MAX * 2.0**-128 * (1 + 2.0**-20))
_LARGEST_GLOBAL = np.float32(2.0**110)


@dataclass(frozen=True)
class Nvfp4(E4m3Scaled):
    """NVFP4: ``w = e2m1 * scale / global_scale`` in blocks of 16 columns.

    As compressed-tensors has it, the number for the tensor is a divisor:
    ``global_scale = float32(448 * 6 / absmax of the tensor)``, at most 2**110 (1 for zeros), and so
    that 6 * 448 / global_scale is finite; of a block ``scale = e4m3(absmax * global_scale / 6)``,
    at least 2**-9, and ``code = e2m1(w / (scale / global_scale))``, quotients rounded to float32.

    Stored: see ``E4m3Scaled``; a nibble is an E2M1 code.
    """

    name: ClassVar[str] = "nvfp4"
    kernel: ClassVar[str] = "nvfp4"

    @property
    def columns(self) -> int:
        """A group, whose columns share a scale, has 16."""
        return 16

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill blocks."""
        super().check(tensor, shape)
        check_blocks(tensor, shape[1], self.name, self.columns)

    def statistics(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """``global_scale``, float32 [1, 1]."""
        absmax = np.float64(max(np.abs(block).max() for block in blocks))
        wanted = np.float32(min(E4M3_MAX * E2M1_MAX / absmax, 2.0**126)) if absmax else 1
        return np.full((1, 1), np.clip(wanted, _SMALLEST_GLOBAL, _LARGEST_GLOBAL), np.float32)

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """E2M1 codes uint8 [R, K]; see the class for the rule."""
        global_scale = self.statistics([rows]) if statistics is None else statistics
        blocks = grouped(rows, self.columns)
        absmax = np.abs(blocks).max(axis=2)
        scale = e4m3_scale(absmax * global_scale / np.float32(E2M1_MAX))
        values = to_e2m1(blocks / (scale / global_scale)[:, :, None])
        return Codes(values.reshape(rows.shape), scale, global_scale=global_scale)

    @override
    def values(self, codes: np.ndarray) -> np.ndarray:
        return E2M1_VALUES[codes]

    @override
    def stored(self, codes: np.ndarray) -> np.ndarray:
        return codes

    @override
    def from_stored(self, nibbles: np.ndarray) -> np.ndarray:
        return nibbles
