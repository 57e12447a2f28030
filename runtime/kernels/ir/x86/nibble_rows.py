"""Four-bit codes in AVX-512, row-major as they are stored: a panel of what a table gives for them.

A word of a row is four bytes, eight codes: the low nibbles, of its even columns, make one step of
the panel, the high ones, of its odd columns, the next. So a token's activations must stand in that
order: of eight columns first 0, 2, 4, 6, then 1, 3, 5, 7.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic
from .nibbles import TABLE, four_times
from .panel import STEP, VECTORS
from .rows import for_steps
from .vectors import (
    BYTES,
    INT16S,
    INT64,
    at,
    constant,
    declare,
    load,
    prefetch,
    store,
    writes_memory,
)

__all__ = ["unpack_nibble_rows"]

_WORDS = 16   # of a row's vector


@intrinsic
def unpack_nibble_rows(
    _: Any, rows: Any, stride: Any, table: Any, panel: Any, vectors: Any, ahead: Any
) -> tuple:
    """Write ``panel`` uint8 [32 * vectors steps] from 64 rows of 64 * ``vectors`` bytes.

    The rows are ``stride`` bytes apart; ``table`` is uint8 [16]. All are addresses. As many bytes
    as are read are prefetched from the address ``ahead`` on.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        rows, stride, table, panel, vectors, ahead = arguments
        low = constant(BYTES, 15)
        values = four_times(builder, load(builder, table, TABLE))
        name = "llvm.x86.avx512.pshuf.b.512"
        look_up = declare(builder, name, BYTES, [BYTES, BYTES])
        for group in range(VECTORS):
            here = builder.add(panel, constant(INT64, 64 * group))
            quarter = builder.mul(vectors, constant(INT64, 64 * _WORDS * group))
            line = builder.add(ahead, quarter)

            def write(
                step: ir.Value, words: ir.Value, nothing: list[ir.Value], here: ir.Value = here,
                line: ir.Value = line,
            ) -> list[ir.Value]:
                prefetch(builder, at(builder, line, step, 64), 0)
                target = at(builder, here, step, 2 * STEP)
                shifted = builder.lshr(builder.bitcast(words, INT16S), constant(INT16S, 4))
                for half, nibbles in enumerate((words, builder.bitcast(shifted, BYTES))):
                    value = builder.call(look_up, [values, builder.and_(nibbles, low)])
                    store(builder, value, target, half * STEP)
                return nothing

            for_steps(builder, rows, stride, vectors, group, [], write)

    return writes_memory(6, generate)
