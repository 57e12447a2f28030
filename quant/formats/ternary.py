"""Ternary weights: -1, 0 or 1 times one scale for the whole tensor (BitNet b1.58)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from .base import Codes, Format, TensorLayout

__all__ = ["Ternary", "absmean", "absmean_scale"]

SMALLEST_SCALE = np.float32(1e-5)
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Packing:
    """How trits become bytes: digit ``t + 1`` of trit ``i`` weighs ``base ** i``, lowest first."""

    base: int
    trits_per_byte: int

    def table(self) -> np.ndarray:
        """int8 [256, trits_per_byte]: the trits of every byte (a digit of 3 reads as 2)."""
        digits = np.arange(256)[:, None] // self.base ** np.arange(self.trits_per_byte)
        return (digits % self.base - 1).astype(np.int8)


PACKINGS = {"base3": Packing(base=3, trits_per_byte=5), "2bit": Packing(base=4, trits_per_byte=4)}
TABLES = {name: packing.table() for name, packing in PACKINGS.items()}


@dataclass(frozen=True)
class Ternary(Format):
    """Ternary with the absmean rule: ``scale = max(mean|W|, 1e-5)``, ``t = rint(W * (1/scale))``.

    The trit is clipped to [-1, 1]; reciprocal and product are rounded to float32, as in the BitNet
    layers of transformers (``integrations/bitnet.py``). The mean is float64, rounded to float32
    once: see ``absmean``. A row is padded to whole bytes with t = 0. The rule is that of
    BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764).

    A tensor that has no values but -s, 0 and s already is ternary: s is its scale, and its trits
    are exact. (Absmean would shrink them by the share of zeros.)

    Stored: ``packed`` uint8 [M, ceil(K / trits per byte)], ``scale`` float32 [1, 1].

    - ``base3``: five trits to a byte, ``sum((t[i] + 1) * 3**i)``, 1.6 bits; bytes 0 to 242.
    - ``2bit``: four trits to a byte, ``t + 1`` in bits 2i and 2i + 1.
    """

    name: ClassVar[str] = "ternary"
    kernel: ClassVar[str] = "ternary"

    packing: Literal["base3", "2bit"] = "base3"

    def __post_init__(self) -> None:
        """Check the parameter."""
        if self.packing not in list(PACKINGS):
            raise FormatError(f"ternary: packing must be 'base3' or '2bit', not {self.packing!r}")

    @property
    def _packing(self) -> Packing:
        return PACKINGS[self.packing]

    @override
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        M, K = shape
        row_bytes = -(-K // self._packing.trits_per_byte)
        return {
            "packed": TensorLayout(np.dtype(np.uint8), (M, row_bytes), per_row=True),
            "scale": TensorLayout(np.dtype(np.float32), (1, 1), per_row=False),
        }

    def statistics(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """The scale, float32 [1, 1]."""
        magnitude = _OneMagnitude()
        scale = absmean_scale(magnitude.watched(blocks))
        return scale if magnitude.value is None else magnitude.value.reshape(1, 1)

    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """Trits int8 [R, K]; see the class for the rule."""
        scale = self.statistics([rows]) if statistics is None else statistics
        trits = rows * (np.float32(1) / scale)
        np.rint(trits, out=trits)
        np.clip(trits, -1, 1, out=trits)
        return Codes(trits.astype(np.int8), scale)

    @override
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        base, per_byte = self._packing.base, self._packing.trits_per_byte
        digits = (codes.values + np.int8(1)).view(np.uint8)
        padding = -digits.shape[1] % per_byte
        if padding:
            digits = np.pad(digits, ((0, 0), (0, padding)), constant_values=1)
        packed = digits[:, 0::per_byte].copy()
        for i in range(1, per_byte):
            packed += digits[:, i::per_byte] * np.uint8(base**i)
        return {"packed": packed, "scale": codes.scale.astype(np.float32)}

    def verify(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> None:
        """Look at the bytes, and at the trits of each row's last one; see ``Format.verify``."""
        packed, K = self.checked(tensors, shape)["packed"], shape[1]
        if self.packing == "base3" and packed.max() >= 3**5:
            raise FormatError(f"ternary: byte {packed.max()} is not five base-3 digits (0 to 242)")
        if self.packing == "2bit" and (packed & (packed >> 1) & 0x55).any():
            raise FormatError("ternary: code 3 among the 2-bit codes, which go from 0 to 2")
        used = (K - 1) % self._packing.trits_per_byte + 1
        if TABLES[self.packing].take(packed[:, -1], axis=0)[:, used:].any():
            raise FormatError(f"ternary: a row's padding, after column {K - 1}, is not zero")

    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Unpack; padding that is not zero is refused, too."""
        self.verify(tensors, shape)
        M, K = shape
        trits = TABLES[self.packing].take(tensors["packed"], axis=0, mode="clip").reshape(M, -1)
        return Codes(np.ascontiguousarray(trits[:, :K]), tensors["scale"])

    def dequantize(self, codes: Codes) -> np.ndarray:
        """``t * scale``, exact."""
        return codes.values * codes.scale


def absmean_scale(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The scale of a model that was trained with the absmean rule, float32 [1, 1].

    Such a layer computes with it whatever its weights are.
    """
    return np.maximum(absmean(blocks), SMALLEST_SCALE).reshape(1, 1)


class _OneMagnitude:
    """Finds out whether all values of a tensor but its zeros have one magnitude, ``value``.

    It is None where there are two, or none, or one so small that its reciprocal overflows.
    """

    def __init__(self) -> None:
        self._found: np.float32 | None = None
        self._several = False

    @property
    def value(self) -> np.float32 | None:
        return None if self._several else self._found

    def watched(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same float32 ``blocks``, each looked at as it goes by."""
        for block in blocks:
            for row in block:
                if self._several:
                    break
                self._look(np.abs(row))
            yield block

    def _look(self, magnitudes: np.ndarray) -> None:
        largest = magnitudes.max(initial=np.float32(0))
        if largest == 0:
            return
        found = largest if self._found is None else self._found
        self._several = largest < _TINY or bool(((magnitudes != found) & (magnitudes != 0)).any())
        self._found = found


def absmean(blocks: Iterable[np.ndarray]) -> np.float32:
    """Mean magnitude of a tensor given as float32 row blocks [R, K]; float64, rounded once.

    The order of the additions is fixed, so neither the block size nor numpy's own summation
    matters: a row of width K is folded, its right half onto its left (of an odd width the middle
    column stays), until one column is left; the row sums go through ``math.fsum``, which rounds
    their exact sum.
    """
    row_sums: list[float] = []
    K = 0
    for block in blocks:
        magnitudes = np.abs(block).astype(np.float64)
        K = width = magnitudes.shape[1]
        while width > 1:
            half = (width + 1) // 2
            magnitudes[:, : width - half] += magnitudes[:, half:width]
            width = half
        row_sums += magnitudes[:, 0].tolist()
    return np.float32(math.fsum(row_sums) / (len(row_sums) * K))
