"""Ternary weights in AVX-512 VNNI, at 1.6 or 2 bits in memory, as they are stored.

A few tokens read the packed bytes once, in order. More tokens share the work of unpacking: 64 rows
and some hundred columns at a time become a panel of digits in the L1 cache, which all tokens are
then multiplied with. ``ternary_forms`` has the layout.
"""

from __future__ import annotations

import numpy as np

from ....quant.formats import Ternary
from ....quant.formats.base import PackedWeight
from ....tools.compiled import njit, prange
from ..ir.x86.panel import ROWS, STEP, dot_panel
from ..ir.x86.ternary import BLOCK, dot_tokens, unpack
from ..ir.x86.ternary_forms import FORMS, Telescoped, TwoBit
from ..panel import (
    PRODUCTS_PER_CHUNK,
    Activations,
    PanelOutputs,
    aligned,
    finish,
    prepared,
    quantized,
)
from ..parallel_region import parallel_region
from ..threads import chunks_for
from .digits import row_groups

__all__ = ["VnniTernary"]

_PANEL_STEPS = 120       # 30 KiB, a multiple of the digits of every form
_FEW_TOKENS = tuple(form.few_tokens for form in FORMS)
_SEGMENT = 1600          # blocks of a token's sums in one go: at most 32,000 columns


class VnniTernary:
    """A ``FusedKernel`` of a ternary weight; ``nbytes`` is the memory that the weight takes."""

    def __init__(self, weight: PackedWeight, scale: np.ndarray) -> None:
        form = TwoBit if weight.format == Ternary("2bit") else Telescoped
        self._form = (0,) * (FORMS.index(form) + 1)
        self._packed = row_groups(weight, form)
        self._rows, self._scale = weight.shape[0], scale
        self._columns = self._packed.shape[1] // BLOCK * 4 * form.per_byte
        self.nbytes = self._packed.nbytes

    def integer(self, q: np.ndarray) -> np.ndarray:
        """The sums that ``FusedKernel.integer`` names."""
        sums = np.empty((len(q), self._rows), np.int32)
        _integer(q, sums, self._packed, self._form, self._columns, self._scale)
        return sums

    def output(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The outputs that ``FusedKernel.output`` names."""
        y = np.empty((len(x), self._rows), np.float32)
        operands = (x, y, self._packed, self._form, self._columns, self._scale, bias)
        chunks = chunks_for(len(self._packed), len(x) * self._packed.size * 4, PRODUCTS_PER_CHUNK)
        if chunks > 1:
            with parallel_region():
                _output_parallel(*operands, chunks)
        else:
            _output(*operands)
        return y


@njit
def _add_tokens(
    packed: np.ndarray, form: tuple, columns: int, q: np.ndarray, totals: np.ndarray
) -> None:
    """Add all of a few tokens' products to int32 ``totals`` [N, ROWS]."""
    blocks = packed.shape[0] // BLOCK
    for first in range(0, blocks, _SEGMENT):
        count = min(_SEGMENT, blocks - first)
        dot_tokens(
            packed.ctypes.data + first * BLOCK, q.ctypes.data + columns // blocks * first,
            q.shape[1], q.shape[0], totals.ctypes.data, count, form,
        )


@njit
def _add_panels(
    packed: np.ndarray, form: tuple, columns: int, q: np.ndarray, panel: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Add all of many tokens' products to int32 ``totals`` [N, ROWS]."""
    blocks = packed.shape[0] // BLOCK
    steps = columns // 4 // blocks   # of a block
    most = _PANEL_STEPS // steps
    for first in range(0, blocks, most):
        count = min(most, blocks - first)
        unpack(packed.ctypes.data + first * BLOCK, panel.ctypes.data, count, form)
        dot_panel(
            panel.ctypes.data, q.ctypes.data + 4 * steps * first, q.shape[1], q.shape[0],
            totals.ctypes.data, steps * count,
        )


@njit
def _multiply_groups(
    packed: np.ndarray, form: tuple, columns: int, activations: Activations, outputs: PanelOutputs,
    start: int, stop: int,
) -> None:
    """Write the ``outputs`` of row groups [start, stop)."""
    q = activations.q
    panel = aligned(_PANEL_STEPS * STEP)
    totals = aligned(4 * ROWS * q.shape[0]).view(np.int32).reshape((q.shape[0], ROWS))
    for group in range(start, stop):
        totals[:] = 0
        if q.shape[0] <= _FEW_TOKENS[len(form) - 1]:
            _add_tokens(packed[group], form, columns, q, totals)
        else:
            _add_panels(packed[group], form, columns, q, panel, totals)
        finish(totals, 1, group, activations, outputs)


@njit
def _integer(
    q: np.ndarray, sums: np.ndarray, packed: np.ndarray, form: tuple, columns: int,
    scale: np.ndarray,
) -> None:
    """Write exact int32 ``sums`` [N, M] of int8 ``q`` [N, K]."""
    nothing = np.empty(0, np.float32)
    outputs = PanelOutputs(sums, nothing.reshape((0, 0)), scale, nothing)
    _multiply_groups(packed, form, columns, prepared(q, columns), outputs, 0, packed.shape[0])


@njit
def _output(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, form: tuple, columns: int,
    scale: np.ndarray, bias: np.ndarray,
) -> None:
    """Write float32 ``y`` [N, M] of ``x`` [N, K]."""
    outputs = PanelOutputs(np.empty((0, 0), np.int32), y, scale, bias)
    _multiply_groups(packed, form, columns, quantized(x, columns), outputs, 0, packed.shape[0])


@njit(parallel=True)
def _output_parallel(
    x: np.ndarray, y: np.ndarray, packed: np.ndarray, form: tuple, columns: int,
    scale: np.ndarray, bias: np.ndarray, chunks: int,
) -> None:
    """``_output``, in ``chunks`` at the same time."""
    activations = quantized(x, columns)
    q, totals, scale_x = activations.q, activations.totals, activations.scale
    sums = np.empty((0, 0), np.int32)
    groups = packed.shape[0]
    for chunk in prange(chunks):
        # Numba takes no named tuple into a parallel loop that it was not given as an argument.
        own, outputs = Activations(q, totals, scale_x), PanelOutputs(sums, y, scale, bias)
        start, stop = groups * chunk // chunks, groups * (chunk + 1) // chunks
        _multiply_groups(packed, form, columns, own, outputs, start, stop)
