"""Codes of 4 or 2 bits by ``sdot``: all groups of columns of 64 rows, from codes to outputs.

``ir.int4`` has the layout. The rows are taken 16 at a time within a group of columns,
whose bytes then are in the L1 cache for the other 48: the sums of 64 would not fit the registers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit, types
from ..int4_layout import BLOCK, SCALES, ZEROS, bits_and_zeros
from ..row_group import ROWS
from ..words import INT8, INT32, INT64, at, constant, load, repeat, splat, store
from .vectors import (
    BYTES,
    FLOATS,
    LARGEST_TILE,
    QUADS,
    SUBGROUP_ROWS,
    VECTORS,
    WORDS,
    digits_of,
    dot4,
    four_bytes,
    load_eight,
    load_sixteen,
    widened_halves,
)

__all__ = ["add_groups", "sum_groups"]

_FOUR_ZEROS = ir.VectorType(INT8, 4)

Builder = ir.IRBuilder
Values = list[ir.Value]


def _add_block(
    builder: Builder, here: ir.Value, q: ir.Value, stride: ir.Value, totals: Values, bits: int
) -> Values:
    """``totals``, ``VECTORS`` to a token, plus the products of a block's 16 rows at ``here``."""
    new = list(totals)
    tokens = len(totals) // VECTORS
    take = {4: load_eight, 2: load_sixteen}[bits]   # the columns of a block
    rows = [
        take(builder, builder.add(q, builder.mul(stride, constant(INT64, token))))
        for token in range(tokens)
    ]
    for vector in range(VECTORS):
        codes = load(builder, here, BYTES, 16 * vector)
        for word, digits in enumerate(digits_of(builder, codes, bits)):
            for token, row in enumerate(rows):
                place = token * VECTORS + vector
                new[place] = dot4(builder, new[place], digits, four_bytes(builder, row, word))
    return new


def _first_totals(builder: Builder, minus: Values, zeros: ir.Value, own_zeros: bool) -> Values:
    """Where the sums of 16 rows begin; see ``add_groups`` for ``minus``, one of each token."""
    if not own_zeros:
        return [total for total in minus for _ in range(VECTORS)]
    points = [
        builder.zext(load(builder, zeros, _FOUR_ZEROS, 4 * vector), WORDS)
        for vector in range(VECTORS)
    ]
    return [builder.mul(total, point) for total in minus for point in points]


def _scale(builder: Builder, totals: Values, scales: ir.Value, y: ir.Value) -> None:
    """Scale the sums of 16 rows and add them to the outputs."""
    factors = [widened_halves(builder, scales, 8 * vector) for vector in range(VECTORS)]
    places = product(range(len(totals) // VECTORS), range(VECTORS))
    for (token, vector), total in zip(places, totals, strict=True):
        place = 4 * ROWS * token + 16 * vector
        scaled = builder.fmul(builder.sitofp(total, FLOATS), factors[vector])
        store(builder, builder.fadd(load(builder, y, FLOATS, place), scaled), y, place)


def _tile(tokens: int, exact: bool = False) -> Callable[..., None]:
    """``add_groups`` for a fixed number of tokens, or ``sum_groups``."""

    def generate(builder: Builder, bits: int, own_zeros: bool, arguments: Values) -> None:
        block_columns = 4 * 8 // bits
        packed, q, stride, minus, groups, blocks, y = arguments
        header = SCALES + ZEROS * own_zeros
        nbytes = builder.add(builder.mul(blocks, constant(INT64, BLOCK)), constant(INT64, header))

        def group(index: ir.Value, _: Values) -> Values:
            here = builder.add(packed, builder.mul(index, nbytes))
            columns = builder.mul(builder.mul(index, blocks), constant(INT64, block_columns))
            activations = builder.add(q, columns)
            rows = [builder.mul(groups, constant(INT64, token)) for token in range(tokens)]
            starts = [at(builder, minus, builder.add(row, index), 4) for row in rows]
            begin = [splat(builder, load(builder, start, INT32), WORDS) for start in starts]
            out = at(builder, y, index, 4 * ROWS) if exact else y

            def subgroup(quad: ir.Value, _: Values) -> Values:
                scales = at(builder, here, quad, 2 * SUBGROUP_ROWS)
                zeros = builder.add(at(builder, here, quad, SUBGROUP_ROWS),
                                    constant(INT64, SCALES))
                weights = builder.add(at(builder, here, quad, 4 * SUBGROUP_ROWS),
                                      constant(INT64, header))
                totals = repeat(
                    builder, blocks, _first_totals(builder, begin, zeros, own_zeros),
                    lambda block, carried: _add_block(
                        builder, at(builder, weights, block, BLOCK),
                        at(builder, activations, block, block_columns), stride, carried, bits,
                    ),
                )
                target = at(builder, out, quad, 4 * SUBGROUP_ROWS)
                if exact:
                    for vector, total in enumerate(totals):
                        store(builder, total, target, 16 * vector)
                else:
                    _scale(builder, totals, scales, target)
                return []

            repeat(builder, constant(INT64, QUADS), [], subgroup)
            return []

        repeat(builder, groups, [], group)

    @intrinsic
    def tile(
        _: Any, packed: Any, q: Any, stride: Any, minus: Any, groups: Any, blocks: Any, y: Any,
        form: Any,
    ) -> tuple:
        def generated(context: Any, builder: Builder, _: Any, values: Values) -> ir.Value:
            generate(builder, *bits_and_zeros(form), values[:-1])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7, form), generated

    return tile


_tile1, _tile2, _tile3, _tile4 = map(_tile, range(1, LARGEST_TILE + 1))
_sums1 = _tile(1, exact=True)


@njit
def add_groups(
    packed: int, q: int, stride: int, tokens: int, minus: int, groups: int, blocks: int, y: int,
    form: tuple,
) -> None:
    """Do what ``ir.x86.int4.add_groups`` does, which has the words for it."""
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        a, t, o = q + first * stride, minus + 4 * first * groups, y + 4 * ROWS * first
        if count == 4:
            _tile4(packed, a, stride, t, groups, blocks, o, form)
        elif count == 3:
            _tile3(packed, a, stride, t, groups, blocks, o, form)
        elif count == 2:
            _tile2(packed, a, stride, t, groups, blocks, o, form)
        else:
            _tile1(packed, a, stride, t, groups, blocks, o, form)


@njit
def sum_groups(
    packed: int, q: int, minus: int, groups: int, blocks: int, sums: int, form: tuple
) -> None:
    """Write the exact int32 ``sums`` [groups, ROWS] of one token; see ``add_groups``."""
    _sums1(packed, q, 0, minus, groups, blocks, sums, form)
