"""Blocks of Q2_K and Q3_K: codes that they hold exactly, and numbers rounded to them.

A block is 256 values, sixteen groups of 16. A value of Q3_K is ``d * s * q`` with s from -32 to 31
and q from -4 to 3, one of Q2_K ``d * s * q - e * m`` with s and m from 0 to 15 and q from 0 to 3; d
and e are float16 and of the block. The layouts are those of ggml-common.h.
"""

from __future__ import annotations

import numpy as np

__all__ = ["place_q2_k", "place_q3_k", "round_q2_k", "round_q3_k"]

_ONE_OF_64 = 32            # what is added to a scale of Q3_K before it is stored
_TRIES_3 = (-4 - np.arange(-9, 10) / 10).astype(np.float32)    # code of the largest magnitude
_TRIES_2 = (3 + np.arange(-5, 11) / 10).astype(np.float32)     # code of the largest value


def place_q3_k(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Uint8 [n, 110] of int8 ``values`` [n, 256], -4 to 3, and float16 scales as bytes [n, 2]."""
    return _bytes_q3_k(values, np.ones((len(values), 16), np.int8), halves)


def place_q2_k(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Uint8 [n, 84] of int8 ``values`` [n, 256] and float16 scales as bytes [n, 2].

    The values of a block are four neighbours out of -3 to 3.
    """
    least = np.maximum(0, -values.min(axis=1, keepdims=True)).astype(np.uint8)
    codes = (values + least.view(np.int8)).view(np.uint8)
    scales = np.broadcast_to(1 | least << 4, (len(values), 16))
    return np.concatenate([scales, _two_bits(codes), halves, halves], axis=1)


def round_q3_k(blocks: np.ndarray) -> np.ndarray:
    """Uint8 [n, 110] near to float32 ``blocks`` [n, 256].

    Of nineteen scales for a group, each the least-squares one for the codes that another gives, the
    best is taken; then it is rounded to six bits, and the codes are those nearest under it.
    """
    groups = blocks.reshape(-1, 16, 16)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=2)[:, :, None], axis=2)
    best, scale = np.full(groups.shape[:2], -1, np.float32), np.zeros(groups.shape[:2], np.float32)
    for code in _TRIES_3:
        codes = np.clip(np.rint(groups * _divide(code, largest)), -4, 3)
        product, power = (groups * codes).sum(axis=2), np.square(codes).sum(axis=2)
        fitted = _divide(product, power)
        better = product * fitted > best
        best, scale = np.where(better, product * fitted, best), np.where(better, fitted, scale)
    top = np.take_along_axis(scale, np.abs(scale).argmax(axis=1)[:, None], axis=1)
    d = (top / np.float32(-_ONE_OF_64)).astype(np.float16)
    steps = np.clip(np.rint(_divide(scale, d.astype(np.float32))), -32, 31)
    each = (d.astype(np.float32) * steps)[:, :, None]
    codes = np.clip(np.rint(_divide(groups, each)), -4, 3).astype(np.int8)
    return _bytes_q3_k(codes.reshape(-1, 256), steps.astype(np.int8), _halves(d))


def round_q2_k(blocks: np.ndarray) -> np.ndarray:
    """Uint8 [n, 84] near to float32 ``blocks`` [n, 256].

    As ``round_q3_k``, with a scale and a minimum, at most 0, of each group.
    """
    groups = blocks.reshape(-1, 16, 16)
    low = np.minimum(groups.min(axis=2, keepdims=True), 0)
    span = groups.max(axis=2, keepdims=True) - low
    best = np.full(groups.shape[:2], np.inf, np.float32)
    scale, minimum = (np.zeros(groups.shape[:2], np.float32) for _ in range(2))
    for code in _TRIES_2:
        codes = np.clip(np.rint((groups - low) * _divide(code, span)), 0, 3)
        slope, offset = _line(groups, codes)
        error = np.square(groups - slope[:, :, None] * codes + offset[:, :, None]).sum(axis=2)
        better = error < best
        best, scale = np.where(better, error, best), np.where(better, slope, scale)
        minimum = np.where(better, offset, minimum)
    d, e = (
        (each.max(axis=1, keepdims=True) / np.float32(15)).astype(np.float16)
        for each in (scale, minimum)
    )
    steps, least = (
        np.clip(np.rint(_divide(each, unit.astype(np.float32))), 0, 15)
        for each, unit in ((scale, d), (minimum, e))
    )
    shift = (e.astype(np.float32) * least)[:, :, None]
    each = (d.astype(np.float32) * steps)[:, :, None]
    codes = np.clip(np.rint(_divide(groups + shift, each)), 0, 3).astype(np.uint8)
    packed = steps.astype(np.uint8) | least.astype(np.uint8) << 4
    return np.concatenate(
        [packed, _two_bits(codes.reshape(-1, 256)), _halves(d), _halves(e)], axis=1)


def _line(groups: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and minimum, none negative, of the line through ``codes`` that is nearest, [n, 16]."""
    count = np.float32(groups.shape[2])
    total, sums, power = codes.sum(axis=2), groups.sum(axis=2), np.square(codes).sum(axis=2)
    product = (groups * codes).sum(axis=2)
    slope = _divide(count * product - total * sums, count * power - total * total)
    offset = (slope * total - sums) / count
    none = (offset < 0) | (slope < 0)   # then without a minimum
    alone = np.maximum(_divide(product, power), 0)
    return np.where(none, alone, slope), np.where(none, 0, offset)


def _bytes_q3_k(codes: np.ndarray, steps: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """A block's third bits, two low bits, scales in six bits, and d."""
    unsigned = (codes + np.int8(4)).view(np.uint8)
    third = np.packbits(unsigned.reshape(-1, 8, 32) >> 2, axis=1, bitorder="little")
    scales = (steps + np.int8(_ONE_OF_64)).view(np.uint8)
    low = scales[:, :8] & 15 | scales[:, 8:] << 4
    high = _four_to_a_byte((scales >> 4).reshape(-1, 4, 4))
    parts = [third.reshape(-1, 32), _two_bits(unsigned & 3), low, high, halves]
    return np.concatenate(parts, axis=1)


def _two_bits(codes: np.ndarray) -> np.ndarray:
    """Uint8 [n, 64] of codes [n, 256]: of each half, values 32 apart share a byte."""
    return _four_to_a_byte(codes.reshape(-1, 4, 32)).reshape(len(codes), 64)


def _four_to_a_byte(codes: np.ndarray) -> np.ndarray:
    """Uint8 [n, bytes] of codes [n, 4, bytes], the first in the low bits."""
    return codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6


def _divide(a: np.ndarray | np.float32, b: np.ndarray) -> np.ndarray:
    """Float32 a / b, 0 where b is."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros(b.shape, np.float32), where=b != 0)


def _halves(scale: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(scale, "<f2").view(np.uint8)
