"""Ternary weights by table lookup in AVX2 or AVX-512: ``pshufb`` reads 16-entry tables of bytes.

A byte holds the digits t + 1 of four columns of a row, two bits each; 64 rows are uint8 [quads,
64]. A nibble is an index into the table of its two columns: entry d0 + 4 * d1 is the int16
(d0 - 1) * a0 + (d1 - 1) * a1, exact. Its low and high bytes lie in two tables, looked up apart and
interleaved. A quad's tables are 64 bytes: low and high of columns 0 and 1, then of columns 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic, types
from .panel import ROWS
from .vectors import AHEAD, INT8, INT32, at, constant, declare, load, prefetch, repeat, store

__all__ = ["QUADS_PER_CHUNK", "TABLES", "look_up"]

TABLES = 64            # bytes of a quad's tables
QUADS_PER_CHUNK = 32   # each adds up to 512 to an int16
_LANE = 16             # bytes of a table, and of the part of a vector that pshufb works in

Values = list[ir.Value]


class _Vectors:
    """The 64 rows as ``count`` vectors: one of 512 bits or two of 256."""

    def __init__(self, builder: ir.IRBuilder, count: int) -> None:
        self.builder, self.count, self.width = builder, count, ROWS // count
        self.bytes = ir.VectorType(INT8, self.width)
        self.shorts = ir.VectorType(ir.IntType(16), self.width // 2)

    def _shuffle(self, first: ir.Value, second: ir.Value, lanes: list[int]) -> ir.Value:
        order = ir.Constant(ir.VectorType(INT32, len(lanes)), lanes)
        return self.builder.shuffle_vector(first, second, order)

    def table(self, address: ir.Value, offset: int) -> ir.Value:
        """A table of 16 bytes, in every lane."""
        kind = ir.VectorType(INT8, _LANE)
        lanes = [byte % _LANE for byte in range(self.width)]
        return self._shuffle(
            load(self.builder, address, kind, offset), ir.Constant(kind, ir.Undefined), lanes
        )

    def look_up(self, table: ir.Value, index: ir.Value) -> ir.Value:
        """``table`` [``index``], byte by byte."""
        name = {64: "llvm.x86.avx512.pshuf.b.512", 32: "llvm.x86.avx2.pshuf.b"}[self.width]
        function = declare(self.builder, name, self.bytes, [self.bytes, self.bytes])
        return self.builder.call(function, [table, index])

    def interleaved(self, low: ir.Value, high: ir.Value) -> Values:
        """Two vectors of int16: rows 0 to 7 of every lane, and rows 8 to 15."""
        rows = [[lane + r for lane in range(0, self.width, _LANE) for r in range(start, start + 8)]
                for start in (0, 8)]
        orders = [[b for row in half for b in (row, row + self.width)] for half in rows]
        return [
            self.builder.bitcast(self._shuffle(low, high, order), self.shorts) for order in orders
        ]

    def in_order(self, halves: Values) -> ir.Value:
        """int32 sums of all rows, from what ``interleaved`` gave."""
        rows = [8 * (r // _LANE) + r % 8 + (r % _LANE >= 8) * self.width // 2
                for r in range(self.width)]
        shorts = self._shuffle(*halves, rows)
        return self.builder.sext(shorts, ir.VectorType(INT32, self.width))


@intrinsic
def look_up(
    _: Any, packed: Any, tables: Any, sums: Any, quads: Any, vectors: Any
) -> tuple[Any, Callable[..., ir.Value]]:
    """Add to int32 ``sums`` [64] from uint8 ``packed`` [quads, 64] and ``tables`` [quads, 64].

    Three addresses, and at most ``QUADS_PER_CHUNK`` quads. ``vectors`` is a tuple whose length is
    the number of vectors that make up 64 rows, part of its type so that only one is compiled.
    """

    def generate(context: Any, builder: ir.IRBuilder, _: Any, arguments: Values) -> ir.Value:
        packed, tables, sums, quads, _ = arguments
        use = _Vectors(builder, len(vectors))
        nibble = constant(use.bytes, 15)

        def quad(index: ir.Value, totals: Values) -> Values:
            here, there = at(builder, packed, index, ROWS), at(builder, tables, index, TABLES)
            prefetch(builder, here, AHEAD)
            quarter = [use.table(there, _LANE * n) for n in range(4)]
            new = []
            for vector in range(use.count):
                codes = load(builder, here, use.bytes, use.width * vector)
                shifted = builder.lshr(builder.bitcast(codes, use.shorts), constant(use.shorts, 4))
                halves = totals[2 * vector:2 * vector + 2]
                for pair, index_bytes in enumerate((codes, builder.bitcast(shifted, use.bytes))):
                    indices = builder.and_(index_bytes, nibble)
                    low, high = (use.look_up(quarter[2 * pair + n], indices) for n in range(2))
                    entries = use.interleaved(low, high)
                    halves = [builder.add(*both) for both in zip(halves, entries, strict=True)]
                new += halves
            return new

        totals = repeat(builder, quads, [constant(use.shorts, 0)] * 2 * use.count, quad)
        for vector in range(use.count):
            added = use.in_order(totals[2 * vector:2 * vector + 2])
            place = 4 * use.width * vector
            store(builder, builder.add(load(builder, sums, added.type, place), added), sums, place)
        return context.get_dummy_value()

    address = types.int64
    return types.void(address, address, address, types.int64, vectors), generate
