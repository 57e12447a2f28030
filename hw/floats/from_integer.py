"""Integers to floating point."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from ..component import Component
from .format import FloatFormat
from .rounding import Unrounded, digits_width
from .shifting import delay, ones_in_fours, shift_by_fours

__all__ = ["IntegerToFloat"]


class IntegerToFloat(Component):
    """``i * 2^exponent``, rounded once to nearest even; 0 gives +0.

    With ``exponent`` 0 this is the conversion of ``numerics.scale_sum``; with another one, a
    fixed-point number's.

    Stages: sign and magnitude (s); normalize by fours; normalize and round.

    Parameters
    ----------
    format : FloatFormat
        Format of the result.
    width : int
        Bits of the signed integer.
    exponent : int
        The integer's last place stands for 2^exponent.

    Members
    -------
    i : ``In(signed(width))``
        Integer.
    o : ``Out(format.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        3.

    Raises
    ------
    ValueError
        ``width`` is below 1.
    """

    latency = 3

    def __init__(self, format: FloatFormat, width: int, exponent: int = 0) -> None:
        if width < 1:
            raise ValueError(f"An integer has at least 1 bit, not {width!r}")
        self.format = format
        self.width = width
        self.exponent = exponent
        super().__init__({"i": In(signed(width)), "o": Out(format.layout)})

    def elaborate(self, platform):
        m = Module()
        format = self.format

        # Sign and magnitude: unsigned, so that the lowest integer fits. Zeros go below a magnitude
        # that is narrower than the digits.
        kept = digits_width(format, 3)
        magnitude = Signal(self.width)
        padding = Cat(*[0] * max(0, kept - self.width))
        s_magnitude = Signal(self.width, reset_less=True)
        s_ones = delay(m, ones_in_fours(Cat(padding, magnitude)), 1, "s_ones")
        s_sign = delay(m, self.i[-1], 1, "s_sign")
        # One carry chain: a negative integer is inverted in front of it, and 1 goes in below.
        negative = self.i[-1]
        m.d.comb += magnitude.eq((self.i.as_unsigned() ^ negative.replicate(self.width)) + negative)
        m.d.sync += s_magnitude.eq(magnitude)

        # Normalize.
        shifted, zeros, zero = shift_by_fours(m, Cat(padding, s_magnitude), s_ones, "magnitude")
        top_exponent = self.width - 1 + self.exponent + format.bias
        span = max(abs(top_exponent), format.special_exponent) + self.width
        unrounded = Unrounded(format, span.bit_length() + 2, most_above=3)
        unrounded.load(
            m, sign=s_sign, exponent=top_exponent - zeros, digits=shifted[-kept:],
            above=zeros[:2], sticky=shifted[:-kept].any(), zero=zero, infinite=0, nan=0)

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
