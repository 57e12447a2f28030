"""Floating-point addition and subtraction."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data

from .format import FloatFormat
from .rounding import Unrounded, digits_width
from .shifting import ones_in_fours, shift_by_fours, shifted_out
from .unit import BinaryUnit

__all__ = ["FloatAdd"]


class FloatAdd(BinaryUnit):
    """``i_a + i_b``, or ``i_a - i_b``, rounded once to nearest even: ``numerics.add`` and ``sub``.

    Subnormal operands count as zero and a subnormal result becomes zero with its sign. An exact
    zero is +0, but for -0 + -0. Infinity minus infinity is NaN.

    Stages: order the operands by magnitude (o); align the smaller one to the larger, keeping two
    bits and a sticky bit below, and add (s); normalize by fours; normalize and round.

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
        # Which exponent is how much larger is known as soon as which operand is larger.
        a_larger = Signal()
        sign_b = Signal()
        larger: data.View   # mypy takes a signal of a layout for a ``Signal``
        smaller: data.View
        larger, smaller = Signal(format.layout), Signal(format.layout)  # type: ignore[assignment]
        distance = Signal(format.exponent_width)
        m.d.comb += [
            sign_b.eq(b.sign ^ self.subtract),
            a_larger.eq(Cat(a.mantissa, a.exponent) >= Cat(b.mantissa, b.exponent)),
            larger.eq(Mux(a_larger, a, b)),
            smaller.eq(Mux(a_larger, b, a)),
            distance.eq(Mux(a_larger, a.exponent - b.exponent, b.exponent - a.exponent)),
        ]
        shift_width = min(places.bit_length(), format.exponent_width)
        o_exponent = Signal(format.exponent_width, reset_less=True)
        o_distance = Signal(shift_width, reset_less=True)
        o_far = Signal(reset_less=True)   # nothing of the smaller operand is left but a sticky bit
        o_larger = Signal(places - 1, reset_less=True)
        o_smaller = Signal(places - 1, reset_less=True)
        o_sign = Signal(reset_less=True)
        o_opposite = Signal(reset_less=True)
        o_specials = Signal(2, reset_less=True)    # infinite or NaN: a, b
        o_fractions = Signal(2, reset_less=True)   # their mantissas are not zero
        # If one of them is zero, the smaller one is.
        a_zero, b_zero = format.is_zero(a), format.is_zero(b)
        m.d.sync += [
            o_exponent.eq(larger.exponent),
            o_distance.eq(distance), o_far.eq(distance[shift_width:].any()),
            o_larger.eq(Mux(a_zero & b_zero, 0, Cat(0, 0, larger.mantissa, 1))),
            o_smaller.eq(Mux(a_zero | b_zero, 0, Cat(0, 0, smaller.mantissa, 1))),
            o_sign.eq(Mux(a_larger, a.sign, sign_b)),
            o_opposite.eq(a.sign ^ sign_b),
            o_specials.eq(Cat(format.is_special(a), format.is_special(b))),
            o_fractions.eq(Cat(a.mantissa.any(), b.mantissa.any())),
        ]

        # Sum. Below the places that are added is the sticky bit; of its negation, the carry into
        # them is one if it is zero.
        aligned = Signal(places - 1)
        sticky = Signal()
        s_sum = Signal(places + 1, reset_less=True)
        s_exponent = Signal(format.exponent_width + 1, reset_less=True)
        s_sign = Signal(reset_less=True)
        s_opposite = Signal(reset_less=True)
        s_infinite = Signal(reset_less=True)
        s_nan = Signal(reset_less=True)
        infinite = o_specials & ~o_fractions
        m.d.comb += [
            aligned.eq(Mux(o_far, 0, o_smaller >> o_distance)),
            sticky.eq(Mux(o_far, o_smaller[-1], shifted_out(m, o_smaller, o_distance, "aligned"))),
        ]
        m.d.sync += [
            s_sum.eq(Cat(sticky, o_larger + Cat(Mux(o_opposite, ~aligned, aligned), o_opposite)
                         + (o_opposite & ~sticky))),
            s_exponent.eq(o_exponent + 1),
            s_sign.eq(o_sign),
            s_opposite.eq(o_opposite),
            s_infinite.eq(infinite.any()),
            s_nan.eq((o_specials & o_fractions).any() | (infinite.all() & o_opposite)),
        ]

        # Normalize. A zero sum of opposite numbers is +0.
        shifted, zeros, zero = shift_by_fours(m, s_sum, ones_in_fours(s_sum), "sum")
        unrounded = Unrounded(format, max(format.exponent_width, len(zeros)) + 2, most_above=3)
        kept = digits_width(format, 3)
        unrounded.load(
            m, sign=s_sign & ~(zero & s_opposite), exponent=s_exponent - zeros,
            digits=shifted[-kept:], above=zeros[:2], sticky=shifted[:-kept].any(),
            zero=zero, infinite=s_infinite, nan=s_nan)

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
