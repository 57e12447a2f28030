"""Ternary weights in AVX-512 VNNI: sums straight from the packed bytes, and panels.

``ternary_forms`` has the layout of a row group and what is done to one vector; here are the loops.
``form`` is a tuple whose length names one of ``FORMS``, part of its type so that only one is
compiled. All else are addresses and counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit, types
from .panel import LARGEST_TILE, ROWS, STEP, VECTORS
from .ternary_forms import FORMS, Form
from .vectors import (
    AHEAD,
    BYTES,
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

__all__ = ["BLOCK", "dot_tokens", "unpack"]

BLOCK = 64 * VECTORS   # bytes

Builder = ir.IRBuilder
Values = list[ir.Value]


def _with_form(
    arguments: int, form: types.BaseTuple, body: Callable[[Builder, type[Form], Values], None]
) -> tuple:
    """What an ``intrinsic`` of int64 ``arguments`` and a form returns."""

    def generate(context: Any, builder: Builder, _: Any, values: Values) -> ir.Value:
        body(builder, FORMS[len(form) - 1], values[:-1])
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments, form), generate


def _load_vector(builder: Builder, block: ir.Value, vector: int) -> ir.Value:
    prefetch(builder, block, AHEAD + 64 * vector, L1)
    return load(builder, block, BYTES, 64 * vector)


def _four(builder: Builder, activations: ir.Value, digit: int) -> ir.Value:
    return splat(builder, load(builder, activations, INT32, 4 * digit), WORDS)


@intrinsic
def _dot_one(_: Any, packed: Any, q: Any, sums: Any, blocks: Any, form: Any) -> tuple:
    """``dot_tokens`` of one token."""

    def generate(builder: Builder, form: type[Form], arguments: Values) -> None:
        packed, q, sums, blocks = arguments

        def block(index: ir.Value, totals: Values) -> Values:
            here = at(builder, packed, index, BLOCK)
            activations = at(builder, q, index, 4 * form.per_byte)
            fours = [_four(builder, activations, digit) for digit in range(form.per_byte)]
            new = []
            for vector in range(VECTORS):
                weights = _load_vector(builder, here, vector)
                own = totals[form.sums * vector:form.sums * (vector + 1)]
                new += form.add(builder, weights, fours, own)
            return new

        nothing = [constant(WORDS, 0)] * form.sums * VECTORS
        totals = repeat(builder, blocks, nothing, block)
        for vector in range(VECTORS):
            total = form.total(builder, totals[form.sums * vector:form.sums * (vector + 1)])
            before = load(builder, sums, WORDS, 64 * vector)
            store(builder, builder.add(before, total), sums, 64 * vector)

    return _with_form(4, form, generate)


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_tokens`` for a fixed number of tokens, each digit taken apart once for all of them."""

    def generate(builder: Builder, form: type[Form], arguments: Values) -> None:
        packed, q, stride, sums, blocks = arguments

        def block(index: ir.Value, totals: Values) -> Values:
            here = at(builder, packed, index, BLOCK)
            new = list(totals)
            for vector in range(VECTORS):
                # Read again for each vector: all of them at once would not fit the registers.
                first = at(builder, opaque_address(builder, q), index, 4 * form.per_byte)
                rows = [at(builder, first, stride, token) for token in range(tokens)]
                weights = _load_vector(builder, here, vector)
                for digit, digits in enumerate(form.digits(builder, weights)):
                    for token, row in enumerate(rows):
                        place = token * VECTORS + vector
                        new[place] = dot4(
                            builder, new[place], digits, _four(builder, row, digit)
                        )
            return new

        places = [4 * ROWS * token + 64 * v for token in range(tokens) for v in range(VECTORS)]
        before = [load(builder, sums, WORDS, place) for place in places]
        for place, total in zip(places, repeat(builder, blocks, before, block), strict=True):
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(
        _: Any, packed: Any, q: Any, stride: Any, sums: Any, blocks: Any, form: Any
    ) -> tuple:
        return _with_form(5, form, generate)

    return dot_tile


_tile2, _tile3, _tile4, _tile5, _tile6 = map(_dot_tile, range(2, LARGEST_TILE + 1))


@njit
def dot_tokens(
    packed: int, q: int, stride: int, tokens: int, sums: int, blocks: int, form: tuple
) -> None:
    """Add to int32 ``sums`` [tokens, ROWS] the digits of ``packed`` [blocks] times activations.

    ``q`` int8 [tokens, columns] has rows ``stride`` bytes apart. Tokens are shared out evenly over
    tiles, each of which takes the digits apart anew.
    """
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        activations, totals = q + first * stride, sums + first * 4 * ROWS
        if count == 6:
            _tile6(packed, activations, stride, totals, blocks, form)
        elif count == 5:
            _tile5(packed, activations, stride, totals, blocks, form)
        elif count == 4:
            _tile4(packed, activations, stride, totals, blocks, form)
        elif count == 3:
            _tile3(packed, activations, stride, totals, blocks, form)
        elif count == 2:
            _tile2(packed, activations, stride, totals, blocks, form)
        else:
            _dot_one(packed, activations, totals, blocks, form)


@intrinsic
def unpack(_: Any, packed: Any, panel: Any, blocks: Any, form: Any) -> tuple:
    """Write ``panel`` uint8 [digits to a byte * blocks steps] of the digits of ``packed``."""

    def generate(builder: Builder, form: type[Form], arguments: Values) -> None:
        packed, panel, blocks = arguments

        def block(index: ir.Value, _: Values) -> Values:
            here = at(builder, packed, index, BLOCK)
            target = at(builder, panel, index, form.per_byte * STEP)
            for vector in range(VECTORS):
                weights = _load_vector(builder, here, vector)
                for digit, digits in enumerate(form.digits(builder, weights)):
                    store(builder, digits, target, STEP * digit + 64 * vector)
            return []

        repeat(builder, blocks, [], block)

    return _with_form(3, form, generate)
