"""Reciprocal and reciprocal square root."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In

from ...numerics.tables import RECIPROCAL_TABLE, RSQRT_TABLE
from .format import FLOAT32
from .mantissa import MantissaFunction
from .scaling import times_power_of_two
from .shifting import delay
from .unit import UnaryUnit

__all__ = ["FloatReciprocal", "FloatRsqrt"]


class _OfMantissa(UnaryUnit):
    """A function of one number that is computed from that of its mantissa.

    Parameters
    ----------
    shared : bool
        The function is made of ``SharedQuadratic``, with its rule of when operands may enter.

    Members
    -------
    i_valid : ``In(1)``
        An operand enters. This member exists only if ``shared``.

    Attributes
    ----------
    latency : int
        21.
    """

    latency = MantissaFunction.latency + 1

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        super().__init__(**({"i_valid": In(1)} if shared else {}))

    def _add_function(self, m: Module, table: np.ndarray) -> MantissaFunction:
        """The function of the operand's mantissa that ``table`` holds."""
        m.submodules.function = function = MantissaFunction(table, self.shared)
        m.d.comb += function.i_mantissa.eq(self.i.mantissa)
        if self.shared:
            m.d.comb += function.i_valid.eq(self.i_valid)
        return function


class FloatReciprocal(_OfMantissa):
    """``numerics.reciprocal``: 1 / ``i`` in float32, within 1.05 ulp.

    +-0 and subnormal numbers give +-infinity, +-infinity gives +-0; above 2^126 the result is zero.
    """

    def elaborate(self, platform):
        m = Module()
        function = self._add_function(m, RECIPROCAL_TABLE)

        # What the mantissa's function does not see goes beside it.
        f_sign = delay(m, self.i.sign, function.latency, "f_sign")
        exponent = delay(m, self.i.exponent, function.latency - 1, "exponent")
        f_zero = delay(m, exponent == 0, 1, "f_zero")
        f_power = delay(m, FLOAT32.bias - exponent, 1, "f_power")
        f_nan = delay(m, FLOAT32.is_nan(self.i), function.latency, "f_nan")

        scaled = times_power_of_two(m, function.o, f_power)
        result = Signal(FLOAT32.layout, reset_less=True)
        with m.If(f_nan):
            m.d.sync += result.eq(FLOAT32.nan)
        with m.Elif(f_zero):
            m.d.sync += result.eq(FLOAT32.infinity)
            m.d.sync += result.sign.eq(f_sign)
        with m.Else():
            m.d.sync += result.eq(scaled)
            m.d.sync += result.sign.eq(f_sign)
        m.d.comb += self.o.eq(result)
        return m


class FloatRsqrt(_OfMantissa):
    """``numerics.rsqrt``: 1 / sqrt(``i``) in float32, within 1.00 ulp.

    +-0 and subnormal numbers give infinity, infinity gives zero, a negative number NaN.
    """

    def elaborate(self, platform):
        m = Module()
        exponent = Signal(signed(FLOAT32.exponent_width + 1))
        power = Signal(signed(FLOAT32.exponent_width))
        function = self._add_function(m, RSQRT_TABLE)
        m.d.comb += [
            exponent.eq(self.i.exponent - FLOAT32.bias),
            function.i_half.eq(exponent[0]),
            power.eq((exponent[0] - exponent) >> 1),
        ]

        zero = FLOAT32.is_zero(self.i)
        f_zero = delay(m, zero, function.latency, "f_zero")
        f_infinite = delay(m, FLOAT32.is_infinite(self.i), function.latency, "f_infinite")
        f_nan = delay(m, FLOAT32.is_nan(self.i) | (self.i.sign & ~zero), function.latency, "f_nan")
        f_power = delay(m, power, function.latency, "f_power")

        scaled = times_power_of_two(m, function.o, f_power)
        result = Signal(FLOAT32.layout, reset_less=True)
        with m.If(f_nan):
            m.d.sync += result.eq(FLOAT32.nan)
        with m.Elif(f_zero | f_infinite):
            m.d.sync += result.eq(Mux(f_zero, FLOAT32.infinity, 0))
        with m.Else():
            m.d.sync += result.eq(scaled)
        m.d.comb += self.o.eq(result)
        return m
