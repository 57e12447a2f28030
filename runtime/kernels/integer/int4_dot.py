"""Codes of 4 or 2 bits by dot products of bytes: with scales and zero points one stream to 64 rows.

The inner loops are those of AVX-512 VNNI, or of NEON on ARM: both have the same layout.

A group's sums are exact int32. They are scaled and added to the output in the order of the groups,
by ``numerics.add_group``. ``ir.int4`` has the layout.
"""

from __future__ import annotations

import numpy as np

from ....numerics import add, mul
from ....tools.compiled import njit, prange
from ..ir.int4 import add_groups, sum_groups
from ..ir.int4_layout import BLOCK, BLOCK_COLUMNS, SCALES, ZEROS, form_of
from ..ir.row_group import ROWS
from ..keep_alive import keep_alive
from ..panel import PRODUCTS_PER_CHUNK, aligned, groups_of, prepared, quantized, weight_memory
from ..parallel_region import parallel_region
from ..threads import chunks_for

__all__ = ["DotInt4", "finish_groups", "group_totals", "reorder", "whole_groups"]


class DotInt4:
    """A ``FusedKernel`` of ``packed`` uint8 [M, K * bits / 8], codes of ``bits`` bits in order.

    ``zero_point`` is uint8 [groups, M], or [1, M] for all groups; ``scale`` float32 [groups, M] of
    float16 numbers. The sums are [N, groups, M].
    """

    def __init__(self, packed: np.ndarray, zero_point: np.ndarray, scale: np.ndarray,
                 bits: int = 4) -> None:
        M, K = packed.shape[0], 8 // bits * packed.shape[1]
        groups = len(scale)
        block_columns = BLOCK_COLUMNS * 4 // bits
        blocks = -(-K // block_columns) // groups
        same = zero_point.size == 0 or zero_point.min() == zero_point.max()
        self._form = form_of(bits, not same)
        self._zero = int(zero_point.flat[0]) if same and zero_point.size else 1
        self._shape = (M, groups, groups * blocks * block_columns)
        header = SCALES + ZEROS * (not same)
        self._packed = weight_memory(groups_of(M), groups * (header + blocks * BLOCK))
        self._packed[:] = 0
        parts = self._packed.reshape(len(self._packed), groups, -1)
        _by_row_group(scale.astype("<f2"), parts[..., :SCALES])
        if not same:
            _by_row_group(np.broadcast_to(zero_point, scale.shape), parts[..., SCALES:header])
        reorder(np.ascontiguousarray(packed), parts[..., header:], bits)
        self.nbytes = self._packed.nbytes

    def integer(self, q: np.ndarray) -> np.ndarray:
        """The sums that ``FusedKernel.integer`` names."""
        M, groups, _ = self._shape
        sums = np.empty((len(q), groups, M), np.int32)
        _integer(q, sums, self._packed, self._form, self._shape, self._zero)
        return sums

    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The outputs that ``FusedKernel.output`` names."""
        y = np.empty((len(x), self._shape[0]), np.float32)
        operands = (x, y, self._packed, self._form, self._shape, self._zero, bias)
        chunks = chunks_for(len(self._packed), x.size * self._shape[0], PRODUCTS_PER_CHUNK)
        if chunks > 1:
            with parallel_region():
                _output_parallel(*operands, chunks)
        else:
            _output(*operands)
        return y


def whole_groups(values: np.ndarray) -> np.ndarray:
    """[groups, M] with zeros up to a multiple of ``ROWS``; not copied if there is none missing."""
    missing = -values.shape[1] % ROWS
    return np.pad(values, ((0, 0), (0, missing))) if missing else values


def _by_row_group(values: np.ndarray, target: np.ndarray) -> None:
    """Write the bytes of ``values`` [groups, M] to ``target`` uint8 [row groups, groups, bytes]."""
    padded = whole_groups(values).reshape(len(values), -1, ROWS)
    target[:] = np.ascontiguousarray(padded.transpose(1, 0, 2)).view(np.uint8)


@njit
def reorder(stored: np.ndarray, packed: np.ndarray, bits: int = 4) -> None:
    """Fill ``packed`` uint8 [row groups, groups, bytes], of zeros, from ``stored`` [M, bytes]."""
    per_byte = 8 // bits
    columns = packed.shape[2] // BLOCK * 4 * per_byte
    mask = np.uint8((1 << bits) - 1)
    for row in range(stored.shape[0]):
        row_group, place = divmod(row, ROWS)
        for byte in range(stored.shape[1]):
            group, column = divmod(per_byte * byte, columns)
            block, column = divmod(column, 4 * per_byte)
            target = packed[row_group, group]
            for i in range(per_byte):
                digit = stored[row, byte] >> np.uint8(bits * i) & mask
                first = block * BLOCK + 4 * place + (column + i) % 4
                target[first] |= digit << np.uint8(bits * ((column + i) // 4))


@njit
def _blocks(columns: int, form: tuple) -> int:
    """How many blocks a group of ``columns`` is."""
    return columns // (2 * BLOCK_COLUMNS if len(form) > 2 else BLOCK_COLUMNS)


@njit
def group_totals(q: np.ndarray, columns: int, groups: int) -> np.ndarray:
    """Int32 [N, groups]: sums of the activations of each group of columns."""
    totals = np.empty((q.shape[0], groups), np.int32)
    size = columns // groups
    for n in range(q.shape[0]):
        for group in range(groups):
            total = np.int32(0)
            for k in range(group * size, (group + 1) * size):
                total += np.int32(q[n, k])
            totals[n, group] = total
    return totals


@njit
def _minus(q: np.ndarray, shape: tuple, zero: int) -> np.ndarray:
    """Int32 [N, groups]: minus ``zero`` times the sums of the activations of each group."""
    totals = group_totals(q, shape[2], shape[1])
    for n in range(totals.shape[0]):
        for group in range(totals.shape[1]):
            totals[n, group] = -np.int32(totals[n, group] * np.int32(zero))
    return totals


@njit
def finish_groups(
    first: int, totals: np.ndarray, scale_x: np.ndarray, bias: np.ndarray, y: np.ndarray
) -> None:
    """Write ``y`` from row ``first`` on: ``totals`` [N, ROWS] times the scale, plus the bias."""
    rows = min(ROWS, y.shape[1] - first)
    for n in range(y.shape[0]):
        out = y[n, first:first + rows]
        for r in range(rows):
            out[r] = mul(totals[n, r], scale_x[n])
        if bias.shape[0]:
            for r in range(rows):
                out[r] = add(out[r], bias[first + r])


@njit
def _multiply_groups(
    packed: np.ndarray, form: tuple, shape: tuple, q: np.ndarray, scale_x: np.ndarray,
    minus: np.ndarray, bias: np.ndarray, y: np.ndarray, start: int, stop: int,
) -> None:
    """Write float32 ``y`` of row groups [start, stop)."""
    _, groups, columns = shape
    totals = aligned(4 * ROWS * q.shape[0]).view(np.float32).reshape((q.shape[0], ROWS))
    for row_group in range(start, stop):
        totals[:] = 0
        add_groups(
            packed[row_group].ctypes.data, q.ctypes.data, q.shape[1], q.shape[0],
            minus.ctypes.data, groups, _blocks(columns // groups, form), totals.ctypes.data, form,
        )
        finish_groups(row_group * ROWS, totals, scale_x, bias, y)
    keep_alive(totals)


@njit
def _integer(
    q: np.ndarray, sums: np.ndarray, packed: np.ndarray, form: tuple, shape: tuple, zero: int
) -> None:
    """Write exact int32 ``sums`` [N, groups, M] of int8 ``q`` [N, K]."""
    M, groups, columns = shape
    activations = prepared(q, columns)
    minus = _minus(activations.q, shape, zero)
    totals = aligned(4 * ROWS * groups).view(np.int32).reshape((groups, ROWS))
    for row_group in range(packed.shape[0]):
        first = row_group * ROWS
        rows = min(ROWS, M - first)
        for n in range(q.shape[0]):
            sum_groups(
                packed[row_group].ctypes.data, activations.q[n].ctypes.data,
                minus[n].ctypes.data, groups, _blocks(columns // groups, form),
                totals.ctypes.data, form,
            )
            sums[n, :, first:first + rows] = totals[:, :rows]
    keep_alive(activations)
    keep_alive(minus)
    keep_alive(totals)


@njit
def _output(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, form: tuple, shape: tuple, zero: int,
    bias: np.ndarray,
) -> None:
    """Write float32 ``y`` [N, M] of ``x`` [N, K]."""
    activations = quantized(x, shape[2])
    q, scale_x = activations.q, activations.scale
    minus = _minus(q, shape, zero)
    _multiply_groups(packed, form, shape, q, scale_x, minus, bias, y, 0, packed.shape[0])


@njit(parallel=True)
def _output_parallel(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, form: tuple, shape: tuple, zero: int,
    bias: np.ndarray, chunks: int,
) -> None:
    """``_output``, in ``chunks`` at the same time."""
    activations = quantized(x, shape[2])
    q, scale_x = activations.q, activations.scale
    minus = _minus(q, shape, zero)
    row_groups = packed.shape[0]
    for chunk in prange(chunks):
        start, stop = row_groups * chunk // chunks, row_groups * (chunk + 1) // chunks
        _multiply_groups(packed, form, shape, q, scale_x, minus, bias, y, start, stop)
