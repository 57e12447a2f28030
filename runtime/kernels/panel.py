"""What the VNNI kernels share: activations made ready, scratch memory, sums to outputs.

They take 64 rows of weights at a time. ``Operands`` of a call are int8 activations [N, stride],
zero from column K on, with the sum of each token; a call gives either the exact int32 sums
[N, M] or the float32 outputs [N, M], and the array for the other is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ...numerics import add, quantize_activation, scale_sum
from .intrinsics_panel import ROWS

__all__ = ["Activations", "Outputs", "aligned", "finish", "groups_of", "prepared", "quantized"]

_LINE = 64   # bytes of a cache line, and of a vector


class Activations(NamedTuple):
    """Int8 ``q`` [N, stride], int32 ``totals`` [N] of each row, float32 ``scale`` [N] or empty."""

    q: np.ndarray
    totals: np.ndarray
    scale: np.ndarray


class Outputs(NamedTuple):
    """Int32 ``sums`` [N, M] and float32 ``y`` [N, M], one of them [0, 0]; how sums become y.

    ``scale`` float32 [M] are the weight's, ``bias`` float32 [M] or empty.
    """

    sums: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


def groups_of(M: int) -> int:
    """Groups of ``ROWS`` rows that hold M rows."""
    return -(-M // ROWS)


def _stride(columns: int) -> int:
    """An odd number of cache lines: rows 4 KiB apart would share the sets of the L1 cache."""
    return (-(-columns // _LINE) | 1) * _LINE


def prepared(q: np.ndarray, columns: int) -> Activations:
    """Activations from int8 ``q`` [N, K], with zeros up to at least ``columns``."""
    padded = np.zeros((len(q), _stride(columns)), np.int8)
    padded[:, : q.shape[1]] = q
    return Activations(padded, q.sum(axis=1, dtype=np.int32), np.empty(0, np.float32))


def quantized(x: np.ndarray, columns: int) -> Activations:
    """Activations from float32 ``x`` [N, K], by ``numerics.quantize_activation``."""
    N = len(x)
    activations = Activations(
        np.empty((N, _stride(columns)), np.int8), np.empty(N, np.int32), np.empty(N, np.float32)
    )
    _quantize(x, *activations)
    return activations


@njit(cache=True)
def _quantize(x: np.ndarray, q: np.ndarray, totals: np.ndarray, scale: np.ndarray) -> None:
    K = x.shape[1]
    for n in range(x.shape[0]):
        row = q[n]
        scale[n] = quantize_activation(x[n], row[:K])
        row[K:] = 0
        total = np.int32(0)
        for k in range(K):
            total += np.int32(row[k])
        totals[n] = total


@njit(cache=True)
def aligned(nbytes: int) -> np.ndarray:
    """Uint8 [nbytes], not initialized, that begins with a cache line."""
    memory = np.empty(nbytes + _LINE, np.uint8)
    skipped = -memory.ctypes.data % _LINE
    return memory[skipped:skipped + nbytes]


@njit(cache=True)
def finish(
    totals: np.ndarray, offset: int, group: int, activations: Activations, outputs: Outputs
) -> None:
    """Write one group's columns of ``outputs`` from int32 ``totals`` [N, ROWS].

    The totals are of weights plus ``offset``; the activations' own sums take that back.
    """
    first = group * ROWS
    M = max(outputs.sums.shape[1], outputs.y.shape[1])
    rows = min(ROWS, M - first)
    for n in range(totals.shape[0]):
        excess = np.int32(np.int32(offset) * activations.totals[n])
        if outputs.y.shape[0] == 0:
            for r in range(rows):
                outputs.sums[n, first + r] = np.int32(totals[n, r] - excess)
            continue
        scale_x = activations.scale[n]
        y = outputs.y[n, first:first + rows]
        scale_w = outputs.scale[first:first + rows]
        for r in range(rows):
            y[r] = scale_sum(np.int32(totals[n, r] - excess), scale_x, scale_w[r])
        if outputs.bias.shape[0]:
            bias = outputs.bias[first:first + rows]
            for r in range(rows):
                y[r] = add(y[r], bias[r])
