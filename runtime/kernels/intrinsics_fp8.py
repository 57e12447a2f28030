"""FP8 weights in AVX-512 VNNI and VBMI: codes become three planes of bytes by table lookup.

A code's integer, in units of 2^-9, plus 2^18 is positive and has three bytes; each is a panel of
its own (``intrinsics_panel``), whose sums count 1, 256 and 65,536 times. A table of 256 bytes is
four vectors: ``vpermi2b`` looks up 128 of them, by seven bits of a code; the sign bit chooses the
half.
64 rows of codes are [steps, 4 vectors, 16 rows, 4 columns].
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from .intrinsics import (
    AHEAD,
    BYTES,
    at,
    constant,
    declare,
    load,
    prefetch,
    repeat,
    store,
    writes_memory,
)
from .intrinsics_panel import STEP, VECTORS

__all__ = ["PLANES", "unpack_fp8"]

PLANES = 3


def _look_up(builder: ir.IRBuilder, halves: list[ir.Value], codes: ir.Value) -> ir.Value:
    """The byte of 128 in two vectors that the low seven bits of each code name."""
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    function = declare(builder, name, BYTES, [BYTES, BYTES, BYTES])
    return builder.call(function, [halves[0], codes, halves[1]])


@intrinsic
def unpack_fp8(_: Any, packed: Any, tables: Any, panel: Any, plane: Any, steps: Any) -> tuple:
    """Write ``PLANES`` panels, ``plane`` bytes apart, from ``packed`` uint8 [steps, STEP].

    ``tables`` uint8 [PLANES, 256] hold the byte of each code.
    """

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        packed, tables, panel, plane, steps = arguments
        quarters = [
            [load(builder, tables, BYTES, 256 * p + 64 * quarter) for quarter in range(4)]
            for p in range(PLANES)
        ]
        targets = [at(builder, panel, plane, p) for p in range(PLANES)]

        def step(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            here = at(builder, packed, index, STEP)
            for vector in range(VECTORS):
                prefetch(builder, here, AHEAD + 64 * vector)
                codes = load(builder, here, BYTES, 64 * vector)
                negative = builder.icmp_signed("<", codes, constant(BYTES, 0))
                for target, table in zip(targets, quarters, strict=True):
                    positives = _look_up(builder, table[:2], codes)
                    negatives = _look_up(builder, table[2:], codes)
                    value = builder.select(negative, negatives, positives)
                    store(builder, value, at(builder, target, index, STEP), 64 * vector)
            return []

        repeat(builder, steps, [], step)

    return writes_memory(5, generate)
