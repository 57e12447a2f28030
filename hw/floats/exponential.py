"""The exponential function, and the sigmoid that is made of it."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed

from ...numerics import (
    EXP_HIGHEST,
    EXP_LOWEST,
    EXP_STEP_HIGH,
    EXP_STEP_LOW,
    EXP_STEPS_PER_UNIT,
)
from ...numerics.tables import EXP_SEGMENTS, EXP_TABLE
from .add import FloatAdd
from .format import FLOAT32, constant
from .from_integer import IntegerToFloat
from .multiply import FloatMultiply
from .quadratic import Quadratic
from .reciprocal import FloatReciprocal
from .scaling import times_power_of_two
from .shifting import delay
from .to_integer import FloatToInteger
from .unit import UnaryUnit

__all__ = ["FloatExp", "FloatSigmoid"]

_STEP_BITS = 16   # EXP_STEP_HIGH is an integer times 2^-16
_K_WIDTH = 16     # 89 * 128 / ln 2 is below 2^15


class FloatExp(UnaryUnit):
    """``numerics.exp``: the exponential of ``i`` in float32, within 1.01 ulp.

    Above 88.72 infinity, below -87.33 zero, NaN of NaN.

    Stages: clip (c); k = rint(i * 128 / ln 2); the distance d of ``i`` from k * ln 2 / 128, whose
    larger part is taken from an integer product, which is exact as the runtime's is; the
    quadratic of segment k mod 128 (q), times 2^(k div 128).

    Attributes
    ----------
    latency : int
        38.
    """

    _k_latency = 1 + FloatMultiply.latency + FloatToInteger.latency
    _d_latency = 1 + IntegerToFloat.latency + 2 * FloatAdd.latency
    latency = _k_latency + _d_latency + Quadratic.latency + 1

    def elaborate(self, platform):
        m = Module()

        # Clip.
        magnitude = self.i.as_value()[:-1]
        limit = Mux(self.i.sign, _bits(-EXP_LOWEST), _bits(EXP_HIGHEST))
        c_operand = Signal(FLOAT32.layout, reset_less=True)
        m.d.sync += c_operand.eq(self.i)
        with m.If(magnitude > limit):
            m.d.sync += c_operand.as_value()[:-1].eq(limit)
        nan = delay(m, FLOAT32.is_nan(self.i), self.latency - 1, "nan")

        # k.
        m.submodules.steps = steps = FloatMultiply(FLOAT32)
        m.submodules.to_integer = to_integer = FloatToInteger(FLOAT32, _K_WIDTH)
        m.d.comb += [
            steps.i_a.eq(c_operand), steps.i_b.eq(constant(EXP_STEPS_PER_UNIT)),
            to_integer.i.eq(steps.o),
        ]
        k = to_integer.o

        # d = (i - k * high) - k * low.
        step_high = int(EXP_STEP_HIGH * 2**_STEP_BITS)
        k_high = Signal(signed(_K_WIDTH + step_high.bit_length()), reset_less=True)
        m.d.sync += k_high.eq(k * step_high)
        m.submodules.high = high = IntegerToFloat(FLOAT32, len(k_high), exponent=-_STEP_BITS)
        m.submodules.k_float = k_float = IntegerToFloat(FLOAT32, _K_WIDTH)
        m.submodules.low = low = FloatMultiply(FLOAT32)
        m.submodules.minus_high = minus_high = FloatAdd(FLOAT32, subtract=True)
        m.submodules.minus_low = minus_low = FloatAdd(FLOAT32, subtract=True)
        waiting = FloatMultiply.latency + FloatToInteger.latency + 1 + high.latency
        until_low = 1 + minus_high.latency - low.latency
        m.d.comb += [
            high.i.eq(k_high), k_float.i.eq(k),
            low.i_a.eq(k_float.o), low.i_b.eq(constant(EXP_STEP_LOW)),
            minus_high.i_a.eq(delay(m, c_operand, waiting, "c_operand")),
            minus_high.i_b.eq(high.o),
            minus_low.i_a.eq(minus_high.o),
            minus_low.i_b.eq(delay(m, low.o, until_low, "low_product")),
        ]

        # Quadratic and power of two.
        segment_bits = (EXP_SEGMENTS - 1).bit_length()
        m.submodules.quadratic = quadratic = Quadratic(EXP_TABLE)
        d_k = delay(m, k, self._d_latency, "d_k")
        m.d.comb += [
            quadratic.i_segment.eq(d_k[:segment_bits]),
            quadratic.i_d.eq(minus_low.o),
        ]
        q_power = delay(m, d_k[segment_bits:].as_signed(), quadratic.latency, "q_power")
        scaled = times_power_of_two(m, quadratic.o, q_power)
        result = Signal(FLOAT32.layout, reset_less=True)
        m.d.sync += result.eq(Mux(nan, FLOAT32.nan, scaled))
        m.d.comb += self.o.eq(result)
        return m


def _bits(value: np.float32) -> int:
    return constant(value).as_bits()


class FloatSigmoid(UnaryUnit):
    """``numerics.sigmoid``: 1 / (1 + exp(-``i``)) in float32, within 3.33 ulp.

    Attributes
    ----------
    latency : int
        63.
    """

    latency = FloatExp.latency + FloatAdd.latency + FloatReciprocal.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.exp = exp = FloatExp()
        m.submodules.add = add = FloatAdd(FLOAT32)
        m.submodules.reciprocal = reciprocal = FloatReciprocal()
        m.d.comb += [
            exp.i.eq(self.i),
            exp.i.sign.eq(~self.i.sign),
            add.i_a.eq(constant(np.float32(1))), add.i_b.eq(exp.o),
            reciprocal.i.eq(add.o),
            self.o.eq(reciprocal.o),
        ]
        return m
