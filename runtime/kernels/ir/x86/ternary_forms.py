"""How four columns to a vector of ternary weights lie in bytes, and how VNNI multiplies them.

Weights are digits t + 1 in 0..2. A group of 64 rows is [blocks, 4 vectors, 16 rows, 4 bytes]; byte
b of a row holds columns b, b + 4, b + 8, ... of the block, so that a vector of four-byte lanes and
four activations in every lane make one ``vpdpbusd`` to each digit. There are two forms:

``TwoBit`` (16 columns to a block): digit d is in bits 2d and 2d + 1. Masked but not shifted, it
counts 4^d times; each d has a sum of its own, shifted once at the end.

``Telescoped`` (base 3, 20 columns): a byte is x[0] = ceil(v * 256 / 243), where v
is the sum of digit[d] * 3^(4-d). With x[d+1] = 3 * x[d]
mod 256, which is two byte additions,

    256 * digit[d] = 3 * x[d] - x[d+1]
    256 * sum_d digit[d] * a[d] = 3 * sum_d x[d] * a[d] - sum_d x[d+1] * a[d]

so that no digit is ever taken apart: two sums of bytes times activations are enough. They may wrap
around, but the left side must fit an int32: K up to 32,767 at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from llvmlite import ir
from typing_extensions import override

from .vectors import BYTES, INT16S, WORDS, constant, dot4, opaque

__all__ = ["FORMS", "Form", "Telescoped", "TwoBit"]

Builder = ir.IRBuilder
Values = list[ir.Value]

_VALUES = np.arange(3**5)   # of a base-3 byte
_FIELDS = 4              # digits of a two-bit byte


class Form(ABC):
    """One way to store ternary weights.

    ``sums`` are the vectors a token's sums take; up to ``few_tokens`` are faster without a panel.
    """

    per_byte: ClassVar[int]
    sums: ClassVar[int]
    few_tokens: ClassVar[int]

    @staticmethod
    @abstractmethod
    def encode(digits: np.ndarray) -> np.ndarray:
        """Uint8 [...] from uint8 digits [..., per_byte]."""

    @staticmethod
    @abstractmethod
    def digits(builder: Builder, weights: ir.Value) -> Iterator[ir.Value]:
        """A vector of the digits 0..2 at each place of the bytes of ``weights``."""

    @staticmethod
    @abstractmethod
    def add(builder: Builder, weights: ir.Value, fours: Values, sums: Values) -> Values:
        """``sums`` plus the products of a vector with ``fours``, four activations to a digit."""

    @staticmethod
    @abstractmethod
    def total(builder: Builder, sums: Values) -> ir.Value:
        """Int32 sums of digits times activations, from what ``add`` gave."""


def _fields(builder: Builder, byte: ir.Value) -> Iterator[ir.Value]:
    words = builder.bitcast(byte, INT16S)
    for field in range(_FIELDS):
        shifted = builder.lshr(words, constant(INT16S, 2 * field)) if field else words
        yield builder.and_(builder.bitcast(shifted, BYTES), constant(BYTES, 3))


def _add_fields(builder: Builder, byte: ir.Value, fours: Values, sums: Values) -> Values:
    masks = [constant(BYTES, 3 << 2 * field) for field in range(_FIELDS)]
    return [
        dot4(builder, total, builder.and_(byte, mask), four)
        for total, mask, four in zip(sums, masks, fours, strict=True)
    ]


class TwoBit(Form):
    """Four digits to a byte."""

    per_byte = _FIELDS
    sums = _FIELDS
    few_tokens = 1 << 30   # any number: shifts and masks run beside vpdpbusd
    digits = staticmethod(_fields)
    add = staticmethod(_add_fields)

    @staticmethod
    @override
    def encode(digits: np.ndarray) -> np.ndarray:
        packed = digits[..., 0].copy()
        for field in range(1, _FIELDS):
            packed |= digits[..., field] << np.uint8(2 * field)
        return packed

    @staticmethod
    def total(builder: Builder, sums: Values) -> ir.Value:
        """Add the fields up: shifts are exact, field d counts 4^d times."""
        result = sums[0]
        for field in range(1, _FIELDS):
            shift = constant(WORDS, 2 * field)
            result = builder.add(result, builder.ashr(sums[field], shift))
        return result


def _encode_base3(digits: np.ndarray, byte_of: np.ndarray) -> np.ndarray:
    """``byte_of`` the values of digits uint8 [..., 5]."""
    value = digits[..., 0].astype(np.uint8)
    for place in range(1, 5):
        value = value * np.uint8(3) + digits[..., place]
    return byte_of[value]


def _triple(builder: Builder, x: ir.Value) -> ir.Value:
    """3 * x mod 256; LLVM would make x + x + x a byte multiplication, of four instructions."""
    return builder.add(opaque(builder, builder.add(x, x)), x)


class Telescoped(Form):
    """Five digits to a byte, in two sums."""

    per_byte = 5
    sums = 2
    few_tokens = 8
    byte_of = ((_VALUES * 256 + 242) // 243).astype(np.uint8)

    @classmethod
    @override
    def encode(cls, digits: np.ndarray) -> np.ndarray:
        return _encode_base3(digits, cls.byte_of)

    @staticmethod
    def digits(builder: Builder, weights: ir.Value) -> Iterator[ir.Value]:
        """The digits: 3 * x div 256 is whether x reaches 256 / 3, and whether 512 / 3."""
        x = weights
        for _ in range(5):
            reached = [builder.icmp_unsigned(">=", x, constant(BYTES, b)) for b in (86, 171)]
            yield builder.add(*(builder.zext(bits, BYTES) for bits in reached))
            x = _triple(builder, x)

    @staticmethod
    @override
    def add(builder: Builder, weights: ir.Value, fours: Values, sums: Values) -> Values:
        x, (these, nexts) = weights, sums
        for four in fours:
            these = dot4(builder, these, x, four)
            x = _triple(builder, x)
            nexts = dot4(builder, nexts, x, four)
        return [these, nexts]

    @staticmethod
    @override
    def total(builder: Builder, sums: Values) -> ir.Value:
        scaled = builder.sub(builder.mul(sums[0], constant(WORDS, 3)), sums[1])
        return builder.ashr(scaled, constant(WORDS, 8))


# Numba compiles for the length of a tuple: (0,) * (n + 1) stands for FORMS[n].
FORMS: list[type[Form]] = [TwoBit, Telescoped]
