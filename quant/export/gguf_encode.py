"""Codes and floats into ggml's blocks: those of ``LIMITS``, F16, BF16, F32.

Codes that a type can hold are placed as they are; only what it cannot hold is rounded anew, by
the rules of ggml-quants.c or, for Q2_K and Q3_K, of ``gguf_k``.
"""

from __future__ import annotations

import numpy as np

from ..checkpoint.files.gguf_blocks import TYPES
from ..formats.bits import pack_bits
from .gguf_k import place_q2_k, place_q3_k, round_q2_k, round_q3_k

__all__ = ["LIMITS", "bfloat16", "place", "round_to"]

# The integers that a block of each type multiplies with its scale.
LIMITS = {"Q4_0": (-8, 7), "Q8_0": (-128, 127), "TQ1_0": (-1, 1), "TQ2_0": (-1, 1),
          "Q2_0": (-1, 2), "PQ2_0": (-1, 2), "PTQ1_0": (-1, 1), "Q3_K": (-4, 3), "Q2_K": (-3, 3)}


def place(values: np.ndarray, scale: np.ndarray, type: str) -> np.ndarray:
    """Rows of blocks uint8 [R, row_bytes(K)] that stand for ``values * scale`` exactly.

    ``values`` int8 [R, K] within ``LIMITS[type]``; ``scale`` [R, K / block] holds float16 numbers,
    one for each block.
    """
    count = scale.shape[0] * scale.shape[1]
    blocks = values.reshape(count, TYPES[type].values)
    halves = np.ascontiguousarray(scale, "<f2").reshape(-1, 1).view(np.uint8)
    packed = _PACK[type](blocks, halves)
    return packed.reshape(len(values), -1)


def round_to(rows: np.ndarray, type: str) -> np.ndarray:
    """Rows of blocks uint8 [R, row_bytes(K)], nearest to float32 ``rows`` [R, K].

    F32, F16, BF16 round to nearest even; Q8_0 and Q4_0 as ``quantize_row_q8_0_ref`` and
    ``quantize_row_q4_0_ref`` do: codes from the float32 scale, which is then rounded to float16.
    """
    if type in _FLOATS:
        return _FLOATS[type](rows).view(np.uint8).reshape(len(rows), -1)
    blocks = rows.reshape(-1, TYPES[type].values)
    if type in _WHOLE:
        return _WHOLE[type](blocks).reshape(len(rows), -1)
    values, scale = _ROUND[type](blocks)
    return place(
        values.reshape(rows.shape), scale.reshape(len(rows), -1).astype(np.float16), type
    )


def bfloat16(numbers: np.ndarray) -> np.ndarray:
    """Bits uint16 of float32 ``numbers``, rounded to nearest even; what is too large is infinite.

    Half an ulp is added, less one where the last kept bit is even: ties go to even.
    """
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    bits = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return (bits >> np.uint32(16)).astype("<u2")


def _pack_q8(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    return np.concatenate([halves, values.astype(np.int8).view(np.uint8)], axis=1)


def _pack_q4(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    codes = (values + 8).astype(np.uint8)
    return np.concatenate([halves, codes[:, :16] | codes[:, 16:] << 4], axis=1)


def _pack_tq2(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    codes = (values + 1).astype(np.uint8).reshape(-1, 2, 4, 32)
    packed = codes[:, :, 0] | codes[:, :, 1] << 2 | codes[:, :, 2] << 4 | codes[:, :, 3] << 6
    return np.concatenate([packed.reshape(-1, 64), halves], axis=1)


def _pack_tq1(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    return _pack_base_3(values, halves, ((0, 32, 5), (160, 16, 5), (240, 4, 4)))


def _pack_ptq1(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    return _pack_base_3(values, halves, ((0, 16, 5), (80, 8, 5), (120, 2, 4)))


def _pack_q2(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    return np.concatenate([halves, pack_bits((values + 1).view(np.uint8), 2)], axis=1)


def _pack_base_3(
    values: np.ndarray, halves: np.ndarray, stages: tuple[tuple[int, int, int], ...]
) -> np.ndarray:
    """``ceil(n * 256 / 243)`` of the five digits' number n, the first digit weighing most."""
    digits = (values + 1).astype(np.uint16)
    columns = []
    for first, width, count in stages:
        number = np.zeros((len(digits), width), np.uint16)
        for n in range(count):
            number += digits[:, first + n * width : first + (n + 1) * width] * 3 ** (4 - n)
        columns.append(((number * 256 + 242) // 243).astype(np.uint8))
    return np.concatenate([*columns, halves], axis=1)


def _round_q8(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    quotients = blocks * _reciprocal(scale)
    return (np.trunc(quotients + np.copysign(np.float32(0.5), quotients))).astype(np.int8), scale


def _round_q4(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value largest in magnitude becomes -8, whatever its sign."""
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scale = largest / np.float32(-8)
    codes = np.trunc(blocks * _reciprocal(scale) + np.float32(8.5))
    return (np.clip(codes, 0, 15) - 8).astype(np.int8), scale


def _reciprocal(scale: np.ndarray) -> np.ndarray:
    """1 / scale, 0 for 0."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


_PACK = {
    "Q8_0": _pack_q8, "Q4_0": _pack_q4, "TQ1_0": _pack_tq1, "TQ2_0": _pack_tq2, "Q2_0": _pack_q2,
    "PQ2_0": _pack_q2, "PTQ1_0": _pack_ptq1, "Q3_K": place_q3_k, "Q2_K": place_q2_k,
}
_ROUND = {"Q8_0": _round_q8, "Q4_0": _round_q4}
_WHOLE = {"Q3_K": round_q3_k, "Q2_K": round_q2_k}   # they have scales of their own for groups
_FLOATS = {
    "F32": lambda rows: np.ascontiguousarray(rows, "<f4"),
    "F16": lambda rows: rows.astype("<f2"),
    "BF16": bfloat16,
}
