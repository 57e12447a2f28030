"""Ternary weights by ``sdot``, at two bits, straight from the packed bytes.

A group of 64 rows is [4 subgroups, blocks, 4 vectors, 4 rows, 4 bytes]; byte b of a row holds
columns b, b + 4, b + 8 and b + 12 of a block of 16, as digits t + 1 of two bits, the first column
lowest.

**One token.** The first three digits are masked in place, count 1, 4 and 16 times, and have sums of
their own; the last one is shifted, in one instruction as well, and shares the first one's sum:
eight vector instructions for 64 products.

**More tokens.** A digit is taken apart once for up to four tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from ..row_group import ROWS
from ..words import INT64, at, constant, load, repeat, store, writes_memory
from .vectors import (
    BYTES,
    LARGEST_TILE,
    QUADS,
    SUBGROUP_ROWS,
    VECTORS,
    WORDS,
    digits_of,
    dot4,
    four_bytes,
)

__all__ = ["BLOCK_COLUMNS", "add_products"]

BLOCK_COLUMNS = 16
_BLOCK = 16 * VECTORS      # bytes of a subgroup's block
_IN_PLACE = 3              # digits that are masked and not shifted
_BLOCKS_AT_ONCE = 4096     # 16 times a sum of digits is at most 2 * 16 * 128 * 4 * 4096 = 2^26

Builder = ir.IRBuilder
Values = list[ir.Value]


@intrinsic
def _one_token(_: Any, packed: Any, q: Any, stride: Any, sums: Any, blocks: Any) -> tuple:
    """Add to ``sums`` int32 [16 rows] of one token."""

    def generate(builder: Builder, arguments: Values) -> None:
        packed, q, _, sums, blocks = arguments

        def block(index: ir.Value, totals: Values) -> Values:
            here = at(builder, packed, index, _BLOCK)
            activations = load(builder, at(builder, q, index, BLOCK_COLUMNS), BYTES)
            fours = [four_bytes(builder, activations, digit) for digit in range(_IN_PLACE + 1)]
            new = []
            for vector in range(VECTORS):
                byte = load(builder, here, BYTES, 16 * vector)
                own = totals[_IN_PLACE * vector:_IN_PLACE * (vector + 1)]
                for digit in range(_IN_PLACE):
                    masked = builder.and_(byte, constant(BYTES, 3 << 2 * digit))
                    own[digit] = dot4(builder, own[digit], masked, fours[digit])
                last = builder.lshr(byte, constant(BYTES, 2 * _IN_PLACE))
                own[0] = dot4(builder, own[0], last, fours[_IN_PLACE])
                new += own
            return new

        totals = repeat(builder, blocks, [constant(WORDS, 0)] * _IN_PLACE * VECTORS, block)
        for vector in range(VECTORS):
            total = load(builder, sums, WORDS, 16 * vector)
            for digit, own in enumerate(totals[_IN_PLACE * vector:_IN_PLACE * (vector + 1)]):
                shifted = builder.ashr(own, constant(WORDS, 2 * digit)) if digit else own
                total = builder.add(total, shifted)
            store(builder, total, sums, 16 * vector)

    return writes_memory(5, generate)


def _tile(tokens: int) -> Callable[..., None]:
    """Add to ``sums`` int32 [tokens, ROWS], of 16 rows, the digits' products."""

    def generate(builder: Builder, arguments: Values) -> None:
        packed, q, stride, sums, blocks = arguments
        starts = [
            builder.add(q, builder.mul(stride, constant(INT64, token))) for token in range(tokens)
        ]

        def block(index: ir.Value, totals: Values) -> Values:
            here = at(builder, packed, index, _BLOCK)
            places = [at(builder, start, index, BLOCK_COLUMNS) for start in starts]
            rows = [load(builder, place, BYTES) for place in places]
            new = list(totals)
            for vector in range(VECTORS):
                byte = load(builder, here, BYTES, 16 * vector)
                for digit, digits in enumerate(digits_of(builder, byte, 2)):
                    for token, row in enumerate(rows):
                        place = token * VECTORS + vector
                        four = four_bytes(builder, row, digit)
                        new[place] = dot4(builder, new[place], digits, four)
            return new

        places = [4 * ROWS * token + 16 * v for token in range(tokens) for v in range(VECTORS)]
        before = [load(builder, sums, WORDS, place) for place in places]
        for place, total in zip(places, repeat(builder, blocks, before, block), strict=True):
            store(builder, total, sums, place)

    @intrinsic
    def tile(_: Any, packed: Any, q: Any, stride: Any, sums: Any, blocks: Any) -> tuple:
        return writes_memory(5, generate)

    return tile


_tile2, _tile3, _tile4 = map(_tile, range(2, LARGEST_TILE + 1))


@njit
def _add_subgroup(packed: int, q: int, stride: int, tokens: int, sums: int, blocks: int) -> None:
    """``add_products`` of 16 rows; tokens are shared out evenly over tiles."""
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        activations, totals = q + first * stride, sums + first * 4 * ROWS
        if count == 4:
            _tile4(packed, activations, stride, totals, blocks)
        elif count == 3:
            _tile3(packed, activations, stride, totals, blocks)
        elif count == 2:
            _tile2(packed, activations, stride, totals, blocks)
        else:
            _one_token(packed, activations, stride, totals, blocks)


@njit
def add_products(packed: int, q: int, stride: int, tokens: int, sums: int, blocks: int) -> None:
    """Add to int32 ``sums`` [tokens, ROWS] the digits of ``packed`` times activations.

    ``q`` int8 [tokens, 16 * blocks] has rows ``stride`` bytes apart. ``packed``, ``q`` and ``sums``
    are addresses.
    """
    for subgroup in range(QUADS):
        weights, totals = packed + subgroup * blocks * _BLOCK, sums + 4 * SUBGROUP_ROWS * subgroup
        for first in range(0, blocks, _BLOCKS_AT_ONCE):
            count = min(_BLOCKS_AT_ONCE, blocks - first)
            _add_subgroup(weights + first * _BLOCK, q + first * BLOCK_COLUMNS, stride, tokens,
                          totals, count)
