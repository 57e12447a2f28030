"""Multiplication by a power of two: integer arithmetic on the exponent."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data

from .format import FLOAT32

__all__ = ["times_power_of_two"]


def times_power_of_two(m: Module, number: data.View, power: Value) -> Signal:
    """``number * 2^power`` for a normal ``number``, in the same cycle.

    Too small a result is zero with the number's sign, too large a one is infinite. ``power`` is
    signed and its magnitude below 2^10.
    """
    scaled = Signal(FLOAT32.layout, name="scaled")
    exponent = Signal(signed(12), name="scaled_exponent")
    m.d.comb += [exponent.eq(number.exponent + power), scaled.eq(number)]
    with m.If(exponent <= 0):
        m.d.comb += [scaled.exponent.eq(0), scaled.mantissa.eq(0)]
    with m.Elif(exponent >= FLOAT32.special_exponent):
        m.d.comb += [scaled.exponent.eq(FLOAT32.special_exponent), scaled.mantissa.eq(0)]
    with m.Else():
        m.d.comb += scaled.exponent.eq(exponent)
    return scaled
