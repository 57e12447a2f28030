"""Vectors of 512 bits in LLVM IR: what ``ir.words`` has, and what AVX-512 adds to it."""

from __future__ import annotations

from llvmlite import ir

from ..words import (
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    L1,
    L2,
    at,
    constant,
    declare,
    load,
    opaque_address,
    prefetch,
    repeat,
    splat,
    store,
    writes_memory,
)

__all__ = [
    "AHEAD",
    "BYTES",
    "FLOAT",
    "FLOATS",
    "INT8",
    "INT16",
    "INT16S",
    "INT32",
    "INT64",
    "L1",
    "L2",
    "WORDS",
    "at",
    "constant",
    "declare",
    "dot4",
    "load",
    "opaque",
    "opaque_address",
    "prefetch",
    "repeat",
    "splat",
    "store",
    "to_unsigned",
    "writes_memory",
]

BYTES = ir.VectorType(INT8, 64)     # a 512-bit vector, seen in four ways
INT16S = ir.VectorType(INT16, 32)
WORDS = ir.VectorType(INT32, 16)
FLOATS = ir.VectorType(FLOAT, 16)

AHEAD = 6144   # bytes to prefetch ahead: over a page, which no hardware prefetcher crosses

Builder = ir.IRBuilder
Value = ir.Value


def dot4(builder: Builder, total: Value, unsigned: Value, signed: Value) -> Value:
    """``vpdpbusd``: each int32 lane of ``total`` plus four products of uint8 and int8.

    ``unsigned`` and ``signed`` hold the lane's four bytes; the sum wraps around modulo 2^32.
    """
    function = declare(builder, "llvm.x86.avx512.vpdpbusd.512", WORDS, [WORDS, BYTES, BYTES])
    operands = (builder.bitcast(operand, BYTES) for operand in (unsigned, signed))
    return builder.call(function, [total, *operands])


def to_unsigned(builder: Builder, signed: Value) -> Value:
    """Uint8 lanes of int8 ``signed`` + 128."""
    return builder.xor(signed, constant(BYTES, 0x80))


def opaque(builder: Builder, value: Value) -> Value:
    """``value``, hidden from the optimizer: an empty instruction."""
    kind = ir.FunctionType(value.type, [value.type])
    return builder.call(ir.InlineAsm(kind, "", "=v,0", side_effect=False), [value])
