"""INT8 weights in AVX-512 VNNI, row-major as they are stored.

``vpdpbusd`` wants one unsigned operand: weights go in as w + 128, so every sum is 128 times the sum
of the activations too large. Rows are read in whole vectors, past their end; activations are zero
there.

**A few tokens.** Lanes are columns, added up at the end of a row. One or two tokens read four rows
of a group of 64 at once, 16 rows apart: four streams that go on for 16 rows each. More tokens read
one row after the other. In numpy, with ``step`` = 64 // STREAMS[tokens], ``dot_rows`` is

    sums[:tokens, ::step] += q.astype(int) @ (rows[::step].astype(int) + 128).T

**More tokens.** 16 rows at a time are transposed into a panel, w + 128 too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from .panel import ROWS, STEP, VECTORS
from .rows import for_steps
from .vectors import (
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

__all__ = ["LARGEST_TILE", "STREAMS", "dot_rows", "unpack_int8"]

LARGEST_TILE = 6   # tokens: their 24 sums, 4 weights and an activation in registers
STREAMS = (0, 4, 4, 1, 1, 1, 1)   # rows at once, by the number of tokens
_STREAM_AHEAD = 2048   # bytes to prefetch ahead in each of several

Values = list[ir.Value]


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_rows`` for a fixed number of tokens."""
    streams = STREAMS[tokens]
    ahead = AHEAD if streams == 1 else _STREAM_AHEAD

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        rows, stride, q, q_stride, sums, vectors = arguments
        part = builder.mul(stride, constant(INT64, ROWS // streams))
        row_starts = [at(builder, rows, part, stream) for stream in range(streams)]
        token_starts = [at(builder, q, q_stride, token) for token in range(tokens)]

        def vector(index: ir.Value, totals: Values) -> Values:
            weights = []
            for start in row_starts:
                here = at(builder, start, index, 64)
                prefetch(builder, here, ahead)
                weights.append(to_unsigned(builder, load(builder, here, BYTES)))
            new: Values = []
            for token, start in enumerate(token_starts):
                signed = load(builder, at(builder, start, index, 64), BYTES)
                before = totals[token * streams:(token + 1) * streams]
                new += [
                    dot4(builder, total, unsigned, signed)
                    for total, unsigned in zip(before, weights, strict=True)
                ]
            return new

        totals = repeat(builder, vectors, [constant(WORDS, 0)] * streams * tokens, vector)
        reduce = declare(builder, "llvm.vector.reduce.add.v16i32", INT32, [WORDS])
        places = product(range(tokens), range(0, ROWS, ROWS // streams))
        for (token, row), lanes in zip(places, totals, strict=True):
            place = 4 * (ROWS * token + row)
            total = builder.add(load(builder, sums, INT32, place), builder.call(reduce, [lanes]))
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(
        _: Any, rows: Any, stride: Any, q: Any, q_stride: Any, sums: Any, vectors: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return dot_tile


_dot1, _dot2, _dot3, _dot4, _dot5, _dot6 = map(_dot_tile, range(1, LARGEST_TILE + 1))


@njit
def dot_rows(
    rows: int, stride: int, q: int, q_stride: int, tokens: int, sums: int, vectors: int
) -> None:
    """Add to ``sums`` [tokens, ROWS], of 64 rows, columns 0, ROWS / streams, ... from these rows.

    There are ``STREAMS[tokens]`` streams; 1 to 6 tokens. ``rows``, of 64 * ``vectors`` columns,
    ``q`` and ``sums`` are addresses; rows are ``stride`` and ``q_stride`` bytes apart. Sums wrap
    around modulo 2^32.
    """
    if tokens == 1:
        _dot1(rows, stride, q, q_stride, sums, vectors)
    elif tokens == 2:
        _dot2(rows, stride, q, q_stride, sums, vectors)
    elif tokens == 3:
        _dot3(rows, stride, q, q_stride, sums, vectors)
    elif tokens == 4:
        _dot4(rows, stride, q, q_stride, sums, vectors)
    elif tokens == 5:
        _dot5(rows, stride, q, q_stride, sums, vectors)
    else:
        _dot6(rows, stride, q, q_stride, sums, vectors)


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
