"""INT8 weights in AVX-512 VNNI, row-major as they are stored.

``vpdpbusd`` wants one unsigned operand: weights go in as w + 128, so every sum is 128 times the sum
of the activations too large. Lanes are columns, added up at the end of a row. Rows are read in
whole vectors, past their end; activations are zero there. In numpy, ``dot_rows`` is

    sums[:tokens, :ROW_TILE] += q.astype(int) @ (rows.astype(int) + 128).T
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from .intrinsics import (
    BYTES,
    INT32,
    WORDS,
    at,
    constant,
    declare,
    dot4,
    load,
    prefetch,
    repeat,
    store,
    to_unsigned,
    writes_memory,
)
from .intrinsics_panel import ROWS

__all__ = ["LARGEST_TILE", "ROW_TILE", "dot_rows"]

ROW_TILE = 4       # rows at once; with 5 tokens 20 sums, 4 weights and an activation in registers
LARGEST_TILE = 5   # tokens
_AHEAD = 1024      # bytes to prefetch ahead, in each of the rows


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_rows`` for a fixed number of tokens."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        rows, row_stride, q, q_stride, sums, vectors = arguments
        starts = [at(builder, rows, row_stride, row) for row in range(ROW_TILE)]
        token_starts = [at(builder, q, q_stride, token) for token in range(tokens)]

        def vector(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            weights = []
            for start in starts:
                here = at(builder, start, index, 64)
                prefetch(builder, here, _AHEAD)
                weights.append(to_unsigned(builder, load(builder, here, BYTES)))
            new = []
            for token, start in enumerate(token_starts):
                signed = load(builder, at(builder, start, index, 64), BYTES)
                new += [
                    dot4(builder, totals[token * ROW_TILE + row], weights[row], signed)
                    for row in range(ROW_TILE)
                ]
            return new

        totals = repeat(builder, vectors, [constant(WORDS, 0)] * ROW_TILE * tokens, vector)
        reduce = declare(builder, "llvm.vector.reduce.add.v16i32", INT32, [WORDS])
        places = product(range(tokens), range(ROW_TILE))
        for (token, row), lanes in zip(places, totals, strict=True):
            place = 4 * (token * ROWS + row)
            total = builder.add(load(builder, sums, INT32, place), builder.call(reduce, [lanes]))
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(
        _: Any, rows: Any, row_stride: Any, q: Any, q_stride: Any, sums: Any, vectors: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return dot_tile


_dot1, _dot2, _dot3, _dot4, _dot5 = map(_dot_tile, range(1, LARGEST_TILE + 1))


@njit(cache=True)
def dot_rows(
    rows: int, row_stride: int, q: int, q_stride: int, tokens: int, sums: int, vectors: int
) -> None:
    """Add to ``sums`` [tokens, ROWS], columns 0 to 3, from ``ROW_TILE`` rows of 64 * ``vectors``.

    ``rows``, ``q`` and ``sums`` are addresses; 1 to 5 tokens. Sums wrap around modulo 2^32.
    """
    if tokens == 5:
        _dot5(rows, row_stride, q, q_stride, sums, vectors)
    elif tokens == 4:
        _dot4(rows, row_stride, q, q_stride, sums, vectors)
    elif tokens == 3:
        _dot3(rows, row_stride, q, q_stride, sums, vectors)
    elif tokens == 2:
        _dot2(rows, row_stride, q, q_stride, sums, vectors)
    else:
        _dot1(rows, row_stride, q, q_stride, sums, vectors)
