"""Reciprocal and reciprocal square root."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ...numerics.tables import RECIPROCAL_TABLE, RSQRT_TABLE
from .format import FLOAT32
from .mantissa import MantissaFunction
from .scaling import times_power_of_two
from .shifting import delay

__all__ = ["FloatReciprocal", "FloatRsqrt"]


def _members(shared: bool) -> dict[str, Member]:
    valid = {"i_valid": In(1)} if shared else {}
    return valid | {"i": In(FLOAT32.layout), "o": Out(FLOAT32.layout)}


class FloatReciprocal(wiring.Component):
    """``numerics.reciprocal``: 1 / ``i`` in float32, within 1.05 ulp.

    +-0 and subnormal numbers give +-infinity, +-infinity gives +-0; above 2^126 the result is zero.

    Parameters
    ----------
    shared : bool
        Made of ``SharedQuadratic``, with its rule of when operands may enter.

    Members
    -------
    i_valid : ``In(1)``
        An operand enters; only if ``shared``.
    i : ``In(FLOAT32.layout)``
        Operand.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        21.
    """

    latency = MantissaFunction.latency + 1

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        super().__init__(_members(shared))

    def elaborate(self, platform):
        m = Module()
        m.submodules.function = function = MantissaFunction(RECIPROCAL_TABLE, self.shared)
        m.d.comb += function.i_mantissa.eq(self.i.mantissa)
        if self.shared:
            m.d.comb += function.i_valid.eq(self.i_valid)

        # What the mantissa's function does not see goes beside it.
        f_sign = delay(m, self.i.sign, function.latency, "f_sign")
        f_exponent = delay(m, self.i.exponent, function.latency, "f_exponent")
        f_nan = delay(m, FLOAT32.is_nan(self.i), function.latency, "f_nan")

        scaled = times_power_of_two(m, function.o, FLOAT32.bias - f_exponent)
        result = Signal(FLOAT32.layout, reset_less=True)
        with m.If(f_nan):
            m.d.sync += result.eq(FLOAT32.nan)
        with m.Elif(f_exponent == 0):
            m.d.sync += result.eq(FLOAT32.infinity)
            m.d.sync += result.sign.eq(f_sign)
        with m.Else():
            m.d.sync += result.eq(scaled)
            m.d.sync += result.sign.eq(f_sign)
        m.d.comb += self.o.eq(result)
        return m


class FloatRsqrt(wiring.Component):
    """``numerics.rsqrt``: 1 / sqrt(``i``) in float32, within 1.00 ulp.

    +-0 and subnormal numbers give infinity, infinity gives zero, a negative number NaN.

    Parameters
    ----------
    shared : bool
        Made of ``SharedQuadratic``, with its rule of when operands may enter.

    Members
    -------
    i_valid : ``In(1)``
        An operand enters; only if ``shared``.
    i : ``In(FLOAT32.layout)``
        Operand.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        21.
    """

    latency = MantissaFunction.latency + 1

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        super().__init__(_members(shared))

    def elaborate(self, platform):
        m = Module()
        exponent = Signal(signed(FLOAT32.exponent_width + 1))
        power = Signal(signed(FLOAT32.exponent_width))
        m.submodules.function = function = MantissaFunction(RSQRT_TABLE, self.shared)
        m.d.comb += [
            exponent.eq(self.i.exponent - FLOAT32.bias),
            function.i_half.eq(exponent[0]),
            function.i_mantissa.eq(self.i.mantissa),
            power.eq((exponent[0] - exponent) >> 1),
        ]
        if self.shared:
            m.d.comb += function.i_valid.eq(self.i_valid)

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
