"""Floating-point comparison."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .format import FloatFormat

__all__ = ["FloatCompare", "FloatMaximum"]


def _order(m: Module, format: FloatFormat, number: data.View, name: str) -> Signal:
    """An integer that orders as ``number`` does, which is not NaN; both zeros are 0."""
    order = Signal(signed(format.width), name=f"order_{name}")
    magnitude = Cat(number.mantissa, number.exponent)
    with m.If(~format.is_zero(number)):
        m.d.comb += order.eq(Mux(number.sign, -magnitude, magnitude))
    return order


class FloatCompare(wiring.Component):
    """Whether ``i_a > i_b`` and whether ``i_a == i_b``, as IEEE 754 compares.

    Zeros are equal whatever their signs, and subnormal numbers count as zero. NaN is neither equal
    to nor greater than anything.

    Parameters
    ----------
    format : FloatFormat
        Format of the operands.

    Members
    -------
    i_a, i_b : ``In(format.layout)``
        Operands.
    o_greater, o_equal : ``Out(1)``
        Their relation, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        1.
    """

    latency = 1

    def __init__(self, format: FloatFormat) -> None:
        self.format = format
        super().__init__({
            "i_a": In(format.layout), "i_b": In(format.layout),
            "o_greater": Out(1), "o_equal": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        ordered = ~format.is_nan(self.i_a) & ~format.is_nan(self.i_b)
        a, b = _order(m, format, self.i_a, "a"), _order(m, format, self.i_b, "b")
        greater, equal = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [greater.eq(ordered & (a > b)), equal.eq(ordered & (a == b))]
        m.d.comb += [self.o_greater.eq(greater), self.o_equal.eq(equal)]
        return m


class FloatMaximum(wiring.Component):
    """``i_b if i_b > i_a else i_a``: the larger one, and ``i_a`` if they are equal or unordered.

    This is Python's ``max(a, b)``, with which the runtime takes running maxima. Operands pass
    through as they are, subnormal numbers and NaN included.

    Parameters
    ----------
    format : FloatFormat
        Format of the operands and of the result.

    Members
    -------
    i_a, i_b : ``In(format.layout)``
        Operands.
    o : ``Out(format.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        1.
    """

    latency = 1

    def __init__(self, format: FloatFormat) -> None:
        self.format = format
        super().__init__({
            "i_a": In(format.layout), "i_b": In(format.layout), "o": Out(format.layout),
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        ordered = ~format.is_nan(self.i_a) & ~format.is_nan(self.i_b)
        a, b = _order(m, format, self.i_a, "a"), _order(m, format, self.i_b, "b")
        larger = Signal(format.layout, reset_less=True)
        m.d.sync += larger.eq(Mux(ordered & (b > a), self.i_b, self.i_a))
        m.d.comb += self.o.eq(larger)
        return m
