"""Floating point to integers."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ..component import Component
from .format import FloatFormat
from .shifting import delay, shift_right_sticky

__all__ = ["FloatToInteger"]


class FloatToInteger(Component):
    """``clip(rint(i), -2^(width - 1), 2^(width - 1) - 1)``: the rounding of the quantizers.

    To nearest, ties to even. Infinities are clipped, and so is NaN, by its sign.

    Stages: place the significand's ones (s), round (r), clip and give it its sign.

    Parameters
    ----------
    format : FloatFormat
        Format of the operand.
    width : int
        Bits of the signed integer, at least 2.

    Members
    -------
    i : ``In(format.layout)``
        Operand.
    o : ``Out(signed(width))``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        3.

    Raises
    ------
    ValueError
        ``width`` is below 2.
    """

    latency = 3

    def __init__(self, format: FloatFormat, width: int) -> None:
        if width < 2:
            raise ValueError(f"A rounded integer has at least 2 bits, not {width!r}")
        self.format = format
        self.width = width
        super().__init__({"i": In(format.layout), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        format, width = self.format, self.width

        # Shift: the leading one starts at the integer's highest place, 2^(width - 1), and goes
        # right to its own. One place more than those down to 1/2 leave nothing but a sticky bit.
        top_exponent = format.bias + width - 1
        distance = Signal(signed(max(format.exponent_width, top_exponent.bit_length()) + 1))
        m.d.comb += distance.eq(top_exponent - self.i.exponent)
        too_large = distance < 0
        amount = Signal(range(width + 2))
        m.d.comb += amount.eq(Mux(distance > width + 1, width + 1, distance))
        places = max(width, format.mantissa_width) + 1
        padding = [0] * (places - format.mantissa_width - 1)
        significand = Signal(places)
        with m.If(~format.is_zero(self.i)):
            m.d.comb += significand.eq(Cat(*padding, self.i.mantissa, 1))
        s_shifted = delay(m, shift_right_sticky(m, significand, amount, "shifted"), 1, "s_shifted")
        s_too_large = delay(m, too_large, 1, "s_too_large")
        sign = delay(m, self.i.sign, 2, "sign")

        # Round.
        integer, half, below = (s_shifted[-width:], s_shifted[-width - 1], s_shifted[:-width - 1])
        r_magnitude = Signal(width + 1, reset_less=True)
        r_too_large = delay(m, s_too_large, 1, "r_too_large")
        m.d.sync += r_magnitude.eq(integer + (half & (below.any() | integer[0])))

        # Clip.
        highest = (1 << (width - 1)) - 1
        clipped = Signal(signed(width), reset_less=True)
        with m.If(r_too_large | (r_magnitude > highest)):
            m.d.sync += clipped.eq(Mux(sign, -highest - 1, highest))
        with m.Else():
            m.d.sync += clipped.eq(Mux(sign, -r_magnitude, r_magnitude))
        m.d.comb += self.o.eq(clipped)
        return m
