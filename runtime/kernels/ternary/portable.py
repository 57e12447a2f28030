"""Ternary weights by table lookup.

Five weights share a byte (base 3: 0..242). For each group of five activations a table of the 243
sums that the five weights can select is built online; a byte then costs one lookup and one add
instead of five multiplications. Weights stay at 1.6 bits: they are only reordered at load, to
[passes, M, 16], so that the inner loop runs down the rows with 16 tables (8 KiB) in the L1 cache.
2-bit packed weights are repacked to base 3 at load. Hardware (``hw/matmul/tlmm.py``) does the same
with its own group size; the sums are integers, hence equal.

A table costs 243 additions, to be shared by the rows of one token only. With many tokens it is
faster to unpack a row once and to multiply it with each: the same sums, by the other path.

This is the portable kernel, and the definition. Where the CPU has AVX-512 VNNI ``ternary.vnni``
takes its place, with AVX2 or AVX-512 alone ``ternary.pairs``; ``ternary.shuffle``, lookup by
``pshufb``, can be asked for. On ARM with dot products it is ``ternary.neon``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from ....errors import FormatError
from ....quant.formats import Ternary
from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit
from ..base import FusedKernel, IntegerLinear
from ..choice import chosen_kernel, cpu_features, lookup_vectors
from ..dot import dot_tokens
from ..threads import over_rows
from .neon import NeonTernary
from .pairs import PairsTernary
from .shuffle import ShuffleTernary
from .vbmi import VbmiTernary
from .vnni import VnniTernary

__all__ = ["TernaryLinear"]

_TRITS = 5               # per byte
_CODES = 3**_TRITS
_ZEROS = _CODES // 2     # the byte of five zeros
_TABLES = 16             # bytes of a row per pass
_TABLE_STRIDE = 256      # so that a table's address needs no multiplication
_PASS = _TRITS * _TABLES

def _vnni(weight: PackedWeight, scale: np.ndarray) -> FusedKernel:
    """Base 3 by lookup where the CPU has VBMI, which is faster."""
    if weight.format == Ternary("base3") and "avx512vbmi" in cpu_features():
        return VbmiTernary(_base3(weight), scale)
    return VnniTernary(weight, scale)


def _lookup(weight: PackedWeight, scale: np.ndarray) -> FusedKernel:
    return ShuffleTernary(weight, scale, lookup_vectors())


_FUSED: dict[str, Callable[[PackedWeight, np.ndarray], FusedKernel]] = {
    "vnni": _vnni,
    "avx512": partial(PairsTernary, vectors=4),
    "avx2": partial(PairsTernary, vectors=8),
    "lookup": _lookup,
    "dotprod": NeonTernary,
}

_UNPACK_TOKENS = 16      # from here on unpacked rows are faster than lookups

# x // 3 = x * 171 >> 9 for x below 512, in 16 bits.
_THIRD = np.uint16(171)
_THIRD_SHIFT = np.uint16(9)


class TernaryLinear(IntegerLinear):
    """y = x W^T with W in {-1, 0, 1} times one scale. Sums are int32, exact for every input."""

    largest_weight: ClassVar[int] = 1

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        fused = _FUSED.get(chosen_kernel())
        if fused:
            self._fused = fused(weight, self._scale)
            self.nbytes = self._fused.nbytes + self._scale.nbytes
            return
        self._packed = _reorder(_base3(weight))
        self.nbytes = self._packed.nbytes + self._scale.nbytes

    def _integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, M] of int8 ``q`` [N, K]."""
        padded = np.zeros((len(q), self._packed.shape[0] * _PASS), np.int8)
        padded[:, : self.shape[1]] = q
        M = self.shape[0]
        if len(q) < _UNPACK_TOKENS:
            sums = np.empty((len(q), M), np.int32)
            over_rows(_look_up, (self._packed,), padded, M, sums)
            return sums
        planes = padded.reshape(len(q), -1, _TRITS).transpose(0, 2, 1)
        planes = np.ascontiguousarray(planes).reshape(padded.shape)
        sums = np.empty((M, len(q)), np.int32)   # a row's are written together
        over_rows(_dot_rows, (self._packed,), planes, M, sums)
        return np.ascontiguousarray(sums.T)


