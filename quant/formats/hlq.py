"""HLQ weights: a free scale for each bit of a code, and an offset, per group of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, TensorLayout
from .bits import pack_bits, unpack_bits
from .codebook import Codebook
from .group_format import LARGEST_FLOAT16

__all__ = ["Hlq", "Hlq2", "Hlq3"]

_RANGES = (1.0, 0.6)   # of a group, that the levels span where a fit starts


@dataclass(frozen=True)
class Hlq(Codebook):
    """Half-linear quantization of ELUTQ (arXiv 2510.19482): ``w = z + sum over b of s_b * bit_b``.

    The alternating fit of the paper, ten turns, from evenly spaced levels (``s_b = 2**b s``) over
    the whole range of the group, as in the paper, and over the middle 0.6 of it. Scales are above
    zero and rise with b.

    ``Codes.values`` are the codes, bit b counting s_b; ``Codes.scale`` [M, groups, bits + 1] the
    scales, then the offset z. Stored: ``packed`` uint8 [M, bits, K / 8], plane b holding bit b of
    every code, column k in bit k % 8 of byte k / 8; ``scale`` float16 [M, K / group_size, bits];
    ``offset`` float16 [M, K / group_size].
    """

    kernel: ClassVar[str] = "hlq"
    bits: ClassVar[int]
    iterations: ClassVar[int] = 10

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Refuse what ``Format.check`` refuses; K must also fill whole bytes of every plane."""
        super().check(tensor, shape)
        if shape[1] % 8:
            raise FormatError(
                f"{tensor}: K = {shape[1]} is not a multiple of 8, the columns of a byte of a bit "
                f"plane of {self.name}; use int8 or fp8"
            )

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        groups = K // self.group_size if self.group_size else 1
        half = np.dtype(np.float16)
        return {
            "packed": TensorLayout(np.dtype(np.uint8), (M, self.bits, K // 8), per_row=True),
            "scale": TensorLayout(half, (M, groups, self.bits), per_row=True),
            "offset": TensorLayout(half, (M, groups), per_row=True),
        }

    @override
    def starts(self, groups: np.ndarray) -> Iterator[np.ndarray]:
        low, high = groups.min(axis=-1), groups.max(axis=-1)
        for fraction in _RANGES:
            step = fraction * (high - low) / (2**self.bits - 1)
            middle = (high + low) / 2
            offset = middle - fraction * (high - low) / 2
            yield np.stack([*(step * 2**b for b in range(self.bits)), offset], axis=-1)

    def _canonical(self, parameters: np.ndarray) -> np.ndarray:
        """A scale below zero is one above it whose bit is inverted."""
        scales, offset = parameters[..., :-1], parameters[..., -1:]
        offset = offset + np.minimum(scales, 0).sum(axis=-1, keepdims=True)
        return np.concatenate([np.sort(np.abs(scales), axis=-1), offset], axis=-1)

    def storable(self, parameters: np.ndarray) -> np.ndarray:
        """The parameters as they are stored; the offset may have either sign."""
        stored = super().storable(parameters)
        offset = np.clip(parameters[..., -1], -LARGEST_FLOAT16, LARGEST_FLOAT16)
        stored[..., -1] = offset.astype(np.float16)
        return stored

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        planes = [pack_bits((codes.values >> b) & np.uint8(1), 1) for b in range(self.bits)]
        scale = codes.scale.astype(np.float16)
        return {
            "packed": np.stack(planes, axis=1),
            "scale": np.ascontiguousarray(scale[:, :, :-1]),
            "offset": np.ascontiguousarray(scale[:, :, -1]),
        }

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; every byte holds codes, but an offset may not be finite."""
        tensors = self.checked(tensors, shape)
        if not np.isfinite(tensors["offset"]).all():
            raise FormatError(f"{self.name} has an offset that is not a finite number")
        values = np.zeros(shape, np.uint8)
        for b in range(self.bits):
            values |= unpack_bits(tensors["packed"][:, b], 1) << np.uint8(b)
        scale = np.concatenate([tensors["scale"], tensors["offset"][:, :, None]], axis=2)
        return Codes(values, scale.astype(np.float32))


def _bit_table(bits: int) -> np.ndarray:
    """The bits of every code, lowest first, and 1 for the offset."""
    codes = np.arange(2**bits)[:, None]
    return np.concatenate([codes >> np.arange(bits) & 1, np.ones_like(codes)], axis=1).astype(float)


@dataclass(frozen=True)
class Hlq2(Hlq):
    """HLQ with four levels: 2.375 bits per weight in groups of 128."""

    name: ClassVar[str] = "hlq2"
    bits: ClassVar[int] = 2
    parameters: ClassVar[int] = 3
    table: ClassVar[np.ndarray] = _bit_table(2)


@dataclass(frozen=True)
class Hlq3(Hlq):
    """HLQ with eight levels: 3.5 bits per weight in groups of 128."""

    name: ClassVar[str] = "hlq3"
    bits: ClassVar[int] = 3
    parameters: ClassVar[int] = 4
    table: ClassVar[np.ndarray] = _bit_table(3)
