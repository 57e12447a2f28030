"""Floating-point addition and subtraction."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data

from .format import FloatFormat
from .rounding import Unrounded
from .shifting import leading_zeros, shift_right_sticky
from .unit import BinaryUnit

__all__ = ["FloatAdd"]


class FloatAdd(BinaryUnit):
    """``i_a + i_b``, or ``i_a - i_b``, rounded once to nearest even: ``numerics.add`` and ``sub``.

    Subnormal operands count as zero and a subnormal result becomes zero with its sign. An exact
    zero is +0, but for -0 + -0. Infinity minus infinity is NaN.

    Stages: order the operands by magnitude (o); align the smaller one to the larger, keeping two
    bits and a sticky bit below, and add (s); normalize; round.

    Parameters
    ----------
    subtract : bool
        Subtract ``i_b`` instead of adding it.
    """

    latency = 4

    def __init__(self, format: FloatFormat, subtract: bool = False) -> None:
        super().__init__(format)
        self.subtract = subtract

    def elaborate(self, platform):
        m = Module()
        format, a, b = self.format, self.i_a, self.i_b
        places = format.mantissa_width + 4   # of a significand: hidden bit, mantissa, three below

        # Order. Infinity has the largest magnitude, so the larger operand's sign is its sign.
        a_larger = Signal()
        sign_b = Signal()
        larger: data.View   # mypy takes a signal of a layout for a ``Signal``
        smaller: data.View
        larger, smaller = Signal(format.layout), Signal(format.layout)  # type: ignore[assignment]
        m.d.comb += [
            sign_b.eq(b.sign ^ self.subtract),
            a_larger.eq(Cat(a.mantissa, a.exponent) >= Cat(b.mantissa, b.exponent)),
            larger.eq(Mux(a_larger, a, b)),
            smaller.eq(Mux(a_larger, b, a)),
        ]
        o_exponent = Signal(format.exponent_width, reset_less=True)
        o_distance = Signal(format.exponent_width, reset_less=True)
        o_larger = Signal(places, reset_less=True)
        o_smaller = Signal(places, reset_less=True)
        o_sign = Signal(reset_less=True)
        o_opposite = Signal(reset_less=True)
        o_infinite = Signal(reset_less=True)
        o_nan = Signal(reset_less=True)
        opposite = a.sign ^ sign_b
        m.d.sync += [
            o_exponent.eq(larger.exponent),
            o_distance.eq(larger.exponent - smaller.exponent),
            o_larger.eq(Mux(format.is_zero(larger), 0, Cat(0, 0, 0, larger.mantissa, 1))),
            o_smaller.eq(Mux(format.is_zero(smaller), 0, Cat(0, 0, 0, smaller.mantissa, 1))),
            o_sign.eq(Mux(a_larger, a.sign, sign_b)),
            o_opposite.eq(opposite),
            o_infinite.eq(format.is_infinite(larger)),
            o_nan.eq(format.is_nan(a) | format.is_nan(b)
                     | (format.is_infinite(a) & format.is_infinite(b) & opposite)),
        ]

        # Sum.
        aligned = shift_right_sticky(m, o_smaller[1:], o_distance, "aligned")
        s_sum = Signal(places + 1, reset_less=True)
        s_exponent = Signal.like(o_exponent)
        s_sign = Signal(reset_less=True)
        s_opposite = Signal(reset_less=True)
        s_infinite = Signal(reset_less=True)
        s_nan = Signal(reset_less=True)
        m.d.sync += [
            s_sum.eq(o_larger + Cat(Mux(o_opposite, ~aligned, aligned), o_opposite) + o_opposite),
            s_exponent.eq(o_exponent),
            s_sign.eq(o_sign),
            s_opposite.eq(o_opposite),
            s_infinite.eq(o_infinite),
            s_nan.eq(o_nan),
        ]

        # Normalize. A zero sum of opposite numbers is +0.
        zeros, zero = leading_zeros(m, s_sum, "sum")
        normalized = Signal(places + 1)
        m.d.comb += normalized.eq(s_sum << zeros)
        unrounded = Unrounded(format, max(format.exponent_width, len(zeros)) + 2)
        unrounded.load(
            m, sign=s_sign & ~(zero & s_opposite), exponent=s_exponent + 1 - zeros,
            significand=normalized[4:], round=normalized[3], sticky=normalized[:3].any(),
            zero=zero, infinite=s_infinite, nan=s_nan)

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
