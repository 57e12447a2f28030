"""Four-bit codes in AVX-512: a panel of the bytes that a table of 16 gives for them (``pshufb``).

64 rows are laid out as in ``ir.int4``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic
from ..int4_layout import BLOCK
from .panel import STEP, VECTORS
from .vectors import (
    AHEAD,
    BYTES,
    INT8,
    INT16S,
    INT32,
    at,
    constant,
    declare,
    load,
    prefetch,
    repeat,
    store,
    writes_memory,
)

__all__ = ["TABLE", "four_times", "unpack_nibbles"]

TABLE = ir.VectorType(INT8, 16)


def four_times(builder: ir.IRBuilder, table: ir.Value) -> ir.Value:
    """The 16 bytes of ``table`` in each 128-bit lane."""
    lanes = [index % 16 for index in range(64)]
    mask = ir.Constant(ir.VectorType(INT32, 64), lanes)
    return builder.shuffle_vector(table, ir.Constant(TABLE, ir.Undefined), mask)


@intrinsic
def unpack_nibbles(_: Any, packed: Any, table: Any, panel: Any, blocks: Any) -> tuple:
    """Write ``panel`` uint8 [2 * blocks steps] from ``packed`` [blocks] and ``table`` uint8 [16].

    All are addresses.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        packed, table, panel, blocks = arguments
        low = constant(BYTES, 15)
        values = four_times(builder, load(builder, table, TABLE))
        name = "llvm.x86.avx512.pshuf.b.512"
        look_up = declare(builder, name, BYTES, [BYTES, BYTES])

        def block(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            source, target = at(builder, packed, index, BLOCK), at(builder, panel, index, 2 * STEP)
            for vector in range(VECTORS):
                prefetch(builder, source, AHEAD + 64 * vector)
                codes = load(builder, source, BYTES, 64 * vector)
                shifted = builder.lshr(builder.bitcast(codes, INT16S), constant(INT16S, 4))
                nibbles = (codes, builder.bitcast(shifted, BYTES))
                for half, nibble in enumerate(nibbles):
                    value = builder.call(look_up, [values, builder.and_(nibble, low)])
                    store(builder, value, target, half * STEP + 64 * vector)
            return []

        repeat(builder, blocks, [], block)

    return writes_memory(4, generate)
