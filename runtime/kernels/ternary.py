"""Ternary weights by table lookup.

Five weights share a byte (base 3: 0..242). For each group of five activations a table of the 243
sums that the five weights can select is built online; a byte then costs one lookup and one add
instead of five multiplications. Weights stay at 1.6 bits: they are only reordered at load, to
[passes, M, 16], so that the inner loop runs down the rows with 16 tables (8 KiB) in the L1 cache.
2-bit packed weights are repacked to base 3 at load. Hardware (``hw/tlmm.py``) does the same with
its own group size; the sums are integers, hence equal.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit, prange

from ...errors import FormatError
from ...quant.formats import Ternary
from ...quant.formats.base import PackedWeight
from .base import IntegerLinear, chunks_for
from .blas import integer_matmul

__all__ = ["TernaryLinear"]

_TRITS = 5               # per byte
_CODES = 3**_TRITS
_ZEROS = _CODES // 2     # the byte of five zeros
_TABLES = 16             # bytes of a row per pass
_TABLE_STRIDE = 256      # so that a table's address needs no multiplication
_PASS = _TRITS * _TABLES

_MATMUL_TOKENS = 16      # from here on unpacking for BLAS is faster than lookups

# The five weights of each byte, as float32.
_WEIGHTS = (np.arange(_CODES)[:, None] // 3 ** np.arange(_TRITS) % 3 - 1).astype(np.float32)


class TernaryLinear(IntegerLinear):
    """y = x W^T with W in {-1, 0, 1} times one scale. Sums are int32, exact for every input."""

    largest_weight: ClassVar[int] = 1

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None) -> None:
        super().__init__(weight, bias)
        self._packed = _reorder(_base3(weight))
        self.nbytes = self._packed.nbytes + self._scale.nbytes

    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, M] of int8 ``q`` [N, K]."""
        q = self._checked(q, np.int8)
        M, K = self.shape
        sums = np.empty((len(q), M), np.int32)
        if len(q) >= _MATMUL_TOKENS:
            integer_matmul(q, M, self._unpack, self.largest_weight, np.float32, sums)
            return sums
        padded = np.zeros((len(q), self._packed.shape[0] * _PASS), np.int8)
        padded[:, :K] = q
        chunks = chunks_for(M, K)
        if chunks == 1:
            _look_up(self._packed, padded, 0, M, sums)
        else:
            _look_up_parallel(self._packed, padded, chunks, sums)
        return sums

    def _unpack(self, start: int, stop: int, panel: np.ndarray) -> None:
        _unpack_rows(self._packed, _WEIGHTS, start, stop, panel)


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


@njit(cache=True)
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


@njit(cache=True)
def _look_up(packed: np.ndarray, q: np.ndarray, start: int, stop: int, sums: np.ndarray) -> None:
    """Write columns [start, stop) of int32 ``sums`` [N, M] from padded int8 ``q``."""
    tables = np.empty(_TABLES * _TABLE_STRIDE, np.int16)
    for n in range(q.shape[0]):
        sums[n, start:stop] = 0
        for step in range(packed.shape[0]):
            _build_tables(q[n], step * _PASS, tables)
            for m in range(start, stop):
                total = sums[n, m]
                for group in range(_TABLES):
                    entry = np.uint64(group * _TABLE_STRIDE) + np.uint64(packed[step, m, group])
                    total = np.int32(total + np.int32(tables[entry]))
                sums[n, m] = total


@njit(cache=True, parallel=True)
def _look_up_parallel(packed: np.ndarray, q: np.ndarray, chunks: int, sums: np.ndarray) -> None:
    """``_look_up`` of all rows, cut into ``chunks`` that run at the same time."""
    M = packed.shape[1]
    for chunk in prange(chunks):
        _look_up(packed, q, M * chunk // chunks, M * (chunk + 1) // chunks, sums)


@njit(cache=True)
def _unpack_rows(
    packed: np.ndarray, weights: np.ndarray, start: int, stop: int, panel: np.ndarray
) -> None:
    """Write rows [start, stop) as float32 into ``panel`` [stop - start, K]."""
    K = panel.shape[1]
    for m in range(start, stop):
        for column in range((K + _TRITS - 1) // _TRITS):
            code = packed[column // _TABLES, m, column % _TABLES]
            first = column * _TRITS
            for trit in range(min(_TRITS, K - first)):
                panel[m - start, first + trit] = weights[code, trit]
