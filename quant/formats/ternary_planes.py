"""Two planes of trits with a scale each per group: ternary for models that need more of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from .base import Codes, TensorLayout
from .codebook import Codebook
from .ternary import Ternary

__all__ = ["TernaryPlanes"]

_TRITS = Ternary(packing="base3")
_PLANES = 2
_UNIT = np.ones((1, 1), np.float32)
# Where a fit starts: ratio of the second scale to the first, and the largest level over absmax.
_STARTS = ((1 / 2, 0.8), (1 / 3, 0.8))


@dataclass(frozen=True)
class TernaryPlanes(Codebook):
    """``w = s_0 * t_0 + s_1 * t_1``, t in -1, 0, 1: PTQTP (arXiv 2509.16989), here also weighted.

    The paper's alternation of a ridge regression for the two scales and a search over all nine
    pairs of trits, up to 50 turns; here 10 from each of two starts. The ridge keeps unused
    scales where they were, so it need not grow with the condition number.

    ``Codes.values`` are the digits ``(t_0 + 1) + 3 * (t_1 + 1)``; ``Codes.scale`` [M, groups, 2]
    the scales. Stored: ``packed`` uint8 [M, 2, ceil(K / 5)], each plane as ``Ternary``'s base 3;
    ``scale`` float16 [M, K / group_size, 2].
    """

    name: ClassVar[str] = "ternary-planes"
    kernel: ClassVar[str] = "ternary-planes"
    parameters: ClassVar[int] = _PLANES
    iterations: ClassVar[int] = 10
    table: ClassVar[np.ndarray] = np.stack(
        [np.arange(9) % 3 - 1, np.arange(9) // 3 - 1], axis=1
    ).astype(float)

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        groups = K // self.group_size if self.group_size else 1
        row_bytes = _TRITS.layout(shape)["packed"].shape[1]
        return {
            "packed": TensorLayout(np.dtype(np.uint8), (M, _PLANES, row_bytes), per_row=True),
            "scale": TensorLayout(np.dtype(np.float16), (M, groups, _PLANES), per_row=True),
        }

    @override
    def starts(self, groups: np.ndarray) -> Iterator[np.ndarray]:
        absmax = np.abs(groups).max(axis=-1)
        for ratio, reach in _STARTS:
            first = reach * absmax / (1 + ratio)
            yield np.stack([first, ratio * first], axis=-1)

    def _canonical(self, parameters: np.ndarray) -> np.ndarray:
        """The sign of a scale is that of its trits; the larger scale comes first."""
        return -np.sort(-np.abs(parameters), axis=-1)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        planes = [_TRITS.pack(Codes(trits, _UNIT))["packed"] for trits in self.trits(codes.values)]
        return {"packed": np.stack(planes, axis=1), "scale": codes.scale.astype(np.float16)}

    def trits(self, values: np.ndarray) -> list[np.ndarray]:
        """The planes int8 [M, K] of the digits ``values``."""
        return [self.table[:, plane].astype(np.int8)[values] for plane in range(_PLANES)]

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; what ``Ternary`` refuses is refused."""
        tensors = self.checked(tensors, shape)
        values = np.zeros(shape, np.uint8)
        for plane in range(_PLANES):
            packed = np.ascontiguousarray(tensors["packed"][:, plane])
            trits = _TRITS.unpack({"packed": packed, "scale": _UNIT}, shape).values
            values += (trits + np.int8(1)).view(np.uint8) * np.uint8(3**plane)
        return Codes(values, tensors["scale"].astype(np.float32))
