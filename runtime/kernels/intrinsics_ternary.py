"""Ternary weights in AVX-512 VNNI: a token's sums straight from the packed bytes, and panels.

Weights are digits t + 1 in 0..2. A group of 64 rows is [blocks, 4 vectors, 16 rows, 4 bytes]; byte
b of a row holds columns b, b + 4, b + 8, ... of the block, so that a vector of four-byte lanes and
four activations in every lane make one ``vpdpbusd`` to each digit.

**Two bits** (16 columns to a block): digit d is in bits 2d and 2d + 1. Masked but not shifted, it
counts 4^d times; each d has a sum of its own, shifted once at the end.

**Base 3** (20 columns to a block): a byte is x[0] = ceil(v * 256 / 243), where v is the sum of
digit[d] * 3^(4-d). With x[d+1] = 3 * x[d] mod 256, which is two byte additions,

    256 * digit[d] = 3 * x[d] - x[d+1]
    256 * sum_d digit[d] * a[d] = 3 * sum_d x[d] * a[d] - sum_d x[d+1] * a[d]

so that no digit is ever taken apart: two sums of bytes times activations are enough. They may wrap
around, but the left side must fit an int32: K up to 32,767 at a time.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from .intrinsics import (
    AHEAD,
    BYTES,
    INT16S,
    INT32,
    WORDS,
    at,
    constant,
    dot4,
    load,
    opaque,
    prefetch,
    repeat,
    splat,
    store,
    writes_memory,
)
from .intrinsics_panel import STEP, VECTORS

__all__ = ["BLOCK", "dot_base3", "dot_two_bit", "unpack_base3", "unpack_two_bit"]

BLOCK = 64 * VECTORS   # bytes

Values = list[ir.Value]


def _load_block(builder: ir.IRBuilder, block: ir.Value) -> Values:
    for vector in range(VECTORS):
        prefetch(builder, block, AHEAD + 64 * vector)
    return [load(builder, block, BYTES, 64 * vector) for vector in range(VECTORS)]


def _add_to(builder: ir.IRBuilder, totals: Values, sums: ir.Value) -> None:
    for vector, total in enumerate(totals):
        before = load(builder, sums, WORDS, 64 * vector)
        store(builder, builder.add(before, total), sums, 64 * vector)


def _triple(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """3 * x mod 256; LLVM would make x + x + x a byte multiplication, of four instructions."""
    return builder.add(opaque(builder, builder.add(x, x)), x)


@intrinsic
def dot_two_bit(_: Any, packed: Any, q: Any, sums: Any, blocks: Any) -> tuple:
    """Add to int32 ``sums`` [64] from 2-bit ``packed`` [blocks] and int8 ``q`` [16 * blocks]."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        packed, q, sums, blocks = arguments

        def block(index: ir.Value, totals: Values) -> Values:
            weights = _load_block(builder, at(builder, packed, index, BLOCK))
            activations = at(builder, q, index, 16)
            new = []
            for digit in range(4):
                mask = constant(BYTES, 3 << 2 * digit)
                four = splat(builder, load(builder, activations, INT32, 4 * digit), WORDS)
                new += [
                    dot4(builder, totals[digit * VECTORS + v], builder.and_(weights[v], mask), four)
                    for v in range(VECTORS)
                ]
            return new

        totals = repeat(builder, blocks, [constant(WORDS, 0)] * 4 * VECTORS, block)
        shifted = [
            builder.ashr(total, constant(WORDS, 2 * (place // VECTORS)))
            for place, total in enumerate(totals)
        ]
        for place in range(VECTORS, 4 * VECTORS):
            vector = place % VECTORS
            shifted[vector] = builder.add(shifted[vector], shifted[place])
        _add_to(builder, shifted[:VECTORS], sums)

    return writes_memory(4, generate)


@intrinsic
def dot_base3(_: Any, packed: Any, q: Any, sums: Any, blocks: Any) -> tuple:
    """Add to int32 ``sums`` [64] from base-3 ``packed`` [blocks] and int8 ``q`` [20 * blocks]."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        packed, q, sums, blocks = arguments

        def block(index: ir.Value, totals: Values) -> Values:
            x = _load_block(builder, at(builder, packed, index, BLOCK))
            activations = at(builder, q, index, 20)
            these, nexts = totals[:VECTORS], totals[VECTORS:]
            for digit in range(5):
                four = splat(builder, load(builder, activations, INT32, 4 * digit), WORDS)
                these = [dot4(builder, *pair, four) for pair in zip(these, x, strict=True)]
                x = [_triple(builder, value) for value in x]
                nexts = [dot4(builder, *pair, four) for pair in zip(nexts, x, strict=True)]
            return these + nexts

        totals = repeat(builder, blocks, [constant(WORDS, 0)] * 2 * VECTORS, block)
        scaled = [
            builder.sub(builder.mul(this, constant(WORDS, 3)), following)
            for this, following in zip(totals[:VECTORS], totals[VECTORS:], strict=True)
        ]
        _add_to(builder, [builder.ashr(sum_, constant(WORDS, 8)) for sum_ in scaled], sums)

    return writes_memory(4, generate)


@intrinsic
def unpack_two_bit(_: Any, packed: Any, panel: Any, blocks: Any) -> tuple:
    """Write ``panel`` uint8 [4 * blocks steps] of digits from 2-bit ``packed`` [blocks]."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        packed, panel, blocks = arguments

        def block(index: ir.Value, _: Values) -> Values:
            target = at(builder, panel, index, 4 * STEP)
            weights = _load_block(builder, at(builder, packed, index, BLOCK))
            for vector in range(VECTORS):
                words = builder.bitcast(weights[vector], INT16S)
                for digit in range(4):
                    shifted = builder.lshr(words, constant(INT16S, 2 * digit))
                    digits = builder.and_(builder.bitcast(shifted, BYTES), constant(BYTES, 3))
                    store(builder, digits, target, STEP * digit + 64 * vector)
            return []

        repeat(builder, blocks, [], block)

    return writes_memory(3, generate)


@intrinsic
def unpack_base3(_: Any, packed: Any, panel: Any, blocks: Any) -> tuple:
    """Write ``panel`` uint8 [5 * blocks steps] of digits from base-3 ``packed`` [blocks].

    The digit of x is 3 * x div 256: whether x reaches 256 / 3, and whether it reaches 512 / 3.
    """

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        packed, panel, blocks = arguments

        def reaches(x: ir.Value, bound: int) -> ir.Value:
            return builder.zext(builder.icmp_unsigned(">=", x, constant(BYTES, bound)), BYTES)

        def block(index: ir.Value, _: Values) -> Values:
            target = at(builder, panel, index, 5 * STEP)
            x = _load_block(builder, at(builder, packed, index, BLOCK))
            for digit, vector in product(range(5), range(VECTORS)):
                digits = builder.add(reaches(x[vector], 86), reaches(x[vector], 171))
                store(builder, digits, target, STEP * digit + 64 * vector)
                x[vector] = _triple(builder, x[vector])
            return []

        repeat(builder, blocks, [], block)

    return writes_memory(3, generate)
