"""Vectors of 128 bits in LLVM IR: what ``ir.words`` has, and what NEON adds to it."""

from __future__ import annotations

from llvmlite import ir

from ..words import FLOAT, INT8, INT32, constant, declare, load

__all__ = [
    "BYTES", "FLOATS", "LARGEST_TILE", "QUADS", "SUBGROUP_ROWS", "VECTORS", "WORDS", "digits_of",
    "dot4", "four_bytes", "load_eight", "load_sixteen", "sum_lanes", "widened_halves",
]

BYTES = ir.VectorType(INT8, 16)     # a 128-bit vector, seen in three ways
WORDS = ir.VectorType(INT32, 4)
FLOATS = ir.VectorType(FLOAT, 4)

# 32 registers hold the sums of 16 rows for four tokens, their activations, codes and digits.
VECTORS = 4                 # of four rows each
SUBGROUP_ROWS = 4 * VECTORS
QUADS = 4                   # subgroups of a group of 64 rows
LARGEST_TILE = 4            # tokens

_EIGHT = ir.VectorType(INT8, 8)
_HALVES = ir.VectorType(ir.HalfType(), 4)

Builder = ir.IRBuilder
Value = ir.Value


def dot4(builder: Builder, total: Value, first: Value, second: Value) -> Value:
    """``sdot``: each int32 lane of ``total`` plus four products of its int8, modulo 2^32."""
    function = declare(
        builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", WORDS, [WORDS, BYTES, BYTES]
    )
    return builder.call(function, [total, first, second])


def four_bytes(builder: Builder, activations: Value, word: int) -> Value:
    """Word ``word`` of ``activations`` in every lane: ``sdot`` takes it by element, no code."""
    words = builder.bitcast(activations, WORDS)
    lanes = constant(ir.VectorType(INT32, 4), word)
    return builder.bitcast(
        builder.shuffle_vector(words, ir.Constant(WORDS, ir.Undefined), lanes), BYTES
    )


def load_eight(builder: Builder, address: Value) -> Value:
    """The eight bytes at ``address`` in the lower half of a vector."""
    eight = load(builder, address, _EIGHT)
    lanes = ir.Constant(ir.VectorType(INT32, 16), [*range(8)] * 2)
    return builder.shuffle_vector(eight, ir.Constant(_EIGHT, ir.Undefined), lanes)


def load_sixteen(builder: Builder, address: Value) -> Value:
    """The 16 bytes at ``address``."""
    return load(builder, address, BYTES)


def digits_of(builder: Builder, byte: Value, bits: int) -> list[Value]:
    """The digits of ``bits`` bits in each byte, the lowest first: 8 is a multiple of ``bits``."""
    shifts = range(0, 8, bits)
    shifted = [builder.lshr(byte, constant(BYTES, shift)) if shift else byte for shift in shifts]
    mask = constant(BYTES, 2**bits - 1)
    return [*(builder.and_(digits, mask) for digits in shifted[:-1]), shifted[-1]]


def sum_lanes(builder: Builder, words: Value) -> Value:
    """The int32 sum of four lanes."""
    return builder.call(
        declare(builder, "llvm.vector.reduce.add.v4i32", INT32, [WORDS]), [words]
    )


def widened_halves(builder: Builder, address: Value, offset: int) -> Value:
    """Four float16 at ``address`` + ``offset`` as float32, exactly."""
    return builder.fpext(load(builder, address, _HALVES, offset), FLOATS)
