"""Base-3 ternary weights in AVX-512 VBMI and VNNI, at 1.6 bits in memory.

A few tokens look up exact sums of five columns. For more, 64 rows of some hundred columns at a time
become two-bit bytes in the L1 cache, which all tokens are multiplied with as 2-bit weights are.
``ir.x86.vbmi`` says how; in memory lies chunk by chunk of ``GROUPS`` groups of five columns,
so that tables stay in the L1 cache, in each one pair of row groups after the other: one stream.
"""

from __future__ import annotations

import numpy as np

from ....tools.compiled import njit, prange
from ..ir.x86.panel import ROWS, STEP
from ..ir.x86.ternary import dot_tokens
from ..ir.x86.ternary_forms import FORMS, TwoBit
from ..ir.x86.vbmi import (
    BYTE_OF,
    GROUPS,
    LINE,
    TABLE,
    UNIT,
    UNIT_COLUMNS,
    build_tables,
    fetch,
    in_unit_order,
    look_up,
    to_two_bit,
)
from ..keep_alive import keep_alive
from ..panel import (
    PRODUCTS_PER_CHUNK,
    Activations,
    PanelOutputs,
    aligned,
    finish,
    groups_of,
    prepared,
    quantized,
    weight_memory,
)
from ..parallel_region import parallel_region
from ..threads import chunks_for, over_range

__all__ = ["VbmiTernary"]

_FEW_TOKENS = 5          # are faster by lookup
_PAIRS_AHEAD = 2         # of row groups are prefetched, 12 KiB
_CHUNKS_AT_ONCE = 4      # become two-bit bytes: 15 KiB
_TWO_BIT = (0,) * (FORMS.index(TwoBit) + 1)
_BYTES_PER_CHUNK = 1 << 16   # as they are stored, to reorder: 100 us
_ZEROS = 121             # the byte of five zero weights


