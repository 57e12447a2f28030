"""The integer products of attention in AVX-512 VNNI, a tile of 32 tokens at a time.

Keys and values lie in memory in the order in which they are read. A tile's keys are uint8
[head_dim / 4, TILE, 4], each plus 128, because one operand of ``vpdpbusd`` is unsigned: lanes are
tokens, a word of the query goes to all of them. A tile's values are int8 [head_dim / 16, TILE / 4,
16, 4]: lanes are elements of the head, four tokens to a lane. Head dimensions are padded to 16.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .....numerics import ATTENTION_TILE
from .....tools.compiled import intrinsic
from .floats import exp_lanes, flushed
from .vectors import (
    AHEAD,
    BYTES,
    FLOAT,
    FLOATS,
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

__all__ = ["HEAD_UNIT", "KEY_OFFSET", "VALUE_VECTOR", "exp_tiles", "score_tiles", "weigh_tile"]

KEY_OFFSET = 128   # of a stored key, to make it unsigned
HEAD_UNIT = 16     # elements that a head is padded to: a vector of values, four words of keys

_QUADS = ATTENTION_TILE // 4
_HALVES = ATTENTION_TILE // 16
_KEY_STEP = 4 * ATTENTION_TILE   # bytes of keys that meet a word of the query
_WORDS_AT_ONCE = HEAD_UNIT // 4
VALUE_VECTOR = 64 * _QUADS       # bytes of a tile's values for 16 elements


@intrinsic
def score_tiles(_: Any, keys: Any, query: Any, units: Any, tiles: Any, sums: Any) -> tuple:
    """Write int32 ``sums`` [tiles, TILE]: int8 ``query`` [16 * units] times keys plus 128."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        keys, query, units, tiles, sums = arguments

        def tile(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            unit_bytes = _WORDS_AT_ONCE * _KEY_STEP
            first = builder.add(
                keys, builder.mul(index, builder.mul(units, constant(units.type, unit_bytes)))
            )

            def unit(step: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
                here = at(builder, first, step, unit_bytes)
                words = at(builder, query, step, HEAD_UNIT)
                new = list(totals)
                for word in range(_WORDS_AT_ONCE):
                    four = splat(builder, load(builder, words, INT32, 4 * word), WORDS)
                    for half in range(_HALVES):
                        place = word * _KEY_STEP + 64 * half
                        prefetch(builder, here, AHEAD + place)
                        # Two sums in turn, or each product would wait for the last.
                        lane = word % 2 * _HALVES + half
                        key = load(builder, here, BYTES, place)
                        new[lane] = dot4(builder, new[lane], key, four)
                return new

            zeros = [constant(WORDS, 0)] * (2 * _HALVES)
            totals = repeat(builder, units, zeros, unit)
            out = at(builder, sums, index, 4 * ATTENTION_TILE)
            for half in range(_HALVES):
                total = builder.add(totals[half], totals[_HALVES + half])
                store(builder, total, out, 64 * half)
            return []

        repeat(builder, tiles, [], tile)

    return writes_memory(5, generate)


@intrinsic
def exp_tiles(_: Any, scores: Any, maxima: Any, tiles: Any, values: Any, units: Any) -> tuple:
    """Turn float32 ``scores`` [tiles, TILE] into exp(score - the tile's of ``maxima`` [tiles]).

    Meanwhile the tiles' ``values``, of ``units``, are fetched from memory.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        scores, maxima, tiles, values, units = arguments

        def tile(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = builder.mul(index, units)

            def unit(step: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                here = at(builder, values, builder.add(first, step), VALUE_VECTOR)
                for line in range(_QUADS):
                    prefetch(builder, here, 64 * line)
                return []

            repeat(builder, units, [], unit)
            maximum = splat(builder, load(builder, at(builder, maxima, index, 4), FLOAT), FLOATS)
            row = at(builder, scores, index, 4 * ATTENTION_TILE)
            for half in range(_HALVES):
                score = load(builder, row, FLOATS, 64 * half)
                below = flushed(builder, builder.fsub(score, maximum))
                store(builder, exp_lanes(builder, below), row, 64 * half)
            return []

        repeat(builder, tiles, [], tile)

    return writes_memory(5, generate)


@intrinsic
def weigh_tile(_: Any, values: Any, weights: Any, units: Any, sums: Any) -> tuple:
    """Write int32 ``sums`` [16 * units]: a tile's weights times its values.

    ``weights`` are uint8 [2, TILE]: the low bytes of weights below 2^15, then the high ones.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        values, weights, units, sums = arguments

        def unit(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            here = at(builder, values, index, VALUE_VECTOR)
            low, high = constant(WORDS, 0), constant(WORDS, 0)
            for quad in range(_QUADS):
                prefetch(builder, here, AHEAD + 64 * quad)
                value = load(builder, here, BYTES, 64 * quad)
                fours = [
                    splat(builder, load(builder, weights, INT32, place + 4 * quad), WORDS)
                    for place in (0, ATTENTION_TILE)
                ]
                low = dot4(builder, low, fours[0], value)
                high = dot4(builder, high, fours[1], value)
            total = builder.add(low, builder.shl(high, constant(WORDS, 8)))
            store(builder, total, at(builder, sums, index, 64))
            return []

        repeat(builder, units, [], unit)

    return writes_memory(4, generate)
