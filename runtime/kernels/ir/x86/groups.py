"""The matmul of a panel of bytes with a few tokens, scaled and added to outputs in registers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from .panel import LARGEST_TILE, ROWS, VECTORS, dot_step
from .vectors import (
    FLOATS,
    INT8,
    INT32,
    WORDS,
    at,
    constant,
    load,
    repeat,
    splat,
    store,
    writes_memory,
)

__all__ = ["add_group_panel"]


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


@njit
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