def _base3(weight: PackedWeight) -> np.ndarray:
    """Base-3 bytes uint8 [M, ceil(K / 5)] of a ternary weight in either packing."""
    tensors = weight.tensors
    if weight.format != Ternary(packing="base3"):
        tensors = Ternary(packing="base3").pack(weight.codes())
    packed = tensors["packed"]
    if packed.size and packed.max() >= _CODES:
        raise FormatError(f"A base-3 byte is {packed.max()}; five trits make at most {_CODES - 1}")
    return packed


def _reorder(packed: np.ndarray) -> np.ndarray:
    """[M, ceil(K / 5)] -> [passes, M, _TABLES], the last pass filled up with zero weights."""
    M, columns = packed.shape
    passes = -(-columns // _TABLES)
    padded = np.full((M, passes * _TABLES), _ZEROS, np.uint8)
    padded[:, :columns] = packed
    return np.ascontiguousarray(padded.reshape(M, passes, _TABLES).transpose(1, 0, 2))


@njit
def _build_tables(q: np.ndarray, first: int, tables: np.ndarray) -> None:
    """Fill ``tables`` with the sums of q[first:first + _PASS], five activations to a table.

    Each further activation makes three copies of the table so far: minus it, as is, plus it. The
    largest sum, 5 * 128, fits an int16.
    """
    for group in range(_TABLES):
        base = group * _TABLE_STRIDE
        tables[base] = 0
        size = 1
        for trit in range(_TRITS):
            activation = np.int16(q[first + group * _TRITS + trit])
            for code in range(base, base + size):
                partial = tables[code]
                tables[code] = np.int16(partial - activation)
                tables[code + size] = partial
                tables[code + 2 * size] = np.int16(partial + activation)
            size *= 3


@njit
def _look_up(
    packed: np.ndarray, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write columns [start, stop) of int32 ``sums`` [N, M] from padded ``q``."""
    tables = np.empty(_TABLES * _TABLE_STRIDE, np.int16)
    for n in range(q.shape[0]):
        totals = sums[n, start:stop]
        totals[:] = 0
        for step in range(packed.shape[0]):
            _build_tables(q[n], step * _PASS, tables)
            codes = packed[step, start:stop]
            for m in range(totals.shape[0]):
                total = totals[m]
                for group in range(_TABLES):
                    entry = np.uint64(group * _TABLE_STRIDE) + np.uint64(codes[m, group])
                    total = np.int32(total + np.int32(tables[entry]))
                totals[m] = total


@njit
def _unpack(rest: np.ndarray, planes: np.ndarray) -> None:
    """Write int16 ``planes`` [5, bytes], the weights of each base-3 byte, lowest digit first.

    ``rest`` uint16 [bytes] holds the bytes and is used up.
    """
    for trit in range(_TRITS):
        plane = planes[trit]
        for b in range(rest.shape[0]):
            third = np.uint16(np.uint16(rest[b] * _THIRD) >> _THIRD_SHIFT)
            plane[b] = np.int16(rest[b]) - np.int16(np.int16(3) * np.int16(third)) - np.int16(1)
            rest[b] = third


@njit
def _dot_rows(
    packed: np.ndarray, q: np.ndarray, sums: np.ndarray, start: int, stop: int
) -> None:
    """Write rows [start, stop) of int32 ``sums`` [M, N].

    ``q`` is padded and in planes: first all activations that meet a byte's first weight, and so on.
    """
    passes = packed.shape[0]
    codes = np.empty((passes, _TABLES), np.uint16)
    row = np.empty(passes * _PASS, np.int16)
    for m in range(start, stop):
        for step in range(passes):
            codes[step] = packed[step, m]
        _unpack(codes.reshape(-1), row.reshape(_TRITS, -1))
        dot_tokens(row, q, sums[m])