class VbmiTernary:
    """A ``FusedKernel`` of base-3 ``packed`` uint8 [M, ceil(K / 5)], bytes below 243."""

    def __init__(self, packed: np.ndarray, scale: np.ndarray) -> None:
        M, groups = packed.shape
        stored = -(-groups // UNIT) * UNIT
        self._rows, self._scale = M, scale
        self._packed = weight_memory(groups_of(M), stored * ROWS)
        self._shape = (len(self._packed), groups, stored)
        self._mirrored = np.zeros((len(self._packed), ROWS), np.int32)
        operands = (packed, BYTE_OF, self._shape, self._packed.reshape(-1), self._mirrored)
        chunks = chunks_for(len(self._packed), packed.size, _BYTES_PER_CHUNK)
        over_range(_reorder, operands, len(self._packed), chunks)
        self.nbytes = self._packed.nbytes + self._mirrored.nbytes

    def integer(self, q: np.ndarray) -> np.ndarray:
        """The sums that ``FusedKernel.integer`` names."""
        sums = np.empty((len(q), self._rows), np.int32)
        _integer(q, sums, self._packed, self._shape, self._mirrored, self._scale)
        return sums

    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The outputs that ``FusedKernel.output`` names."""
        y = np.empty((len(x), self._rows), np.float32)
        operands = (x, y, self._packed, self._shape, self._mirrored, self._scale, bias)
        chunks = chunks_for(len(self._packed), x.size * self._rows, PRODUCTS_PER_CHUNK)
        if chunks > 1:
            with parallel_region():
                _output_parallel(*operands, chunks)
        else:
            _output(*operands)
        return y


@njit
def _reorder(
    stored: np.ndarray, byte_of: np.ndarray, shape: tuple, packed: np.ndarray,
    mirrored: np.ndarray, start: int, stop: int,
) -> None:
    """Write row groups [start, stop) of ``packed`` from ``stored`` uint8 [M, groups].

    Opposites in rows are counted in ``mirrored``.
    """
    for row_group in range(start, stop):
        _reorder_rows(stored, byte_of, shape, packed, mirrored[row_group], row_group)


@njit
def _reorder_rows(
    stored: np.ndarray, byte_of: np.ndarray, shape: tuple, packed: np.ndarray,
    mirrored: np.ndarray, row_group: int,
) -> None:
    """``_reorder`` of a row group, by chunks that fit the L1 cache."""
    row_groups, groups, padded = shape
    rows = stored[row_group * ROWS:(row_group + 1) * ROWS]
    codes = np.full((GROUPS, ROWS), _ZEROS, np.uint8)
    for chunk in range(0, groups, GROUPS):
        size, count = min(GROUPS, padded - chunk), min(GROUPS, groups - chunk)
        codes[count:] = _ZEROS
        for row in range(len(rows)):
            place = 2 * row if row < ROWS // 2 else 2 * row - ROWS + 1
            part, opposites = rows[row, chunk:chunk + count], 0
            for group in range(count):
                code = byte_of[part[group]]
                codes[group, place] = code
                opposites += code >> 7
            mirrored[row] += opposites
        first, stride = _place(row_groups, chunk, size, row_group)
        for group in range(size):
            packed[first + group * stride:][:ROWS] = codes[group]


@njit
def _place(row_groups: int, chunk: int, size: int, row_group: int) -> tuple[int, int]:
    """Where a row group lies in the chunk of ``size`` groups from ``chunk`` on, and the stride."""
    first = row_group - row_group % 2
    width = min(2, row_groups - first)
    start = (row_groups * chunk + first * size + row_group % 2) * ROWS
    return start, width * ROWS


@njit
def _ahead(shape: tuple, chunk: int, row_group: int, start: int, stop: int) -> int:
    """Where the pair lies that row groups [start, stop) come to after ``_PAIRS_AHEAD`` pairs.

    A thread's rows are in one piece only within a chunk: the piece after it begins elsewhere. After
    the last pair, the first.
    """
    row_groups, groups, padded = shape
    row_group += 2 * _PAIRS_AHEAD
    while row_group >= stop:
        row_group -= (stop - start + 1) // 2 * 2
        chunk += GROUPS
    if chunk >= groups:
        chunk, row_group = 0, start
    return (row_groups * chunk + row_group * min(GROUPS, padded - chunk)) * ROWS


@njit
def _look_up_groups(
    packed: np.ndarray, shape: tuple, mirrored: np.ndarray, activations: Activations,
    outputs: PanelOutputs, start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop), whole pairs or to the end, by lookup."""
    row_groups, groups, padded = shape
    q = activations.q
    N = q.shape[0]
    fetch(
        packed.ctypes.data + start * min(GROUPS, padded) * ROWS,
        2 * _PAIRS_AHEAD * min(GROUPS, padded) * ROWS // LINE,
    )
    memory = aligned(4 * ROWS * N * (stop - start))
    totals = memory.view(np.int32).reshape((stop - start, N, ROWS))
    for row_group in range(start, stop):
        totals[row_group - start] = mirrored[row_group]
    tables = aligned(GROUPS * TABLE)
    for chunk in range(0, groups, GROUPS):
        size, count = min(GROUPS, padded - chunk), min(GROUPS, groups - chunk)
        for n in range(N):
            build_tables(q[n].ctypes.data + 5 * chunk, tables.ctypes.data, count)
            for row_group in range(start, stop, 2):
                here = packed.ctypes.data + (row_groups * chunk + row_group * size) * ROWS
                ahead = packed.ctypes.data + _ahead(shape, chunk, row_group, start, stop)
                target = totals[row_group - start, n].ctypes.data
                if row_group + 1 < stop:
                    stride = 4 * ROWS * N
                    look_up(here, ahead, tables.ctypes.data, target, stride, count, (0, 0))
                else:
                    look_up(here, ahead, tables.ctypes.data, target, 0, count, (0,))
    for row_group in range(start, stop):
        finish(totals[row_group - start], 0, row_group, activations, outputs)
    keep_alive(tables)
    keep_alive(totals)


@njit
def _ordered(q: np.ndarray, columns: int) -> np.ndarray:
    """``q`` int8 [N, ``columns`` or more] in the order of ``in_unit_order``."""
    ordered = np.empty_like(q)
    for n in range(q.shape[0]):
        in_unit_order(q[n].ctypes.data, ordered[n].ctypes.data, columns // UNIT_COLUMNS)
    return ordered


@njit
def _multiply_groups(
    packed: np.ndarray, shape: tuple, activations: Activations, ordered: np.ndarray,
    outputs: PanelOutputs, start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop) by way of two-bit bytes."""
    row_groups, _, padded = shape
    N, stride = ordered.shape
    blocks = aligned(_CHUNKS_AT_ONCE * GROUPS // UNIT * 5 * STEP)
    totals = aligned(4 * ROWS * N).view(np.int32).reshape((N, ROWS))
    for row_group in range(start, stop):
        totals[:] = 0
        for first in range(0, padded, _CHUNKS_AT_ONCE * GROUPS):
            units = 0
            for chunk in range(first, min(first + _CHUNKS_AT_ONCE * GROUPS, padded), GROUPS):
                size = min(GROUPS, padded - chunk)
                place, width = _place(row_groups, chunk, size, row_group)
                to_two_bit(
                    packed.ctypes.data + place, width, blocks.ctypes.data + units * 5 * STEP,
                    size // UNIT,
                )
                units += size // UNIT
            dot_tokens(
                blocks.ctypes.data, ordered.ctypes.data + 5 * first, stride, N,
                totals.ctypes.data, 5 * units, _TWO_BIT,
            )
        finish(totals, 1, row_group, activations, outputs)
    keep_alive(blocks)
    keep_alive(totals)


@njit
def _all_groups(
    packed: np.ndarray, shape: tuple, mirrored: np.ndarray, activations: Activations,
    outputs: PanelOutputs,
) -> None:
    if activations.q.shape[0] <= _FEW_TOKENS:
        _look_up_groups(packed, shape, mirrored, activations, outputs, 0, shape[0])
    else:
        ordered = _ordered(activations.q, 5 * shape[2])
        _multiply_groups(packed, shape, activations, ordered, outputs, 0, shape[0])


@njit
def _integer(
    q: np.ndarray, sums: np.ndarray, packed: np.ndarray, shape: tuple, mirrored: np.ndarray,
    scale: np.ndarray,
) -> None:
    """Write exact int32 ``sums`` [N, M] of int8 ``q`` [N, K]."""
    nothing = np.empty(0, np.float32)
    outputs = PanelOutputs(sums, nothing.reshape((0, 0)), scale, nothing)
    _all_groups(packed, shape, mirrored, prepared(q, 5 * shape[2]), outputs)


@njit
def _output(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, shape: tuple, mirrored: np.ndarray,
    scale: np.ndarray, bias: np.ndarray,
) -> None:
    """Write float32 ``y`` [N, M] of ``x`` [N, K]."""
    outputs = PanelOutputs(np.empty((0, 0), np.int32), y, scale, bias)
    _all_groups(packed, shape, mirrored, quantized(x, 5 * shape[2]), outputs)


@njit(parallel=True)
def _output_parallel(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, shape: tuple, mirrored: np.ndarray,
    scale: np.ndarray, bias: np.ndarray, chunks: int,
) -> None:
    """``_output``, in ``chunks`` at the same time."""
    activations = quantized(x, 5 * shape[2])
    q, totals, scale_x = activations.q, activations.totals, activations.scale
    few = q.shape[0] <= _FEW_TOKENS
    ordered = q if few else _ordered(q, 5 * shape[2])
    sums = np.empty((0, 0), np.int32)
    groups = shape[0]
    pairs = (groups + 1) // 2
    for chunk in prange(chunks):
        # Numba takes no named tuple into a parallel loop that it was not given as an argument.
        own, outputs = Activations(q, totals, scale_x), PanelOutputs(sums, y, scale, bias)
        start, stop = pairs * chunk // chunks * 2, min(groups, pairs * (chunk + 1) // chunks * 2)
        if few:
            _look_up_groups(packed, shape, mirrored, own, outputs, start, stop)
        else:
            _multiply_groups(packed, shape, own, ordered, outputs, start, stop)
