"""What the kernels on ``ir.x86.vectors`` share: activations made ready, scratch memory, outputs.

They take 64 rows of weights at a time, and int8 activations whose rows are zero from column K on. A
call gives either the exact int32 sums or the float32 outputs; the array for the other is empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Lock
from typing import ClassVar, NamedTuple

import numpy as np

from ...numerics import add, quantize_activation, scale_sum
from ...tools.compiled import njit
from .ir.x86.panel import LARGEST_TILE, ROWS
from .threads import chunks_for

__all__ = [
    "PRODUCTS_PER_CHUNK",
    "Activations",
    "PanelOutputs",
    "RowGroupKernel",
    "aligned",
    "finish",
    "groups_of",
    "prepared",
    "quantized",
    "weight_memory",
]

_LINE = 64   # bytes of a cache line, and of a vector
_SETS = 64   # of an L1 cache of 32 KiB, 8 ways (48 KiB, 12 ways)
_PIECE = 1 << 26   # bytes of memory asked for at once
PRODUCTS_PER_CHUNK = 1 << 20   # 10 us of one token, which waits for memory; 5 of many
_NOTHING = np.empty(0, np.float32)


class Activations(NamedTuple):
    """Int8 ``q`` [N, stride], int32 ``totals`` [N] of each row, float32 ``scale`` [N] or empty."""

    q: np.ndarray
    totals: np.ndarray
    scale: np.ndarray


class PanelOutputs(NamedTuple):
    """Integer ``sums`` [N, M] and float32 ``y`` [N, M], one of them of no tokens.

    ``scale`` float32 [M] are the weight's, ``bias`` float32 [M] or empty. With groups of columns,
    ``sums`` are [N, groups, M] and ``scale`` [groups, M or more].
    """

    sums: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


def groups_of(M: int) -> int:
    """Groups of ``ROWS`` rows that hold M rows."""
    return -(-M // ROWS)


@njit
def _stride(columns: int) -> int:
    """Bytes of ``columns`` and some more, so that a tile's rows keep apart in the L1 cache.

    It has 64 sets: the same columns of six tokens should not begin within 8 lines of each other.
    """
    lines = -(-columns // _LINE)
    while True:
        apart = True
        for rows in range(1, LARGEST_TILE):
            apart &= 8 <= rows * lines % _SETS <= _SETS - 8
        if apart:
            return lines * _LINE
        lines += 1


class RowGroupKernel(ABC):
    """A ``FusedKernel`` of a weight [M, K]: what surrounds the multiplication of row groups.

    ``columns`` are K in whole blocks of the layout, activations are zero from K to there; ``scale``
    are the weight's float32 scales.
    """

    nbytes: int
    sum_type: ClassVar[type] = np.int32

    def __init__(self, shape: tuple[int, int], columns: int, scale: np.ndarray) -> None:
        self.shape = shape
        self._scale = scale
        self._columns = columns
        self._groups = groups_of(shape[0])

    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact sums of int8 ``q`` [N, K]; see ``IntegerLinear.integer``."""
        sums: np.ndarray = np.empty(self._sums_shape(len(q)), self.sum_type)
        outputs = PanelOutputs(sums, _NOTHING.reshape(0, 0), self._scale, _NOTHING)
        self._multiply(prepared(q, self._columns), outputs, self._chunks(len(q)))
        return sums

    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Float32 outputs of float32 ``x`` [N, K], with ``bias``; see ``FusedKernel.output``."""
        y = np.empty((len(x), self.shape[0]), np.float32)
        outputs = PanelOutputs(np.empty(self._sums_shape(0), self.sum_type), y, self._scale, bias)
        self._multiply(quantized(x, self._columns), outputs, self._chunks(len(x)))
        return y

    def _sums_shape(self, N: int) -> tuple[int, ...]:
        return N, self.shape[0]

    def _chunks(self, N: int) -> int:
        return chunks_for(self._groups, N * self.shape[0] * self.shape[1], PRODUCTS_PER_CHUNK)

    @abstractmethod
    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        """Fill ``outputs``, in ``chunks`` at the same time if that is more than one."""


@njit
def prepared(q: np.ndarray, columns: int) -> Activations:
    """Activations from int8 ``q`` [N, K], with zeros up to at least ``columns``."""
    N, K = q.shape
    padded = np.empty((N, _stride(columns)), np.int8)
    totals = np.empty(N, np.int32)
    for n in range(N):
        padded[n, :K] = q[n]
        padded[n, K:] = 0
        totals[n] = _total(q[n])
    return Activations(padded, totals, np.empty(0, np.float32))


@njit
def quantized(x: np.ndarray, columns: int) -> Activations:
    """Activations from float32 ``x`` [N, K], by ``numerics.quantize_activation``."""
    N = x.shape[0]
    activations = Activations(
        np.empty((N, _stride(columns)), np.int8), np.empty(N, np.int32), np.empty(N, np.float32)
    )
    _quantize(x, activations.q, activations.totals, activations.scale)
    return activations


@njit
def _total(row: np.ndarray) -> np.int32:
    total = np.int32(0)
    for k in range(row.shape[0]):
        total += np.int32(row[k])
    return total


@njit
def _quantize(x: np.ndarray, q: np.ndarray, totals: np.ndarray, scale: np.ndarray) -> None:
    K = x.shape[1]
    for n in range(x.shape[0]):
        row = q[n]
        scale[n] = quantize_activation(x[n], row[:K])
        row[K:] = 0
        totals[n] = _total(row[:K])


class _Arena:
    """Memory in large pieces, which the system backs by huge pages, given out in small ones.

    numpy asks for huge pages from 4 MiB on, and a weight is often smaller. What is never given out
    is never touched, hence takes no memory; a piece is freed with the last weight in it.
    """

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._rest = np.empty(0, np.uint8)
        self._turn = Lock()   # threads that load models must not get the same memory

    def take(self, nbytes: int) -> np.ndarray:
        """Uint8 [nbytes], not initialized, that begins with a cache line."""
        with self._turn:
            skipped = -self._rest.ctypes.data % _LINE
            if self._rest.size < skipped + nbytes:
                self._rest = np.empty(max(self._piece, nbytes + _LINE), np.uint8)
                skipped = -self._rest.ctypes.data % _LINE
            taken = self._rest[skipped:skipped + nbytes]
            self._rest = self._rest[skipped + nbytes:]
            return taken


_arena = _Arena(_PIECE)


def weight_memory(groups: int, nbytes: int) -> np.ndarray:
    """Uint8 [groups, nbytes], not initialized, in huge pages where the system has them."""
    return _arena.take(groups * nbytes).reshape(groups, nbytes)


@njit
def aligned(nbytes: int) -> np.ndarray:
    """Uint8 [nbytes], not initialized, that begins with a cache line."""
    memory = np.empty(nbytes + _LINE, np.uint8)
    skipped = -memory.ctypes.data % _LINE
    return memory[skipped:skipped + nbytes]


@njit
def finish(
    totals: np.ndarray, offset: int, group: int, activations: Activations, outputs: PanelOutputs
) -> None:
    """Write one group's columns of ``outputs`` from int32 or int64 ``totals`` [N, ROWS].

    The totals are of weights plus ``offset``; the activations' own sums take that back.
    """
    kind = totals.dtype.type
    first = group * ROWS
    rows = min(ROWS, max(outputs.sums.shape[1], outputs.y.shape[1]) - first)
    for n in range(totals.shape[0]):
        excess = kind(kind(offset) * kind(activations.totals[n]))
        if outputs.y.shape[0] == 0:
            for r in range(rows):
                outputs.sums[n, first + r] = kind(totals[n, r] - excess)
            continue
        scale_x = activations.scale[n]
        y = outputs.y[n, first:first + rows]
        scale_w = outputs.scale[first:first + rows]
        for r in range(rows):
            y[r] = scale_sum(kind(totals[n, r] - excess), scale_x, scale_w[r])
        if outputs.bias.shape[0]:
            bias = outputs.bias[first:first + rows]
            for r in range(rows):
                y[r] = add(y[r], bias[r])
