"""Integers to floating point."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ..component import Component
from .format import FloatFormat
from .rounding import Unrounded
from .shifting import leading_zeros

__all__ = ["IntegerToFloat"]


class IntegerToFloat(Component):
    """``i * 2^exponent``, rounded once to nearest even; 0 gives +0.

    With ``exponent`` 0 this is the conversion of ``numerics.scale_sum``; with another one, a
    fixed-point number's.

    Stages: sign and magnitude (s), normalize, round.

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

        # Sign and magnitude: unsigned, so that the lowest integer fits.
        s_magnitude = Signal(self.width, reset_less=True)
        s_sign = Signal(reset_less=True)
        m.d.sync += [
            s_magnitude.eq(Mux(self.i[-1], -self.i, self.i)),
            s_sign.eq(self.i[-1]),
        ]

        # Normalize, with zeros below a magnitude that is narrower than a significand.
        places = max(self.width, format.mantissa_width + 3)
        below = places - format.mantissa_width - 1
        top_exponent = self.width - 1 + self.exponent + format.bias
        zeros, zero = leading_zeros(m, s_magnitude, "magnitude")
        normalized = Signal(places)
        m.d.comb += normalized.eq(Cat(*[0] * (places - self.width), s_magnitude) << zeros)
        span = max(abs(top_exponent), format.special_exponent) + self.width
        unrounded = Unrounded(format, span.bit_length() + 2)
        unrounded.load(
            m, sign=s_sign, exponent=top_exponent - zeros, significand=normalized[below:],
            round=normalized[below - 1], sticky=normalized[:below - 1].any(),
            zero=zero, infinite=0, nan=0)

        m.d.comb += self.o.eq(unrounded.round(m))
        return m
