"""INT4 weights with E4M3 scales, as FireQ multiplies them with FP8 activations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes
from .e4m3_scaled import SMALLEST_E4M3, E4m3Scaled, e4m3_scale
from .fp8 import E4M3_MAX
from .groups import GROUP_SIZES, check_columns, grouped
from .parameters import Choices

__all__ = ["Int4Fp8"]

_TOP = 7
_RESCUES = 15                 # FireQ tries 2**0 to 2**14
_LARGEST_POWER = 120
_ENOUGH = _TOP * SMALLEST_E4M3   # absmax of a group whose scale is the smallest E4M3 number


@dataclass(frozen=True)
class Int4Fp8(E4m3Scaled):
    """FireQ (arXiv 2505.20839): ``w = q * scale / global_scale`` in groups of ``group_size``.

    With t the global scale, a power of two: ``scale = e4m3(absmax * t / 7)`` of the group, between
    2**-9 and 448, and ``q = clip(rint(w / (scale / t)), -8, 7)``. t is, by ``tensor_scale``:

    - ``largest``: as large as leaves every scale below 448. E4M3 has its full three bits of
      mantissa above 2**-6 only, which the scales of most weights (0.05 / 7) are below with t = 1.
    - ``fireq``: the paper's rescue. Of 1, 2, 4, ... 2**14, as long as t * absmax is at most 448 in
      the whole tensor, the smallest with the smallest sum of ``7 * 2**-9 - t * absmax`` over the
      groups for which that is above zero. (t = 1/2 and less only where 448 would not do.)

    Activations are FP8 too: see ``numerics.quantize_activation_fp8``.

    Stored: see ``E4m3Scaled``; a nibble is q + 8.
    """

    name: ClassVar[str] = "int4-fp8"
    kernel: ClassVar[str] = "int4-fp8"

    group_size: Annotated[int, Choices(GROUP_SIZES)] = 128
    tensor_scale: Literal["largest", "fireq"] = "largest"

    def __post_init__(self) -> None:
        """Check the parameters."""
        if type(self.group_size) is not int or self.group_size not in GROUP_SIZES:
            raise FormatError(
                f"int4-fp8: group_size must be 32, 64 or 128, not {self.group_size!r}"
            )
        if self.tensor_scale not in ["largest", "fireq"]:
            raise FormatError(
                f"int4-fp8: tensor_scale must be 'largest' or 'fireq', not {self.tensor_scale!r}"
            )

    @property
    def columns(self) -> int:
        """Columns that share a scale."""
        return self.group_size

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must fill groups."""
        super().check(tensor, shape)
        check_columns(tensor, shape[1], self.group_size, one_per_row=False)

    def statistics(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """t, float32 [1, 1]."""
        largest = 0.0
        # By rows, so that blocks do not show.
        missing: list[list[float]] = [[] for _ in range(_RESCUES)]
        for block in blocks:
            absmax = np.abs(grouped(block, self.group_size)).max(axis=2).astype(np.float64)
            largest = max(largest, float(absmax.max()))
            for power in range(_RESCUES if self.tensor_scale == "fireq" else 0):
                lacking = np.maximum(_ENOUGH - absmax * 2.0**power, 0).sum(axis=1)
                missing[power] += lacking[lacking > 0].tolist()
        fitting = _largest_power(largest, E4M3_MAX * _TOP)
        if self.tensor_scale == "fireq":
            tried = range(min(_largest_power(largest, E4M3_MAX), _RESCUES - 1) + 1)
            rescue = min(tried, key=lambda power: math.fsum(missing[power]), default=0)
            fitting = min(fitting, rescue)
        return np.full((1, 1), 2.0**fitting, np.float32)

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """Q int8 [R, K]; see the class for the rule."""
        t = self.statistics([rows]) if statistics is None else statistics
        groups = grouped(rows, self.group_size)
        scale = e4m3_scale(np.abs(groups).max(axis=2) * t / np.float32(_TOP))
        quotients = groups / (scale / t)[:, :, None]
        np.rint(quotients, out=quotients)
        np.clip(quotients, -_TOP - 1, _TOP, out=quotients)
        return Codes(quotients.astype(np.int8).reshape(rows.shape), scale, global_scale=t)

    @override
    def values(self, codes: np.ndarray) -> np.ndarray:
        return codes

    @override
    def stored(self, codes: np.ndarray) -> np.ndarray:
        return (codes + np.int8(_TOP + 1)).view(np.uint8)

    @override
    def from_stored(self, nibbles: np.ndarray) -> np.ndarray:
        return nibbles.view(np.int8) - np.int8(_TOP + 1)


def _largest_power(absmax: float, limit: float) -> int:
    """The largest i with ``absmax * 2**i <= limit``, at most ``_LARGEST_POWER``."""
    if absmax == 0:
        return 0
    power = math.frexp(limit / absmax)[1] - 1
    if absmax * 2.0**power > limit:   # where the quotient was rounded up to a power of two
        power -= 1
    return min(power, _LARGEST_POWER)
