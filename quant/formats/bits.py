"""Codes of a few bits as bytes: a row is one stream of bits, lowest first, without gaps."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["columns_per_unit", "pack_bits", "unpack_bits"]


def columns_per_unit(bits: int) -> int:
    """The fewest codes of ``bits`` bits that fill whole bytes: 8 of 1 or 3 bits, 4 of 2, 2 of 4."""
    return math.lcm(bits, 8) // bits


def pack_bits(codes: np.ndarray, bits: int) -> np.ndarray:
    """Bytes uint8 [R, K * bits / 8] of uint8 ``codes`` [R, K] below 2**bits, for 1 to 4 bits.

    Code k of a row takes bits k * bits and up, bit i of the row being bit i % 8 of byte i // 8. K
    is a multiple of ``columns_per_unit(bits)``.
    """
    columns, words = columns_per_unit(bits), _word_type(bits)
    packed = codes[:, 0::columns].astype(words)
    for i in range(1, columns):
        packed |= codes[:, i::columns].astype(words) << words(bits * i)
    unit_bytes = [(packed >> words(8 * i)).astype(np.uint8) for i in range(columns * bits // 8)]
    return np.stack(unit_bytes, axis=2).reshape(len(codes), -1)


def unpack_bits(packed: np.ndarray, bits: int) -> np.ndarray:
    """Codes uint8 [R, K] of the bytes that ``pack_bits`` made; every byte is valid."""
    columns, words = columns_per_unit(bits), _word_type(bits)
    unit = columns * bits // 8
    word = packed[:, 0::unit].astype(words)
    for i in range(1, unit):
        word |= packed[:, i::unit].astype(words) << words(8 * i)
    mask = words(2**bits - 1)
    codes = np.empty((len(packed), word.shape[1] * columns), np.uint8)
    for i in range(columns):
        codes[:, i::columns] = (word >> words(bits * i)) & mask
    return codes


def _word_type(bits: int) -> type[np.unsignedinteger]:
    """Holds a unit of codes: a byte, or the three bytes of eight 3-bit codes."""
    return np.uint8 if 8 % bits == 0 else np.uint32
