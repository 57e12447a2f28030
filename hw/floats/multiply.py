"""Floating-point multiplication."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed

from .rounding import Unrounded, digits_width
from .shifting import delay
from .unit import BinaryUnit

__all__ = ["FloatMultiply"]

# Bits of a factor of one multiplier of a DSP block (AMD UG579: 27 x 18 signed).
_FACTOR_WIDTH = 17


class FloatMultiply(BinaryUnit):
    """``i_a * i_b``, rounded once to nearest even: ``numerics.mul``.

    Subnormal operands count as zero and a subnormal result becomes zero with its sign. Zero times
    infinity is NaN.

    Stages: operands (a); two partial products of the significands (m); their sum (p); normalize
    and round. So the registers inside of an FPGA's multipliers are used: those of the operands, of
    the products and of the sum.
    """

    latency = 4

    def elaborate(self, platform):
        m = Module()
        format, a, b = self.format, self.i_a, self.i_b
        places = format.mantissa_width + 1
        exponent_width = format.exponent_width + 2
        # The lower product's bits that never reach the bit below the significand.
        cut = min(_FACTOR_WIDTH, places - 2)

        # Partial products. What is below the cut only matters for the sticky bit.
        a_places = delay(m, Cat(a.mantissa, 1), 1, "a_places")
        b_places = delay(m, Cat(b.mantissa, 1), 1, "b_places")
        m_low = Signal(places + cut, reset_less=True)
        m_high = Signal(2 * places - cut, reset_less=True)
        m.d.sync += [m_low.eq(a_places * b_places[:cut]), m_high.eq(a_places * b_places[cut:])]

        # Sum.
        p_product = Signal(2 * places - cut, reset_less=True)
        p_sticky = Signal(reset_less=True)
        m.d.sync += [p_product.eq(m_high + m_low[cut:]), p_sticky.eq(m_low[:cut].any())]

        # Beside it: the exponent of a product below 2, and of one that is not.
        a_exponent = delay(m, a.exponent + b.exponent, 1, "a_exponent")
        m_exponent = Signal(signed(exponent_width), reset_less=True)
        p_exponent = Signal(signed(exponent_width), reset_less=True)
        p_next_exponent = Signal(signed(exponent_width), reset_less=True)
        m.d.sync += [
            m_exponent.eq(a_exponent - format.bias),
            p_exponent.eq(m_exponent), p_next_exponent.eq(m_exponent + 1),
        ]

        # What is no product: seen of each operand first, then of both.
        zeros, specials, fractions = (
            delay(m, Cat(of(a), of(b)), 1, f"a_{name}") for name, of in (
                ("zeros", format.is_zero), ("specials", format.is_special),
                ("fractions", lambda number: number.mantissa.any())))
        zero, infinite = zeros.any(), (specials & ~fractions).any()
        nan = (specials & fractions).any() | (zero & infinite)

        # Normalize and round: the product is in [1, 4).
        carry = p_product[-1]
        unrounded = Unrounded(format, exponent_width, most_above=1)
        kept = digits_width(format, 1)
        unrounded.drive(
            m, sign=delay(m, a.sign ^ b.sign, 3, "p_sign"), above=~carry,
            exponent=Mux(carry, p_next_exponent, p_exponent),
            digits=p_product[-kept:], sticky=p_product[:-kept].any() | p_sticky,
            zero=delay(m, zero, 2, "p_zero"), infinite=delay(m, infinite, 2, "p_infinite"),
            nan=delay(m, nan, 2, "p_nan"))

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
