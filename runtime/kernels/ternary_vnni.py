"""Ternary weights in AVX-512 VNNI, at 1.6 or 2 bits in memory, as they are stored.

A token reads the packed bytes once, in order, with no digit taken apart. Several tokens share
the work of unpacking: 64 rows and some hundred columns at a time become a panel of digits in the
L1 cache, which all tokens are then multiplied with. ``intrinsics_ternary`` has the layout.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ...quant.formats import Ternary
from ...quant.formats.base import PackedWeight
from .intrinsics_panel import ROWS, STEP, dot_panel
from .intrinsics_ternary import BLOCK, dot_base3, dot_two_bit, unpack_base3, unpack_two_bit
from .panel import Activations, Outputs, RowGroupKernel, aligned, finish
from .ternary_digits import row_digits

__all__ = ["VnniTernary"]

_BASE3_DIGITS = 5        # digits to a byte: 5 in base 3, 4 at two bits
_PANEL_STEPS = 120       # 30 KiB, a multiple of both
_SEGMENT = 1600          # blocks of a token's sums in one go: at most 32,000 columns
_FEW_TOKENS = 2          # are faster one by one


class VnniTernary(RowGroupKernel):
    """The sums and outputs of a ternary weight; ``nbytes`` is the memory it takes."""

    def __init__(self, weight: PackedWeight, scale: np.ndarray) -> None:
        self._digits = _BASE3_DIGITS if weight.format == Ternary("base3") else 4
        blocks = -(-weight.shape[1] // (4 * self._digits))
        super().__init__(weight.shape, blocks * 4 * self._digits, scale)
        self._packed = aligned(self._groups * blocks * BLOCK).reshape(self._groups, blocks * BLOCK)
        for first, digits in row_digits(weight, self._columns):
            _encode(digits, self._digits, self._packed[first // ROWS:])
        self.nbytes = self._packed.nbytes

    def _multiply(self, activations: Activations, outputs: Outputs, chunks: int) -> None:
        operands = (self._packed, self._digits, activations, outputs)
        if chunks > 1:
            _multiply_parallel(*operands, chunks)
        else:
            _multiply_groups(*operands, 0, self._groups)


@njit(cache=True)
def _encode(digits: np.ndarray, per_byte: int, packed: np.ndarray) -> None:
    """Write ``packed`` uint8 [groups, bytes] from ``digits`` uint8 [groups * ROWS, columns]."""
    columns = 4 * per_byte
    for row in range(digits.shape[0]):
        group, place = divmod(row, ROWS)
        for block in range(digits.shape[1] // columns):
            for byte in range(4):
                value = np.int32(0)
                for digit in range(per_byte):
                    t = np.int32(digits[row, block * columns + 4 * digit + byte])
                    value = value * 3 + t if per_byte == _BASE3_DIGITS else value + (t << 2 * digit)
                if per_byte == _BASE3_DIGITS:
                    value = (value * 256 + 242) // 243
                packed[group, block * BLOCK + 4 * place + byte] = value


@njit(cache=True)
def _add_token(packed: np.ndarray, digits: int, q: np.ndarray, totals: np.ndarray) -> None:
    """Add one token's products to int32 ``totals`` [ROWS]."""
    blocks = packed.shape[0] // BLOCK
    for first in range(0, blocks, _SEGMENT):
        count = min(_SEGMENT, blocks - first)
        weights = packed.ctypes.data + first * BLOCK
        activations = q.ctypes.data + 4 * digits * first
        if digits == _BASE3_DIGITS:
            dot_base3(weights, activations, totals.ctypes.data, count)
        else:
            dot_two_bit(weights, activations, totals.ctypes.data, count)


@njit(cache=True)
def _add_tokens(
    packed: np.ndarray, digits: int, q: np.ndarray, panel: np.ndarray, totals: np.ndarray
) -> None:
    """Add all tokens' products to int32 ``totals`` [N, ROWS]."""
    blocks = packed.shape[0] // BLOCK
    most = _PANEL_STEPS // digits
    for first in range(0, blocks, most):
        count = min(most, blocks - first)
        weights = packed.ctypes.data + first * BLOCK
        if digits == _BASE3_DIGITS:
            unpack_base3(weights, panel.ctypes.data, count)
        else:
            unpack_two_bit(weights, panel.ctypes.data, count)
        activations = q.ctypes.data + 4 * digits * first
        dot_panel(
            panel.ctypes.data, activations, q.shape[1], q.shape[0], totals.ctypes.data,
            digits * count,
        )


@njit(cache=True)
def _multiply_groups(
    packed: np.ndarray, digits: int, activations: Activations, outputs: Outputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    panel = aligned(_PANEL_STEPS * STEP)
    totals = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    for group in range(start, stop):
        totals[:] = 0
        if q.shape[0] <= _FEW_TOKENS:
            for n in range(q.shape[0]):
                _add_token(packed[group], digits, q[n], totals[n])
        else:
            _add_tokens(packed[group], digits, q, panel, totals)
        finish(totals, 1, group, activations, outputs)


@njit(cache=True, parallel=True)
def _multiply_parallel(
    packed: np.ndarray, digits: int, activations: Activations, outputs: Outputs, chunks: int,
) -> None:
    """``_multiply_groups`` of all groups, in ``chunks`` at the same time."""
    groups = packed.shape[0]
    for chunk in prange(chunks):
        start, stop = groups * chunk // chunks, groups * (chunk + 1) // chunks
        _multiply_groups(packed, digits, activations, outputs, start, stop)
