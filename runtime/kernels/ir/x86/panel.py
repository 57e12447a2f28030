"""The matmul of a panel of bytes with a few tokens, by ``vpdpbusd``.

A panel is uint8 [steps, ROWS, 4]: four columns of ``ROWS`` rows of weights to a step, so that a
vector holds four columns of 16 rows and a token's four activations go to all of its lanes. In
numpy, ``dot_panel`` is

    sums += q[:, :4 * steps].astype(int) @ panel.swapaxes(0, 1).reshape(ROWS, -1).T
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, njit
from ..row_group import ROWS, STEP
from .vectors import (
    BYTES,
    INT32,
    WORDS,
    at,
    dot4,
    load,
    prefetch,
    repeat,
    splat,
    store,
    writes_memory,
)

__all__ = ["LARGEST_TILE", "ROWS", "STEP", "VECTORS", "dot_panel", "dot_step"]

VECTORS = ROWS // 16   # of a step
_LINE = 64             # bytes that a prefetch fetches
LARGEST_TILE = 6       # tokens: their 24 sums, a step and an activation fit the 32 registers


def dot_step(
    builder: ir.IRBuilder, panel: ir.Value, q: ir.Value, stride: ir.Value, tokens: int
) -> Callable[[ir.Value, list[ir.Value]], list[ir.Value]]:
    """Body of a loop over steps, for ``repeat``: the sums go on, ``VECTORS`` to a token."""
    rows = [at(builder, q, stride, token) for token in range(tokens)]

    def step(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        here = at(builder, panel, index, STEP)
        weights = [load(builder, here, BYTES, 64 * vector) for vector in range(VECTORS)]
        new = []
        for token, row in enumerate(rows):
            four = splat(builder, load(builder, at(builder, row, index, 4), INT32), WORDS)
            new += [
                dot4(builder, totals[token * VECTORS + vector], weights[vector], four)
                for vector in range(VECTORS)
            ]
        return new

    return step


def _dot_tile(tokens: int) -> Callable[..., None]:
    """``dot_panel`` for a fixed number of tokens."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        panel, q, stride, sums, steps, ahead = arguments
        places = [4 * ROWS * token + 64 * v for token in range(tokens) for v in range(VECTORS)]
        before = [load(builder, sums, WORDS, place) for place in places]
        multiply = dot_step(builder, panel, q, stride, tokens)

        def step(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            prefetch(builder, at(builder, ahead, index, _LINE), 0)
            return multiply(index, totals)

        totals = repeat(builder, steps, before, step)
        for place, total in zip(places, totals, strict=True):
            store(builder, total, sums, place)

    @intrinsic
    def dot_tile(
        _: Any, panel: Any, q: Any, stride: Any, sums: Any, steps: Any, ahead: Any
    ) -> tuple:
        return writes_memory(6, generate)

    return dot_tile


_dot1, _dot2, _dot3, _dot4, _dot5, _dot6 = map(_dot_tile, range(1, LARGEST_TILE + 1))


@njit
def dot_panel(
    panel: int, q: int, stride: int, tokens: int, sums: int, steps: int, ahead: int = 0
) -> None:
    """Add to int32 ``sums`` [tokens, ROWS] the products of ``steps`` of a panel.

    ``q`` int8 [tokens, 4 * steps] has rows ``stride`` bytes apart. ``panel``, ``q`` and ``sums``
    are addresses. Exact as long as a sum fits an int32. Tokens are shared out evenly over tiles.
    As many bytes as the panel has are prefetched from the address ``ahead`` on, if it is not 0,
    meanwhile: a quarter in each of the first four tiles.
    """
    ahead = ahead or panel
    tiles = (tokens + LARGEST_TILE - 1) // LARGEST_TILE
    for tile in range(tiles):
        first = tokens * tile // tiles
        count = tokens * (tile + 1) // tiles - first
        activations, totals = q + first * stride, sums + first * 4 * ROWS
        if 0 < tile < STEP // _LINE:
            ahead += _LINE * steps
        if count == 6:
            _dot6(panel, activations, stride, totals, steps, ahead)
        elif count == 5:
            _dot5(panel, activations, stride, totals, steps, ahead)
        elif count == 4:
            _dot4(panel, activations, stride, totals, steps, ahead)
        elif count == 3:
            _dot3(panel, activations, stride, totals, steps, ahead)
        elif count == 2:
            _dot2(panel, activations, stride, totals, steps, ahead)
        else:
            _dot1(panel, activations, stride, totals, steps, ahead)
