"""``numerics.exp`` and ``numerics.reciprocal`` of 16 lanes in AVX-512, bit for bit.

The tables are looked up in registers (``vpermi2ps``): a gather of 16 lanes takes several times as
long. Products and sums are separate instructions, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from ..... import numerics
from .....numerics.tables import EXP_TABLE, RECIPROCAL_TABLE
from .vectors import FLOAT, FLOATS, WORDS, constant, declare

__all__ = ["exp_lanes", "float_constant", "flushed", "reciprocal_lanes"]

_SEGMENTS = 128      # of both tables
_SEGMENT_BITS = 7
_MANTISSA_BITS = 23
_EXPONENT = 0x7F80_0000
_SIGN = -0x8000_0000
_ONE = 0x3F80_0000
_MIN_NORMAL = 0x0080_0000
_ROUNDER = np.float32(1.5 * 2**23)
_ROUNDER_BITS = 0x4B40_0000
_NAN = 0x7FC0_0000

Builder = ir.IRBuilder
Value = ir.Value


def float_constant(value: float) -> ir.Constant:
    """Float32 ``value`` in every lane."""
    return ir.Constant(FLOATS, [ir.Constant(FLOAT, float(value))] * FLOATS.count)


def flushed(builder: Builder, value: Value) -> Value:
    """``numerics.flush`` of float32 lanes: what is subnormal becomes zero with its sign."""
    bits = builder.bitcast(value, WORDS)
    exponent = builder.and_(bits, constant(WORDS, _EXPONENT))
    small = builder.icmp_signed("==", exponent, constant(WORDS, 0))
    zero = builder.and_(bits, constant(WORDS, _SIGN))
    return builder.bitcast(builder.select(small, zero, bits), FLOATS)


def _look_up(builder: Builder, table: Sequence[float], segment: Value) -> Value:
    """``table`` float32 [128] at the int32 lanes of ``segment``, 0 to 127."""
    function = declare(
        builder, "llvm.x86.avx512.vpermi2var.ps.512", FLOATS, [FLOATS, WORDS, FLOATS]
    )

    def part(first: int) -> ir.Constant:
        return ir.Constant(FLOATS, [ir.Constant(FLOAT, float(v)) for v in table[first:first + 16]])

    found = [
        builder.call(function, [part(first), segment, part(first + 16)])
        for first in range(0, _SEGMENTS, 32)
    ]
    for bit in (32, 64):
        tested = builder.and_(segment, constant(WORDS, bit))
        upper = builder.icmp_signed("!=", tested, constant(WORDS, 0))
        found = [
            builder.select(upper, high, low)
            for low, high in zip(found[0::2], found[1::2], strict=True)
        ]
    return found[0]


def _quadratic(builder: Builder, table: np.ndarray, segment: Value, d: Value) -> Value:
    """The int32 bits of ``numerics._quadratic`` with the coefficients of ``table`` [128, 3]."""
    c0, c1, c2 = (_look_up(builder, column, segment) for column in table.T)
    inner = builder.fadd(c1, builder.fmul(d, c2))
    return builder.bitcast(builder.fadd(c0, builder.fmul(d, inner)), WORDS)


def exp_lanes(builder: Builder, x: Value) -> Value:
    """``numerics.exp`` of flushed float32 lanes.

    Only the last of its steps can meet a subnormal number: x is normal or zero, and what comes from
    it is a multiple of 2^-80 or x itself.
    """
    lowest, highest = map(float_constant, (numerics.EXP_LOWEST, numerics.EXP_HIGHEST))
    clamped = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    clamped = builder.select(builder.fcmp_ordered(">", clamped, highest), highest, clamped)
    rounder = float_constant(_ROUNDER)
    scaled = builder.fmul(clamped, float_constant(numerics.EXP_STEPS_PER_UNIT))
    shifted = builder.fadd(scaled, rounder)
    k = builder.sub(builder.bitcast(shifted, WORDS), constant(WORDS, _ROUNDER_BITS))
    steps = builder.fsub(shifted, rounder)
    high = builder.fmul(steps, float_constant(numerics.EXP_STEP_HIGH))
    low = builder.fmul(steps, float_constant(numerics.EXP_STEP_LOW))
    d = builder.fsub(builder.fsub(clamped, high), low)
    segment = builder.and_(k, constant(WORDS, _SEGMENTS - 1))
    power = builder.ashr(k, constant(WORDS, _SEGMENT_BITS))
    bits = builder.add(
        _quadratic(builder, EXP_TABLE, segment, d),
        builder.shl(power, constant(WORDS, _MANTISSA_BITS)),
    )
    return _finished(builder, bits, builder.fcmp_unordered("uno", x, x))


def _finished(builder: Builder, bits: Value, not_a_number: Value) -> Value:
    """Float32 of ``bits``: zero below the normal numbers, at most infinity, or NaN."""
    infinity = constant(WORDS, _EXPONENT)
    above = builder.icmp_signed(">", bits, infinity)
    bits = builder.select(above, infinity, bits)
    below = builder.icmp_signed("<", bits, constant(WORDS, _MIN_NORMAL))
    bits = builder.select(below, constant(WORDS, 0), bits)
    bits = builder.select(not_a_number, constant(WORDS, _NAN), bits)
    return builder.bitcast(bits, FLOATS)


def reciprocal_lanes(builder: Builder, x: Value) -> Value:
    """``numerics.reciprocal`` of flushed float32 lanes that are not negative."""
    bits = builder.bitcast(x, WORDS)
    mantissa = builder.and_(bits, constant(WORDS, (1 << _MANTISSA_BITS) - 1))
    shift = _MANTISSA_BITS - _SEGMENT_BITS
    segment = builder.lshr(mantissa, constant(WORDS, shift))
    start = builder.and_(mantissa, constant(WORDS, -1 << shift))
    one = constant(WORDS, _ONE)
    d = builder.fsub(
        builder.bitcast(builder.or_(mantissa, one), FLOATS),
        builder.bitcast(builder.or_(start, one), FLOATS),
    )
    power = builder.sub(
        constant(WORDS, 127), builder.lshr(bits, constant(WORDS, _MANTISSA_BITS))
    )
    result = builder.add(
        _quadratic(builder, RECIPROCAL_TABLE, segment, d),
        builder.shl(power, constant(WORDS, _MANTISSA_BITS)),
    )
    zero = builder.icmp_signed("<", bits, constant(WORDS, _MIN_NORMAL))
    finished = builder.bitcast(
        _finished(builder, result, builder.fcmp_unordered("uno", x, x)), WORDS
    )
    return builder.bitcast(
        builder.select(zero, constant(WORDS, _EXPONENT), finished), FLOATS
    )
