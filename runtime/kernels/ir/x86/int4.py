"""Codes of 4 or 2 bits in AVX-512 VNNI: all groups of columns of 64 rows, from codes to outputs.

``ir.int4`` has the layout; a block is four vectors of 16 rows. Codes are taken apart in registers,
for up to six tokens at a time; a group's sums begin at minus the zero points times the sum of its
activations, and end in the outputs, scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit, types
from ..int4_layout import BLOCK, SCALES, ZEROS, bits_and_zeros
from .panel import LARGEST_TILE, ROWS, VECTORS
from .vectors import (
    AHEAD,
    BYTES,
    FLOATS,
    INT8,
    INT16S,
    INT32,
    L1,
    WORDS,
    at,
    constant,
    dot4,
    load,
    opaque_address,
    prefetch,
    repeat,
    splat,
    store,
)

__all__ = ["add_groups", "sum_groups"]

_HALVES = ir.VectorType(ir.HalfType(), 16)
_EIGHTS = ir.VectorType(INT8, 16)

Builder = ir.IRBuilder
Values = list[ir.Value]


def _add_block(
    builder: Builder, here: ir.Value, q: ir.Value, stride: ir.Value, totals: Values, bits: int
) -> Values:
    """``totals``, ``VECTORS`` to a token, plus the products of a block."""
    new = list(totals)
    low = constant(BYTES, 2**bits - 1)
    for vector in range(VECTORS):
        # Read again for each vector: all activations at once would not fit the registers.
        first = opaque_address(builder, q)
        prefetch(builder, here, AHEAD + 64 * vector, L1)
        codes = load(builder, here, BYTES, 64 * vector)
        for place_in_byte, shift in enumerate(range(0, 8, bits)):
            shifted = builder.lshr(builder.bitcast(codes, INT16S), constant(INT16S, shift))
            digits = builder.and_(builder.bitcast(shifted, BYTES), low)
            for token in range(len(totals) // VECTORS):
                place = token * VECTORS + vector
                address = at(builder, first, stride, token)
                four = splat(builder, load(builder, address, INT32, 4 * place_in_byte), WORDS)
                new[place] = dot4(builder, new[place], digits, four)
    return new


def _first_totals(
    builder: Builder, minus: Values, zeros: ir.Value, own_zeros: bool
) -> Values:
    """Where a group's sums begin; see ``add_groups`` for ``minus``, one of each token."""
    if not own_zeros:
        return [total for total in minus for _ in range(VECTORS)]
    points = [
        builder.zext(load(builder, zeros, _EIGHTS, 16 * vector), WORDS)
        for vector in range(VECTORS)
    ]
    return [builder.mul(total, point) for total in minus for point in points]


def _tile(tokens: int, exact: bool = False) -> Callable[..., None]:
    """``add_groups`` for a fixed number of tokens, or ``sum_groups``."""
    places = list(product(range(tokens), range(VECTORS)))

    def take(builder: Builder, totals: Values, here: ir.Value, y: ir.Value) -> None:
        """Scale a group's ``totals`` and add them to the outputs."""
        scales = [
            builder.fpext(load(builder, here, _HALVES, 32 * vector), FLOATS)
            for vector in range(VECTORS)
        ]
        for (token, vector), total in zip(places, totals, strict=True):
            place = 4 * ROWS * token + 64 * vector
            scaled = builder.fmul(builder.sitofp(total, FLOATS), scales[vector])
            store(builder, builder.fadd(load(builder, y, FLOATS, place), scaled), y, place)

    def generate(builder: Builder, bits: int, own_zeros: bool, arguments: Values) -> None:
        block_columns = 4 * 8 // bits
        packed, q, stride, minus, groups, blocks, y = arguments
        header = SCALES + ZEROS * own_zeros
        nbytes = builder.add(at(builder, constant(blocks.type, 0), blocks, BLOCK),
                             constant(blocks.type, header))

        def group(index: ir.Value, _: Values) -> Values:
            here = builder.add(packed, builder.mul(index, nbytes))
            column = builder.mul(builder.mul(index, blocks), constant(blocks.type, block_columns))
            activations = builder.add(q, column)
            rows = [builder.mul(groups, constant(groups.type, token)) for token in range(tokens)]
            starts = [at(builder, minus, builder.add(row, index), 4) for row in rows]
            begin = [splat(builder, load(builder, start, INT32), WORDS) for start in starts]
            zeros = builder.add(here, constant(here.type, SCALES))
            weights = builder.add(here, constant(here.type, header))
            totals = repeat(
                builder, blocks, _first_totals(builder, begin, zeros, own_zeros),
                lambda block, carried: _add_block(
                    builder, at(builder, weights, block, BLOCK),
                    at(builder, activations, block, block_columns), stride, carried, bits,
                ),
            )
            if exact:
                for vector, total in enumerate(totals):
                    store(builder, total, at(builder, y, index, 4 * ROWS), 64 * vector)
            else:
                take(builder, totals, here, y)
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


_tile1, _tile2, _tile3, _tile4, _tile5, _tile6 = map(_tile, range(1, LARGEST_TILE + 1))
_sums1 = _tile(1, exact=True)


@njit
def add_groups(
    packed: int, q: int, stride: int, tokens: int, minus: int, groups: int, blocks: int, y: int,
    form: tuple,
) -> None:
    """``numerics.add_group`` of all ``groups`` of ``blocks`` to float32 ``y`` [tokens, ROWS].

    ``form`` is ``form_of`` the bits of a code, and of whether zero points are in ``packed``.
    Addresses: int8 ``q`` [tokens, columns], rows ``stride`` bytes apart; int32 ``minus`` [tokens,
    groups], minus the sums of the activations of each group, times the zero point if it is the
    same. Nothing is flushed: scales are float16 numbers, multiples of 2^-24, hence so are all
    products and sums.
    """
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        a, t, o = q + first * stride, minus + 4 * first * groups, y + 4 * ROWS * first
        if count == 6:
            _tile6(packed, a, stride, t, groups, blocks, o, form)
        elif count == 5:
            _tile5(packed, a, stride, t, groups, blocks, o, form)
        elif count == 4:
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
