"""Ternary weights by multiplication in AVX2 or AVX-512, without VNNI: ``vpmaddubsw``.

The layout is that of two bits in ``ternary_forms``, [blocks, ROWS, 4 bytes], 16 columns to a block.
``vpmaddubsw`` multiplies digits 0..2 with int8 activations and adds two neighbouring products, at
most 512 in magnitude, which no saturation touches; a lane of int16 takes 64 of them: they add up to
-32,768 to 32,512. ``vpmaddwd`` by ones then adds the two lanes of a row to its int32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit, types
from .panel import ROWS, STEP
from .vectors import (
    AHEAD,
    INT8,
    INT16,
    INT32,
    INT64,
    L1,
    at,
    constant,
    declare,
    load,
    opaque,
    opaque_address,
    prefetch,
    repeat,
    splat,
    store,
)

__all__ = ["BLOCKS_PER_CHUNK", "BLOCK_COLUMNS", "add_products"]

BLOCK_COLUMNS = 16
BLOCKS_PER_CHUNK = 16   # four products of pairs each to an int16
_DIGITS = 4             # of a byte
_TILE = 4               # tokens
_SUMS = 8               # vectors that stay in registers: AVX2 has 16
_LINE = 64              # bytes that a prefetch fetches

Values = list[ir.Value]


class _Vectors:
    """The 64 rows' bytes of a block as ``count`` vectors: four of 512 bits or eight of 256."""

    def __init__(self, builder: ir.IRBuilder, count: int) -> None:
        self.builder, self.count, self.width = builder, count, STEP // count
        self.bytes = ir.VectorType(INT8, self.width)
        self.shorts = ir.VectorType(INT16, self.width // 2)
        self.words = ir.VectorType(INT32, self.width // 4)

    def digits(self, packed: ir.Value, digit: int) -> ir.Value:
        """Digit ``digit`` of every byte."""
        if digit:
            shorts = self.builder.bitcast(packed, self.shorts)
            shifted = self.builder.lshr(shorts, constant(self.shorts, 2 * digit))
            packed = self.builder.bitcast(shifted, self.bytes)
        return self.builder.and_(packed, constant(self.bytes, 3))

    def pairs(self, unsigned: ir.Value, signed: ir.Value) -> ir.Value:
        """``vpmaddubsw``: int16 sums of two neighbouring products of uint8 and int8."""
        name = {64: "llvm.x86.avx512.pmaddubs.w.512", 32: "llvm.x86.avx2.pmadd.ub.sw"}[self.width]
        function = declare(self.builder, name, self.shorts, [self.bytes, self.bytes])
        return self.builder.call(function, [unsigned, signed])

    def widened(self, shorts: ir.Value) -> ir.Value:
        """``vpmaddwd`` by ones: int32 sums of two neighbouring int16."""
        name = {64: "llvm.x86.avx512.pmaddw.d.512", 32: "llvm.x86.avx2.pmadd.wd"}[self.width]
        function = declare(self.builder, name, self.words, [self.shorts, self.shorts])
        return self.builder.call(function, [shorts, constant(self.shorts, 1)])

    def four(self, activations: ir.Value, digit: int) -> ir.Value:
        """The four activations that meet a digit, in every lane of a row."""
        word = load(self.builder, activations, INT32, 4 * digit)
        return self.builder.bitcast(splat(self.builder, word, self.words), self.bytes)


def _order(vectors: int, tokens: int) -> list[tuple[int, int]]:
    """(vector, digit), in the order in which registers suffice.

    Of one token the activations of all digits are kept, of several a digit's.
    """
    order = itertools.product(range(vectors), range(_DIGITS))
    return list(order) if tokens == 1 else sorted(order, key=lambda place: place[::-1])


def _add_chunk(builder: ir.IRBuilder, count: int, tokens: int, arguments: Values) -> None:
    """Add the products of a chunk of blocks, each of ``count`` vectors, to ``tokens`` rows of sums.

    Some vectors are met by all tokens at a time, so that their sums stay in registers.
    """
    packed, q, stride, sums, blocks = arguments
    use = _Vectors(builder, count)
    together = min(count, _SUMS // tokens)

    def add(first: int) -> None:
        start = constant(INT64, use.width * first)

        def block(index: ir.Value, totals: Values) -> Values:
            here = builder.add(at(builder, packed, index, STEP), start)
            column = at(builder, opaque_address(builder, q), index, BLOCK_COLUMNS)
            rows = [at(builder, column, stride, token) for token in range(tokens)]
            for line in range(0, use.width * together, _LINE):
                prefetch(builder, here, AHEAD + line, L1)
            new = list(totals)
            for vector, digit in _order(together, tokens):
                weights = load(builder, here, use.bytes, use.width * vector)
                digits = use.digits(weights, digit)
                for token, row in enumerate(rows):
                    place = token * together + vector
                    more = use.pairs(digits, use.four(row, digit))
                    # Opaque, or LLVM adds in another order, for which the registers are too few.
                    new[place] = opaque(builder, builder.add(new[place], more))
            return new

        nothing = [constant(use.shorts, 0)] * together * tokens
        totals = repeat(builder, blocks, nothing, block)
        for token in range(tokens):
            for vector in range(together):
                place = 4 * ROWS * token + use.width * (first + vector)
                before = load(builder, sums, use.words, place)
                more = use.widened(totals[token * together + vector])
                store(builder, builder.add(before, more), sums, place)

    for first in range(0, count, together):
        add(first)


def _chunk_of(tokens: int) -> Callable[..., None]:
    """Add to int32 ``sums`` [tokens, ROWS] the products of at most ``BLOCKS_PER_CHUNK`` blocks.

    ``vectors`` is a tuple whose length is the number of vectors that make up a block, part of its
    type so that only one is compiled; all else are addresses and counts.
    """

    @intrinsic
    def chunk(
        _: Any, packed: Any, q: Any, stride: Any, sums: Any, blocks: Any, vectors: Any
    ) -> tuple[Any, Callable[..., ir.Value]]:
        def generate(context: Any, builder: ir.IRBuilder, _: Any, arguments: Values) -> ir.Value:
            _add_chunk(builder, len(vectors), tokens, arguments[:-1])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5, vectors), generate

    return chunk


_chunk1, _chunk2, _chunk3, _chunk4 = map(_chunk_of, range(1, _TILE + 1))


@njit
def add_products(
    packed: int, q: int, stride: int, tokens: int, sums: int, blocks: int, vectors: tuple
) -> None:
    """Add to int32 ``sums`` [tokens, ROWS] the digits of ``packed`` [blocks] times activations.

    ``q`` int8 [tokens, columns] has rows ``stride`` bytes apart. ``packed``, ``q`` and ``sums`` are
    addresses; ``vectors`` is a tuple of as many items as vectors make up a block: four or eight.
    Tokens are shared out evenly over tiles.
    """
    tiles = (tokens + _TILE - 1) // _TILE
    for chunk in range(0, blocks, BLOCKS_PER_CHUNK):
        count = min(BLOCKS_PER_CHUNK, blocks - chunk)
        weights = packed + chunk * STEP
        for tile in range(tiles):
            first = tokens * tile // tiles
            together = tokens * (tile + 1) // tiles - first
            activations = q + first * stride + chunk * BLOCK_COLUMNS
            totals = sums + first * 4 * ROWS
            if together == 4:
                _chunk4(weights, activations, stride, totals, count, vectors)
            elif together == 3:
                _chunk3(weights, activations, stride, totals, count, vectors)
            elif together == 2:
                _chunk2(weights, activations, stride, totals, count, vectors)
            else:
                _chunk1(weights, activations, stride, totals, count, vectors)
