"""Floating-point comparison."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Out

from .format import FloatFormat
from .unit import BinaryUnit

__all__ = ["FloatCompare", "FloatMaximum"]


class _Comparison(BinaryUnit):
    """The operands as integers that order as they do."""

    def _operands(self, m: Module) -> tuple[Value, Signal, Signal]:
        """Whether neither operand is NaN, and the integers of ``i_a`` and ``i_b``."""
        ordered = ~self.format.is_nan(self.i_a) & ~self.format.is_nan(self.i_b)
        return ordered, self._order(m, self.i_a, "a"), self._order(m, self.i_b, "b")

    def _order(self, m: Module, number: data.View, name: str) -> Signal:
        """An integer that orders as ``number`` does, which is not NaN; both zeros are 0.

        Of a negative number it is the ones' complement of the magnitude: no carry.
        """
        order = Signal(signed(self.format.width), name=f"order_{name}")
        magnitude = Cat(number.mantissa, number.exponent)
        with m.If(~self.format.is_zero(number)):
            sign = number.sign
            m.d.comb += order.eq(Cat(magnitude ^ sign.replicate(len(magnitude)), sign))
        return order


class FloatCompare(_Comparison):
    """Whether ``i_a > i_b`` and whether ``i_a == i_b``, as IEEE 754 compares.

    Zeros are equal whatever their signs, and subnormal numbers count as zero. NaN is neither equal
    to nor greater than anything.

    Members
    -------
    o_greater, o_equal : ``Out(1)``
        The operands' relation, ``latency`` cycles later.
    """

    latency = 1

    def __init__(self, format: FloatFormat) -> None:
        super().__init__(format, {"o_greater": Out(1), "o_equal": Out(1)})

    def elaborate(self, platform):
        m = Module()
        ordered, a, b = self._operands(m)
        greater, equal = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [greater.eq(ordered & (a > b)), equal.eq(ordered & (a == b))]
        m.d.comb += [self.o_greater.eq(greater), self.o_equal.eq(equal)]
        return m


class FloatMaximum(_Comparison):
    """``i_b if i_b > i_a else i_a``: the larger one, and ``i_a`` if they are equal or unordered.

    This is Python's ``max(a, b)``, with which the runtime takes running maxima. Operands pass
    through as they are, subnormal numbers and NaN included.
    """

    latency = 1

    def elaborate(self, platform):
        m = Module()
        ordered, a, b = self._operands(m)
        larger = Signal(self.format.layout, reset_less=True)
        m.d.sync += larger.eq(Mux(ordered & (b > a), self.i_b, self.i_a))
        m.d.comb += self.o.eq(larger)
        return m
