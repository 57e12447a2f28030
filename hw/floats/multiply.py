"""Floating-point multiplication."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed

from .rounding import Unrounded
from .shifting import delay
from .unit import BinaryUnit

__all__ = ["FloatMultiply"]


class FloatMultiply(BinaryUnit):
    """``i_a * i_b``, rounded once to nearest even: ``numerics.mul``.

    Subnormal operands count as zero and a subnormal result becomes zero with its sign. Zero times
    infinity is NaN.

    Stages: multiply the significands (p), in two cycles, so that the registers inside of an FPGA's
    multipliers can be used; normalize; round.
    """

    latency = 4

    def elaborate(self, platform):
        m = Module()
        format, a, b = self.format, self.i_a, self.i_b
        places = format.mantissa_width + 1
        exponent_width = format.exponent_width + 2

        # Product.
        product = Signal(2 * places)
        exponent = Signal(signed(exponent_width))
        zero, infinite = Signal(), Signal()
        m.d.comb += [
            product.eq(Cat(a.mantissa, 1) * Cat(b.mantissa, 1)),
            exponent.eq(a.exponent + b.exponent - format.bias),
            zero.eq(format.is_zero(a) | format.is_zero(b)),
            infinite.eq(format.is_infinite(a) | format.is_infinite(b)),
        ]
        p_product = delay(m, product, 2, "p_product")
        p_exponent = delay(m, exponent, 2, "p_exponent")
        p_zero = delay(m, zero, 2, "p_zero")
        p_infinite = delay(m, infinite, 2, "p_infinite")
        p_nan = delay(m, format.is_nan(a) | format.is_nan(b) | (zero & infinite), 2, "p_nan")
        p_sign = delay(m, a.sign ^ b.sign, 2, "p_sign")

        # Normalize: the product is in [1, 4).
        carry = p_product[-1]
        normalized = Signal(2 * places)
        m.d.comb += normalized.eq(Mux(carry, p_product, p_product << 1))
        unrounded = Unrounded(format, exponent_width)
        unrounded.load(
            m, sign=p_sign, exponent=p_exponent + carry, significand=normalized[places:],
            round=normalized[places - 1], sticky=normalized[:places - 1].any(),
            zero=p_zero, infinite=p_infinite, nan=p_nan)

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
