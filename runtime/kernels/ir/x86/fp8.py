"""FP8 weights in AVX-512 VNNI and VBMI, row-major as they are stored: one or a few tokens.

A code is an integer v in units of 2^-9 with |v| = 8 * h + r: h has 15 bits, two bytes; r has three,
and is 0 except for codes below ``_SMALL``, the numbers that are less than a 3,500th of the largest.
``vpermi2b`` looks a byte up in a table of 128 by the low seven bits of the codes. The sign goes to
the activations. Lanes are columns, added up at the end of a row; products with r are made only
where a vector has small codes. In numpy, ``dot_row_fp8`` is

    sums[:tokens] += q.astype(int) @ units[row]

Rows are read in whole vectors, past their end; activations are zero there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from .panel import ROWS
from .vectors import (
    AHEAD,
    BYTES,
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
    writes_memory,
)

__all__ = [
    "LARGEST_TILE",
    "PLANES",
    "SHIFTS",
    "dot_row_fp8",
    "look_up",
    "small_codes",
    "where_any",
]

PLANES = 3
SHIFTS = (3, 11, 0)   # of what the planes count: the low and the high byte of h, and r
_SMALL = 0x20          # in magnitude; larger codes are multiples of 8
LARGEST_TILE = 8      # tokens: their 24 sums, two bytes of the weights and an activation
_LONG = ir.VectorType(INT64, 16)

Values = list[ir.Value]


def look_up(builder: ir.IRBuilder, halves: Values, codes: ir.Value) -> ir.Value:
    """The byte of 128 in two vectors that the low seven bits of each code name."""
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    function = declare(builder, name, BYTES, [BYTES, BYTES, BYTES])
    return builder.call(function, [halves[0], codes, halves[1]])


def small_codes(builder: ir.IRBuilder, codes: ir.Value) -> ir.Value:
    """Which of ``codes`` may have an r other than 0."""
    exponent = builder.and_(codes, constant(BYTES, 0x80 - _SMALL))
    return builder.icmp_unsigned("==", exponent, constant(BYTES, 0))


def where_any(
    builder: ir.IRBuilder, mask: ir.Value, values: Values, body: Callable[[Values], Values]
) -> Values:
    """``body(values)`` where a lane of ``mask`` is set, else ``values``; seldom is expected."""
    lanes = builder.bitcast(mask, INT64)
    before = builder.block
    with builder.if_then(builder.icmp_unsigned("!=", lanes, constant(INT64, 0)), likely=False):
        new = body(values)
        inside = builder.block
    merged = []
    for old, value in zip(values, new, strict=True):
        phi = builder.phi(old.type)
        phi.add_incoming(old, before)
        phi.add_incoming(value, inside)
        merged.append(phi)
    return merged


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_row_fp8`` for a fixed number of tokens."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        row, tables, q, stride, sums, vectors = arguments
        starts = [at(builder, q, stride, token) for token in range(tokens)]
        halves = [
            [load(builder, tables, BYTES, 128 * plane + 64 * half) for half in range(2)]
            for plane in range(PLANES)
        ]

        def vector(index: ir.Value, totals: Values) -> Values:
            here = at(builder, row, index, 64)
            prefetch(builder, here, AHEAD)
            codes = load(builder, here, BYTES)
            negative = builder.icmp_signed("<", codes, constant(BYTES, 0))
            signed = []
            for start in starts:
                values = load(builder, at(builder, start, index, 64), BYTES)
                negated = builder.sub(constant(BYTES, 0), values)
                signed.append(builder.select(negative, negated, values))

            def add_plane(plane: int, before: Values) -> Values:
                weights = look_up(builder, halves[plane], codes)
                return [dot4(builder, *pair[:1], weights, pair[1])
                        for pair in zip(before, signed, strict=True)]

            parts = [totals[tokens * plane:tokens * (plane + 1)] for plane in range(PLANES)]
            low, high = add_plane(0, parts[0]), add_plane(1, parts[1])
            small = small_codes(builder, codes)
            rest = where_any(builder, small, parts[2], lambda before: add_plane(2, before))
            return low + high + rest

        totals = repeat(builder, vectors, [constant(WORDS, 0)] * tokens * PLANES, vector)
        reduce = declare(builder, "llvm.vector.reduce.add.v16i64", INT64, [_LONG])
        for token in range(tokens):
            total = load(builder, sums, INT64, 8 * ROWS * token)
            for plane, shift in enumerate(SHIFTS):
                lanes = builder.sext(totals[plane * tokens + token], _LONG)
                added = builder.call(reduce, [lanes])
                total = builder.add(total, builder.shl(added, constant(INT64, shift)))
            store(builder, total, sums, 8 * ROWS * token)

    @intrinsic
    def dot_tile(
        _: Any, row: Any, tables: Any, q: Any, stride: Any, sums: Any, vectors: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return dot_tile


_dot1, _dot2, _dot3, _dot4, _dot5, _dot6, _dot7, _dot8 = map(
    _dot_tile, range(1, LARGEST_TILE + 1)
)


@njit
def dot_row_fp8(
    row: int, tables: int, q: int, stride: int, tokens: int, sums: int, vectors: int
) -> None:
    """Add to int64 ``sums`` [tokens, ROWS], column 0, from a row of 64 * ``vectors`` codes.

    ``row``, ``q`` and ``sums`` are addresses, the rows of ``q`` ``stride`` bytes apart and none of
    its activations -128, whose negative is no int8; 1 to 8 tokens. ``tables`` uint8 [PLANES, 128]
    hold the bytes of h and r. At most 2^14 vectors, for int32 sums in the lanes.
    """
    if tokens == 1:
        _dot1(row, tables, q, stride, sums, vectors)
    elif tokens == 2:
        _dot2(row, tables, q, stride, sums, vectors)
    elif tokens == 3:
        _dot3(row, tables, q, stride, sums, vectors)
    elif tokens == 4:
        _dot4(row, tables, q, stride, sums, vectors)
    elif tokens == 5:
        _dot5(row, tables, q, stride, sums, vectors)
    elif tokens == 6:
        _dot6(row, tables, q, stride, sums, vectors)
    elif tokens == 7:
        _dot7(row, tables, q, stride, sums, vectors)
    else:
        _dot8(row, tables, q, stride, sums, vectors)
