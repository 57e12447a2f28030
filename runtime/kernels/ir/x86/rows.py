"""From rows of bytes, as a weight is stored, to the vectors of a panel (``ir.x86.panel``).

A panel's vector is four columns, one word, of 16 rows; a row's vector is 16 words of one row. 16 by
16 words are transposed in four rounds, each of one shuffle to a vector: words of two rows are
interleaved, then pairs of words, then twice the quarters of 128 bits.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .vectors import BYTES, INT32, INT64, WORDS, at, constant, load, repeat

__all__ = ["for_steps"]

_LANES = 16   # words of a vector, and rows that are transposed at once

# By the distance of the two vectors that a round takes: which of their 32 words go into the first
# and the second of the two that it makes.
_QUARTERS = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
_ROUNDS = {
    1: ([4 * q + w for q in range(4) for w in (0, 16, 1, 17)], 2),
    2: ([4 * q + w for q in range(4) for w in (0, 1, 16, 17)], 2),
    4: (_QUARTERS, 4),
    8: (_QUARTERS, 4),
}


def _transposed(
    builder: ir.IRBuilder, rows: ir.Value, stride: ir.Value, column: ir.Value
) -> list[ir.Value]:
    """16 vectors of bytes: word w of 16 rows ``stride`` bytes apart, for w from ``column`` / 4 on.

    ``rows`` is the address of the first row, ``column`` an offset into each, in bytes.
    """
    first = builder.add(rows, column)
    vectors = [load(builder, at(builder, first, stride, row), WORDS) for row in range(_LANES)]
    kind = ir.VectorType(INT32, _LANES)
    for distance, (lower, step) in _ROUNDS.items():
        orders = [ir.Constant(kind, [word + more for word in lower]) for more in (0, step)]
        for row in range(_LANES):
            if not row & distance:
                pair = vectors[row], vectors[row + distance]
                vectors[row], vectors[row + distance] = (
                    builder.shuffle_vector(*pair, order) for order in orders
                )
    # The first round tells words apart by their second bit, the second one by their first.
    places = [word & ~3 | (word & 1) << 1 | (word & 2) >> 1 for word in range(_LANES)]
    return [builder.bitcast(vectors[place], BYTES) for place in places]


def for_steps(
    builder: ir.IRBuilder,
    rows: ir.Value,
    stride: ir.Value,
    vectors: ir.Value,
    group: int,
    carried: list[ir.Value],
    body: Callable[[ir.Value, ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """``for step in panel: carried = body(step, words, carried)``; gives the last ``carried``.

    ``words`` are four columns of 16 rows, the ``group``th of a panel's 64; these are at the address
    ``rows``, of 64 * ``vectors`` columns, ``stride`` bytes apart.
    """
    start = at(builder, rows, stride, _LANES * group)

    def block(index: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
        column, first = (builder.mul(index, constant(INT64, n)) for n in (64, _LANES))
        for word, words in enumerate(_transposed(builder, start, stride, column)):
            values = body(builder.add(first, constant(INT64, word)), words, values)
        return values

    return repeat(builder, vectors, carried, block)
