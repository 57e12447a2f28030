"""INT8 weights by ``sdot``, row-major as they are stored.

Lanes are columns, added up at the end of a row; four rows meet up to four tokens, so that each of
eight loads serves four instructions. Rows are read in whole vectors, past their end: activations
are zero there. In numpy, ``dot_rows`` is

    sums[:tokens, :4] += q.astype(int) @ rows[:4].astype(int).T
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from ..row_group import ROWS
from ..words import INT32, INT64, at, constant, load, repeat, store, writes_memory
from .vectors import BYTES, LARGEST_TILE, WORDS, dot4, sum_lanes

__all__ = ["COLUMNS", "ROWS_AT_ONCE", "dot_rows"]

ROWS_AT_ONCE = 4
COLUMNS = 16   # of a vector

Values = list[ir.Value]


def _tile(tokens: int) -> Callable[..., None]:
    """``dot_rows`` for a fixed number of tokens."""
    places = list(product(range(tokens), range(ROWS_AT_ONCE)))

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        rows, stride, q, q_stride, sums, vectors = arguments
        weights_at, tokens_at = (
            [builder.add(first, builder.mul(step, constant(INT64, n))) for n in range(count)]
            for first, step, count in ((rows, stride, ROWS_AT_ONCE), (q, q_stride, tokens))
        )

        def vector(index: ir.Value, totals: Values) -> Values:
            weights, activations = (
                [load(builder, at(builder, start, index, COLUMNS), BYTES) for start in starts]
                for starts in (weights_at, tokens_at)
            )
            return [
                dot4(builder, total, weights[row], activations[token])
                for total, (token, row) in zip(totals, places, strict=True)
            ]

        totals = repeat(builder, vectors, [constant(WORDS, 0)] * len(places), vector)
        for (token, row), lanes in zip(places, totals, strict=True):
            place = 4 * (ROWS * token + row)
            total = builder.add(load(builder, sums, INT32, place), sum_lanes(builder, lanes))
            store(builder, total, sums, place)

    @intrinsic
    def tile(
        _: Any, rows: Any, stride: Any, q: Any, q_stride: Any, sums: Any, vectors: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return tile


_tile1, _tile2, _tile3, _tile4 = map(_tile, range(1, LARGEST_TILE + 1))


@njit
def dot_rows(
    rows: int, stride: int, q: int, q_stride: int, tokens: int, sums: int, vectors: int
) -> None:
    """Add to int32 ``sums`` [tokens, ROWS] of four rows, each of 16 * ``vectors`` columns.

    ``rows``, ``q`` and ``sums`` are addresses; rows are ``stride`` and ``q_stride`` bytes apart.
    Tokens are shared out evenly over tiles.
    """
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        activations, totals = q + first * q_stride, sums + first * 4 * ROWS
        if count == 4:
            _tile4(rows, stride, activations, q_stride, totals, vectors)
        elif count == 3:
            _tile3(rows, stride, activations, q_stride, totals, vectors)
        elif count == 2:
            _tile2(rows, stride, activations, q_stride, totals, vectors)
        else:
            _tile1(rows, stride, activations, q_stride, totals, vectors)
