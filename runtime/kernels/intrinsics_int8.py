"""INT8 weights in AVX-512 VNNI, row-major as they are stored.

``vpdpbusd`` wants one unsigned operand: weights go in as w + 128, so every sum is 128 times the sum
of the activations too large. Rows are read in whole vectors, past their end; activations are zero
there.

**A few tokens.** Lanes are columns, added up at the end of a row: rows are read one after the
other, a single stream. In numpy, ``dot_row`` is

    sums[:tokens] += q.astype(int) @ (row.astype(int) + 128)

**More tokens.** 16 rows at a time are transposed into a panel, w + 128 too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from .intrinsics import (
    AHEAD,
    BYTES,
    INT32,
    INT64,
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
from .intrinsics_panel import ROWS, STEP, VECTORS
from .intrinsics_rows import for_steps

__all__ = ["LARGEST_TILE", "dot_row", "unpack_int8"]

LARGEST_TILE = 6   # tokens
_IN_FLIGHT = 8     # sums at least, to hide the latency of vpdpbusd

Values = list[ir.Value]


def _dot_vector(
    builder: ir.IRBuilder, row: ir.Value, tokens: Values, index: ir.Value, totals: Values
) -> Values:
    """``totals``, one to a token, plus the products of the ``index``th vector of ``row``."""
    here = at(builder, row, index, 64)
    prefetch(builder, here, AHEAD)
    weights = to_unsigned(builder, load(builder, here, BYTES))
    return [
        dot4(builder, total, weights, load(builder, at(builder, token, index, 64), BYTES))
        for total, token in zip(totals, tokens, strict=True)
    ]


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_row`` for a fixed number of tokens."""
    unrolled = -(-_IN_FLIGHT // tokens)

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        row, q, stride, sums, vectors = arguments
        starts = [at(builder, q, stride, token) for token in range(tokens)]

        def several(index: ir.Value, totals: Values) -> Values:
            first = builder.mul(index, constant(INT64, unrolled))
            new: Values = []
            for place in range(unrolled):
                vector = builder.add(first, constant(INT64, place))
                before = totals[place * tokens:(place + 1) * tokens]
                new += _dot_vector(builder, row, starts, vector, before)
            return new

        rounds = builder.udiv(vectors, constant(INT64, unrolled))
        zeros = [constant(WORDS, 0)] * tokens * unrolled
        parts = repeat(builder, rounds, zeros, several)
        done = builder.mul(rounds, constant(INT64, unrolled))

        def one(index: ir.Value, totals: Values) -> Values:
            return _dot_vector(builder, row, starts, builder.add(done, index), totals)

        parts[:tokens] = repeat(builder, builder.sub(vectors, done), parts[:tokens], one)
        reduce = declare(builder, "llvm.vector.reduce.add.v16i32", INT32, [WORDS])
        for token in range(tokens):
            lanes = functools.reduce(builder.add, parts[token::tokens])
            place = 4 * ROWS * token
            total = builder.add(load(builder, sums, INT32, place), builder.call(reduce, [lanes]))
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(_: Any, row: Any, q: Any, stride: Any, sums: Any, vectors: Any) -> tuple:
        return writes_memory(5, generate)

    return dot_tile


_dot1, _dot2, _dot3, _dot4, _dot5, _dot6 = map(_dot_tile, range(1, LARGEST_TILE + 1))


@njit(cache=True)
def dot_row(row: int, q: int, stride: int, tokens: int, sums: int, vectors: int) -> None:
    """Add to ``sums`` [tokens, ROWS], column 0, from a row of 64 * ``vectors`` columns.

    ``row``, ``q`` and ``sums`` are addresses, the rows of ``q`` ``stride`` bytes apart; 1 to 6
    tokens. Sums wrap around modulo 2^32.
    """
    if tokens == 1:
        _dot1(row, q, stride, sums, vectors)
    elif tokens == 2:
        _dot2(row, q, stride, sums, vectors)
    elif tokens == 3:
        _dot3(row, q, stride, sums, vectors)
    elif tokens == 4:
        _dot4(row, q, stride, sums, vectors)
    elif tokens == 5:
        _dot5(row, q, stride, sums, vectors)
    else:
        _dot6(row, q, stride, sums, vectors)


@intrinsic
def unpack_int8(_: Any, rows: Any, stride: Any, panel: Any, vectors: Any) -> tuple:
    """Write a panel of w + 128 from 64 rows of 64 * ``vectors`` columns, ``stride`` bytes apart."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        rows, stride, panel, vectors = arguments
        for group in range(VECTORS):
            here = builder.add(panel, constant(INT64, 64 * group))

            def write(
                step: ir.Value, words: ir.Value, nothing: Values, here: ir.Value = here
            ) -> Values:
                store(builder, to_unsigned(builder, words), at(builder, here, step, STEP))
                return nothing

            for_steps(builder, rows, stride, vectors, group, [], write)

    return writes_memory(4, generate)
