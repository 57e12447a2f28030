"""Floating-point comparison."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from .format import FloatFormat
from .unit import BinaryUnit

__all__ = ["FloatCompare", "FloatMaximum"]


class _Comparison(BinaryUnit):
    """The operands as integers, and what their order does not say."""

    def _operands(self, m: Module) -> tuple[Value, Value, Signal, Signal]:
        """Whether one is NaN, whether both are zero, and the integers of ``i_a`` and ``i_b``.

        The integers order as the numbers do, but for NaN and zeros.
        """
        format, a, b = self.format, self.i_a, self.i_b
        return (format.is_nan(a) | format.is_nan(b), format.is_zero(a) & format.is_zero(b),
                self._order(m, a, "a"), self._order(m, b, "b"))

    def _order(self, m: Module, number: data.View, name: str) -> Signal:
        """The magnitude of ``number``, or its ones' complement: so no carry is waited for."""
        order = Signal(signed(self.format.width), name=f"order_{name}")
        magnitude = Cat(number.mantissa, number.exponent)
        m.d.comb += order.eq(
            Cat(magnitude ^ number.sign.replicate(len(magnitude)), number.sign))
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
        unordered, zeros, a, b = self._operands(m)
        greater, equal = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [greater.eq(~unordered & ~zeros & (a > b)),
                     equal.eq(~unordered & (zeros | (a == b)))]
        m.d.comb += [self.o_greater.eq(greater), self.o_equal.eq(equal)]
        return m


class FloatMaximum(_Comparison):
    """``i_b if i_b > i_a else i_a``: the larger one, and ``i_a`` if they are equal or unordered.

    This is Python's ``max(a, b)``, with which the runtime takes running maxima. Operands pass
    through as they are, subnormal numbers and NaN included.

    Parameters
    ----------
    running : bool
        It goes on from a first number. Whoever uses it connects ``o`` to ``i_a``.

    Members
    -------
    i_valid : ``In(1)``
        If low, ``i_b`` is not looked at. This member exists only if ``running``.
    i_begins : ``In(1)``, i_first : ``In(format.layout)``
        If high, ``o`` becomes ``i_first``. These members exist only if ``running``.
    """

    latency = 1

    def __init__(self, format: FloatFormat, running: bool = False) -> None:
        self.running = running
        begins = {"i_valid": In(1), "i_begins": In(1), "i_first": In(format.layout)}
        super().__init__(format, {"o": Out(format.layout)} | (begins if running else {}))

    def elaborate(self, platform):
        m = Module()
        unordered, zeros, a, b = self._operands(m)
        # The comparison's carry comes last, so that it meets what else is asked in one LUT.
        passes = unordered | zeros
        if self.running:
            passes = passes | ~self.i_valid
        larger = Signal(self.format.layout, reset_less=True)
        m.d.sync += larger.eq(Mux(~passes & (b > a), self.i_b, self.i_a))
        if self.running:
            with m.If(self.i_begins):
                m.d.sync += larger.eq(self.i_first)
        m.d.comb += self.o.eq(larger)
        return m
