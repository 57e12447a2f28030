"""FP8 weights in AVX-512 VNNI and VBMI, for many tokens: panels of bytes, and what they leave out.

A code's integer v, in units of 2^-9, is 8 * h + r with r from 0 to 7. h + 2^15 is two unsigned
bytes: two panels (``ir.x86.panel``). r is 0 for all but the smallest numbers
(``ir.x86.fp8``): a vector of r is kept, with the step that it belongs to, only where it is not
all zeros. ``vpermi2b`` looks up 128 bytes by seven bits of a code; the sign bit chooses the half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from .fp8 import PLANES, look_up, small_codes, where_any
from .panel import ROWS, STEP, VECTORS
from .rows import for_steps
from .vectors import (
    BYTES,
    INT32,
    INT64,
    WORDS,
    at,
    constant,
    dot4,
    load,
    repeat,
    splat,
    store,
    writes_memory,
)

__all__ = ["dot_kept", "unpack_fp8"]

_TILE = 4   # tokens at once in ``dot_kept``

Values = list[ir.Value]


@intrinsic
def unpack_fp8(
    _: Any, rows: Any, stride: Any, tables: Any, panels: Any, kept: Any, steps: Any, counts: Any,
    size: Any, vectors: Any,
) -> tuple:
    """Write two panels, of h + 2^15, and the vectors of r that have not only zeros.

    64 ``rows`` of 64 * ``vectors`` codes are ``stride`` bytes apart; ``tables`` uint8 [PLANES, 256]
    hold the bytes of each code. The panels are ``size`` steps apart. For each 16 rows, up to
    ``size`` vectors are ``kept`` uint8 [VECTORS, size, 64], of the int64 ``steps`` [VECTORS, size];
    int64 ``counts`` [VECTORS] says how many.
    """

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        rows, stride, tables, panels, kept, steps, counts, size, vectors = arguments
        quarters = [
            [load(builder, tables, BYTES, 256 * plane + 64 * quarter) for quarter in range(4)]
            for plane in range(PLANES)
        ]
        panel_bytes = builder.mul(size, constant(INT64, STEP))

        def byte(plane: int, codes: ir.Value) -> ir.Value:
            negative = builder.icmp_signed("<", codes, constant(BYTES, 0))
            positives, negatives = (
                look_up(builder, quarters[plane][first:first + 2], codes) for first in (0, 2)
            )
            return builder.select(negative, negatives, positives)

        for group in range(VECTORS):
            first = builder.mul(size, constant(INT64, group))
            places = at(builder, steps, first, 8), at(builder, kept, first, 64)

            def write(
                step: ir.Value, codes: ir.Value, count: Values,
                group: int = group, places: tuple[ir.Value, ir.Value] = places,
            ) -> Values:
                for plane in range(2):
                    target = at(builder, panels, panel_bytes, plane)
                    target = at(builder, target, step, STEP)
                    store(builder, byte(plane, codes), target, 64 * group)

                def keep(count: Values) -> Values:
                    r = byte(2, codes)
                    store(builder, step, at(builder, places[0], count[0], 8))
                    store(builder, r, at(builder, places[1], count[0], 64))
                    mask = builder.icmp_unsigned("!=", r, constant(BYTES, 0))
                    some = builder.icmp_unsigned(
                        "!=", builder.bitcast(mask, INT64), constant(INT64, 0)
                    )
                    return [builder.add(count[0], builder.zext(some, INT64))]

                return where_any(builder, small_codes(builder, codes), count, keep)

            zero = [constant(INT64, 0)]
            count = for_steps(builder, rows, stride, vectors, group, zero, write)
            store(builder, count[0], counts, 8 * group)

    return writes_memory(9, generate)


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_kept`` for a fixed number of tokens."""

    def generate(builder: ir.IRBuilder, arguments: Values) -> None:
        kept, steps, count, q, stride, sums = arguments
        starts = [at(builder, q, stride, token) for token in range(tokens)]
        places = [4 * ROWS * token for token in range(tokens)]

        def one(index: ir.Value, totals: Values) -> Values:
            weights = load(builder, at(builder, kept, index, 64), BYTES)
            step = load(builder, at(builder, steps, index, 8), INT64)
            new = []
            for total, start in zip(totals, starts, strict=True):
                four = splat(builder, load(builder, at(builder, start, step, 4), INT32), WORDS)
                new.append(dot4(builder, total, weights, four))
            return new

        before = [load(builder, sums, WORDS, place) for place in places]
        for place, total in zip(places, repeat(builder, count, before, one), strict=True):
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(
        _: Any, kept: Any, steps: Any, count: Any, q: Any, stride: Any, sums: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return dot_tile


_dot1, _dot_many = _dot_tile(1), _dot_tile(_TILE)


@njit
def dot_kept(
    kept: int, steps: int, count: int, q: int, stride: int, tokens: int, sums: int
) -> None:
    """Add to int32 ``sums`` [tokens, ROWS], columns 0 to 15, the products of ``count`` vectors.

    ``kept`` and ``steps`` are where ``unpack_fp8`` put them for 16 rows; ``q`` int8 has rows
    ``stride`` bytes apart. All are addresses.
    """
    whole = tokens // _TILE * _TILE
    for n in range(0, whole, _TILE):
        _dot_many(kept, steps, count, q + n * stride, stride, sums + 4 * ROWS * n)
    for n in range(whole, tokens):
        _dot1(kept, steps, count, q + n * stride, stride, sums + 4 * ROWS * n)
