"""INT4 weights in AVX-512 VNNI: panels, and a group of columns from sums to outputs in registers.

64 rows are [blocks, 4 vectors, 16 rows, 4 bytes]; byte b of a row holds column b of the
block's eight in its low nibble, column b + 4 in the high one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from .intrinsics import (
    AHEAD,
    BYTES,
    FLOATS,
    INT8,
    INT16S,
    INT32,
    WORDS,
    at,
    constant,
    dot4,
    load,
    prefetch,
    repeat,
    splat,
    store,
    writes_memory,
)
from .intrinsics_panel import LARGEST_TILE, ROWS, STEP, VECTORS, dot_step

__all__ = ["BLOCK", "BLOCK_COLUMNS", "add_group_panel", "add_groups_token", "unpack_int4"]

BLOCK = 64 * VECTORS   # bytes
BLOCK_COLUMNS = 8


@intrinsic
def unpack_int4(_: Any, packed: Any, panel: Any, blocks: Any) -> tuple:
    """Write ``panel`` uint8 [2 * blocks steps] of codes 0..15 from ``packed`` [blocks]."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        packed, panel, blocks = arguments
        low = constant(BYTES, 15)

        def block(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            source, target = at(builder, packed, index, BLOCK), at(builder, panel, index, 2 * STEP)
            for vector in range(VECTORS):
                prefetch(builder, source, AHEAD + 64 * vector)
                codes = load(builder, source, BYTES, 64 * vector)
                shifted = builder.lshr(builder.bitcast(codes, INT16S), constant(INT16S, 4))
                store(builder, builder.and_(codes, low), target, 64 * vector)
                high = builder.and_(builder.bitcast(shifted, BYTES), low)
                store(builder, high, target, STEP + 64 * vector)
            return []

        repeat(builder, blocks, [], block)

    return writes_memory(3, generate)


def _dot_blocks(
    builder: ir.IRBuilder, packed: ir.Value, q: ir.Value, blocks: ir.Value
) -> list[ir.Value]:
    """Sums of one token over ``blocks``, ``VECTORS`` of them, straight from the nibbles.

    The high nibbles are masked, not shifted: they count 16 times, in sums of their own.
    """

    def block(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        here, activations = at(builder, packed, index, BLOCK), at(builder, q, index, BLOCK_COLUMNS)
        new = []
        fours = [splat(builder, load(builder, activations, INT32, 4 * n), WORDS) for n in range(2)]
        for vector in range(VECTORS):
            prefetch(builder, here, AHEAD + 64 * vector)
            codes = load(builder, here, BYTES, 64 * vector)
            for nibble, four in enumerate(fours):
                masked = builder.and_(codes, constant(BYTES, 15 << 4 * nibble))
                new.append(dot4(builder, totals[2 * vector + nibble], masked, four))
        return new

    totals = repeat(builder, blocks, [constant(WORDS, 0)] * 2 * VECTORS, block)
    pairs = zip(totals[0::2], totals[1::2], strict=True)
    return [builder.add(low, builder.ashr(high, constant(WORDS, 4))) for low, high in pairs]


@intrinsic
def add_groups_token(
    _: Any, packed: Any, q: Any, blocks: Any, groups: Any, q_totals: Any, zero: Any,
    zero_stride: Any, scale: Any, scale_stride: Any, y: Any,
) -> tuple:
    """``add_group_panel`` for one token and all ``groups`` of ``blocks``, without a panel.

    ``zero_stride`` and ``scale_stride`` are the bytes from a group's zero points and scales to the
    next one's.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        packed, q, blocks, groups, q_totals, zero, zero_stride, scale, scale_stride, y = arguments
        eights = ir.VectorType(INT8, 16)

        def group(index: ir.Value, outputs: list[ir.Value]) -> list[ir.Value]:
            first = builder.mul(index, blocks)
            totals = _dot_blocks(
                builder, at(builder, packed, first, BLOCK), at(builder, q, first, BLOCK_COLUMNS),
                blocks,
            )
            q_total = splat(builder, load(builder, at(builder, q_totals, index, 4), INT32), WORDS)
            zeros = builder.add(zero, builder.mul(index, zero_stride))
            scales = builder.add(scale, builder.mul(index, scale_stride))
            new = []
            for vector, (total, before) in enumerate(zip(totals, outputs, strict=True)):
                points = builder.zext(load(builder, zeros, eights, 16 * vector), WORDS)
                exact = builder.sub(total, builder.mul(points, q_total))
                factor = load(builder, scales, FLOATS, 64 * vector)
                scaled = builder.fmul(builder.sitofp(exact, FLOATS), factor)
                new.append(builder.fadd(before, scaled))
            return new

        before = [load(builder, y, FLOATS, 64 * vector) for vector in range(VECTORS)]
        for vector, value in enumerate(repeat(builder, groups, before, group)):
            store(builder, value, y, 64 * vector)

    return writes_memory(10, generate)


def _group_tile(tokens: int) -> Callable[..., None]:
    """``add_group_panel`` for a fixed number of tokens."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        panel, q, stride, steps, q_totals, groups, zero, scale, y = arguments
        places = list(product(range(tokens), range(VECTORS)))
        eights = ir.VectorType(INT8, 16)
        zeros = [
            builder.zext(load(builder, zero, eights, 16 * vector), WORDS)
            for vector in range(VECTORS)
        ]
        minus = []
        for token in range(tokens):
            here = at(builder, q_totals, builder.mul(groups, constant(groups.type, token)), 4)
            q_total = splat(builder, builder.neg(load(builder, here, INT32)), WORDS)
            minus += [builder.mul(q_total, zeros[vector]) for vector in range(VECTORS)]
        totals = repeat(builder, steps, minus, dot_step(builder, panel, q, stride, tokens))
        for (token, vector), total in zip(places, totals, strict=True):
            place = 4 * ROWS * token + 64 * vector
            scales = load(builder, scale, FLOATS, 64 * vector)
            scaled = builder.fmul(builder.sitofp(total, FLOATS), scales)
            store(builder, builder.fadd(load(builder, y, FLOATS, place), scaled), y, place)

    @intrinsic
    def group_tile(
        _: Any, panel: Any, q: Any, stride: Any, steps: Any, q_totals: Any, groups: Any,
        zero: Any, scale: Any, y: Any,
    ) -> tuple:
        return writes_memory(9, generate)

    return group_tile


_group1, _group2, _group3, _group4, _group5, _group6 = map(_group_tile, range(1, LARGEST_TILE + 1))


@njit(cache=True)
def add_group_panel(
    panel: int, q: int, stride: int, steps: int, tokens: int,
    q_totals: int, groups: int, zero: int, scale: int, y: int,
) -> None:
    """``numerics.add_group`` of one group of columns: y += float32(sums - zero * q_total) * scale.

    Addresses: ``panel``, int8 ``q`` [tokens, 4 * steps], rows ``stride`` bytes apart; int32
    ``q_totals`` [tokens], the sums of ``q``, ``groups`` elements apart; uint8 ``zero`` [ROWS];
    float32 ``scale`` [ROWS] and ``y`` [tokens, ROWS]. Nothing is flushed: scales are float16
    numbers, multiples of 2^-24, hence so are all products and sums.
    """
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        a, t, o = q + first * stride, q_totals + 4 * first * groups, y + 4 * ROWS * first
        if count == 6:
            _group6(panel, a, stride, steps, t, groups, zero, scale, o)
        elif count == 5:
            _group5(panel, a, stride, steps, t, groups, zero, scale, o)
        elif count == 4:
            _group4(panel, a, stride, steps, t, groups, zero, scale, o)
        elif count == 3:
            _group3(panel, a, stride, steps, t, groups, zero, scale, o)
        elif count == 2:
            _group2(panel, a, stride, steps, t, groups, zero, scale, o)
        else:
            _group1(panel, a, stride, steps, t, groups, zero, scale, o)
