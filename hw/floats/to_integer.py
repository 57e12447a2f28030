"""Floating point to integers."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ..component import Component
from .format import FloatFormat
from .shifting import delay, shifted_out

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
        # right to its own. Below the place of 1/2 only the sticky bit is kept.
        top_exponent = format.bias + width - 1
        distance = Signal(signed(max(format.exponent_width, top_exponent.bit_length()) + 1))
        m.d.comb += distance.eq(top_exponent - self.i.exponent)
        too_large = distance < 0
        amount_width = (width + 1).bit_length()
        amount, far = distance[:amount_width], distance[amount_width:].any()
        places = max(width, format.mantissa_width) + 1
        padding = [0] * (places - format.mantissa_width - 1)
        significand = Signal(places)
        with m.If(~format.is_zero(self.i)):
            m.d.comb += significand.eq(Cat(*padding, self.i.mantissa, 1))
        placed, rest = significand[-width - 1:], significand[:-width - 1]
        s_placed = Signal(width + 1, reset_less=True)
        s_below = Signal(reset_less=True)
        m.d.sync += [
            s_placed.eq(Mux(far, 0, placed >> amount)),
            s_below.eq(rest.any() | Mux(far, significand[-1],
                                        shifted_out(m, placed, amount, "placed"))),
        ]
        s_too_large = delay(m, too_large, 1, "s_too_large")
        sign = delay(m, self.i.sign, 2, "sign")

        # Round.
        half, integer = s_placed[0], s_placed[1:]
        r_magnitude = Signal(width + 1, reset_less=True)
        r_too_large = delay(m, s_too_large, 1, "r_too_large")
        m.d.sync += r_magnitude.eq(integer + (half & (s_below | integer[0])))

        # Clip.
        highest = (1 << (width - 1)) - 1
        clipped = Signal(signed(width), reset_less=True)
        with m.If(r_too_large | (r_magnitude > highest)):
            m.d.sync += clipped.eq(Mux(sign, -highest - 1, highest))
        with m.Else():
            m.d.sync += clipped.eq(Mux(sign, -r_magnitude, r_magnitude))
        m.d.comb += self.o.eq(clipped)
        return m
