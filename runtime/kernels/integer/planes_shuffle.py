"""Planes of bits or trits by table lookup in AVX2 or AVX-512: ``pshufb`` reads 16-entry tables.

A byte of a plane is two indices: of four bits, into a table of the 16 sums of four activations, or
of two trits (t + 1, two bits each), into a table of the sums of two. All planes share the tables,
which are built for every token. ``ir.x86.shuffle`` adds up the entries for 64 rows; the sums of
a plane and group are then scaled and added to the output, in the order of ``planes``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....numerics import add_group
from ....quant.formats.bits import pack_bits
from ....tools.compiled import njit
from ..ir.x86.panel import ROWS
from ..ir.x86.shuffle import TABLES, look_up
from ..keep_alive import keep_alive
from ..panel import Activations, PanelOutputs, RowGroupKernel, aligned, groups_of
from ..ternary.shuffle import build_pair_tables
from ..threads import over_range
from .int4_dot import finish_groups, group_totals, whole_groups

__all__ = ["ShuffleBits", "ShuffleTrits"]

# Bytes to an int16 sum. Entries of four bits add up to 512, two of them are in a byte.
_CHUNK = {8: 16, 4: 32}


class _ShufflePlanes(RowGroupKernel):
    """The sums and outputs of planes uint8 [M, planes, bytes], ``per_byte`` columns to a byte.

    ``scale`` float32 [groups * terms, M]: a term for each plane, and one more for the activations'
    own sum if there is an offset.
    """

    def __init__(
        self, planes: np.ndarray, per_byte: int, groups: int, scale: np.ndarray, vectors: int,
        tables: Callable[..., None],
    ) -> None:
        M, _, row_bytes = planes.shape
        super().__init__((M, per_byte * row_bytes), per_byte * row_bytes, whole_groups(scale))
        self._vectors = (0,) * vectors
        self._column_groups, self._per_byte, self._tables = groups, per_byte, tables
        self._packed = _reorder(planes, groups)
        self.nbytes = self._packed.nbytes

    def _sums_shape(self, N: int) -> tuple[int, ...]:
        return N, len(self._scale), self.shape[0]

    def _multiply(self, activations: Activations, outputs: PanelOutputs, chunks: int) -> None:
        N, row_bytes = len(activations.q), self._columns // self._per_byte
        tables = aligned(N * row_bytes * TABLES).reshape(N, row_bytes * TABLES)
        self._tables(activations.q, tables)
        totals = group_totals(activations.q, self._columns, self._column_groups)
        chunk = _CHUNK[self._per_byte]
        operands = (self._packed, tables, totals, activations, outputs, self._vectors, chunk)
        over_range(_multiply_groups, operands, self._groups, chunks)


class ShuffleBits(_ShufflePlanes):
    """HLQ: ``packed`` uint8 [M, bits, K / 8] as it is stored; the last term is the offset's."""

    def __init__(self, packed: np.ndarray, groups: int, scale: np.ndarray, vectors: int) -> None:
        super().__init__(packed, 8, groups, scale, vectors, _build_bit_tables)


class ShuffleTrits(_ShufflePlanes):
    """Two ternary planes, each int8 [M, K]."""

    def __init__(
        self, planes: list[np.ndarray], groups: int, scale: np.ndarray, vectors: int
    ) -> None:
        padding = ((0, 0), (0, -planes[0].shape[1] % 4))   # only of a row that is one group
        digits = [np.pad(plane + 1, padding, constant_values=1).view(np.uint8) for plane in planes]
        packed = np.stack([pack_bits(plane, 2) for plane in digits], axis=1)
        super().__init__(packed, 4, groups, scale, vectors, build_pair_tables)


def _reorder(planes: np.ndarray, groups: int) -> np.ndarray:
    """Uint8 [row groups, column groups, planes, bytes of a group, ROWS] in the order of reading."""
    M, count, row_bytes = planes.shape
    padded = np.zeros((groups_of(M) * ROWS, count, row_bytes), np.uint8)
    padded[:M] = planes
    shaped = padded.reshape(-1, ROWS, count, groups, row_bytes // groups)
    memory = aligned(padded.size).reshape(
        len(shaped), groups, count, row_bytes // groups, ROWS
    )
    memory[:] = shaped.transpose(0, 3, 2, 4, 1)
    return memory


@njit
def _build_bit_tables(q: np.ndarray, tables: np.ndarray) -> None:
    """Write uint8 ``tables`` [N, bytes * TABLES] of the sums that four bits select."""
    for n in range(tables.shape[0]):
        for quad in range(tables.shape[1] * 2 // TABLES):
            table = tables[n, 32 * quad:32 * quad + 32]
            for entry in range(16):
                total = np.int16(0)
                for i in range(4):
                    if entry >> i & 1:
                        total += np.int16(q[n, 4 * quad + i])
                table[entry] = np.uint8(total & np.int16(255))
                table[entry + 16] = np.uint8(np.int16(total >> 8) & np.int16(255))


@njit
def _take(
    totals: np.ndarray, term: int, first: int, n: int, y: np.ndarray, outputs: PanelOutputs
) -> None:
    """Make ``totals`` [ROWS] of a term exact sums, or if none are wanted add them to ``y``."""
    if outputs.sums.shape[0]:
        sums = outputs.sums[n, term, first:first + ROWS]
        for r in range(sums.shape[0]):
            sums[r] = totals[r]
    else:
        scale = outputs.scale[term, first:first + ROWS]
        for r in range(ROWS):
            y[r] = add_group(y[r], totals[r], scale[r])


@njit
def _multiply_groups(
    packed: np.ndarray, tables: np.ndarray, q_totals: np.ndarray, activations: Activations,
    outputs: PanelOutputs, vectors: tuple, chunk: int, start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    N = tables.shape[0]
    groups, planes, count = packed.shape[1:4]
    terms = outputs.scale.shape[0] // groups
    totals = aligned(4 * ROWS).view(np.int32)
    y = aligned(4 * ROWS * N).view(np.float32).reshape((N, ROWS))
    for row_group in range(start, stop):
        first = row_group * ROWS
        y[:] = 0
        for group in range(groups):
            for plane in range(planes):
                weights = packed[row_group, group, plane].ctypes.data
                for n in range(N):
                    entries = tables[n].ctypes.data + group * count * TABLES
                    totals[:] = 0
                    for byte in range(0, count, chunk):
                        look_up(
                            weights + byte * ROWS, entries + byte * TABLES, totals.ctypes.data,
                            min(chunk, count - byte), vectors,
                        )
                    _take(totals, group * terms + plane, first, n, y[n], outputs)
            if terms > planes:
                for n in range(N):
                    totals[:] = q_totals[n, group]
                    _take(totals, group * terms + planes, first, n, y[n], outputs)
        finish_groups(first, y, activations.scale, outputs.bias, outputs.y)
    keep_alive(totals)
