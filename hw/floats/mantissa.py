"""Functions of a mantissa, which are tables over segments of [1, 2)."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib.wiring import In, Out

from ...numerics.tables import SEGMENTS
from ..component import Component
from .format import FLOAT32
from .from_integer import IntegerToFloat
from .quadratic import Quadratic
from .shared_quadratic import SharedQuadratic
from .shifting import delay, delay_pulse

__all__ = ["MantissaFunction"]


class MantissaFunction(Component):
    """A table's quadratic at the mantissa of a number: the middle of ``reciprocal`` and ``rsqrt``.

    The mantissa's upper bits choose one of ``SEGMENTS`` segments; what is left of it is d.

    Parameters
    ----------
    table : np.ndarray
        Coefficients, float32 [SEGMENTS or 2 * SEGMENTS, 3].
    shared : bool
        Made of ``SharedQuadratic``, with its rule of when operands may enter.

    Members
    -------
    i_valid : ``In(1)``
        Operands enter; only if ``shared``.
    i_half : ``In(1)``
        Which half of a table of ``2 * SEGMENTS`` rows.
    i_mantissa : ``In(23)``
        Mantissa, without its leading one.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        20: three to turn d into a float, and the quadratic.
    """

    latency = IntegerToFloat.latency + Quadratic.latency

    def __init__(self, table: np.ndarray, shared: bool = False) -> None:
        self.table = table
        self.shared = shared
        super().__init__(({"i_valid": In(1)} if shared else {}) | {
            "i_half": In(1), "i_mantissa": In(FLOAT32.mantissa_width), "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        rest_width = FLOAT32.mantissa_width - (SEGMENTS - 1).bit_length()
        rest = self.i_mantissa[:rest_width]
        segment = Cat(self.i_mantissa[rest_width:], self.i_half)

        m.submodules.distance = distance = IntegerToFloat(
            FLOAT32, rest_width + 1, exponent=-FLOAT32.mantissa_width)
        quadratic = SharedQuadratic(self.table) if self.shared else Quadratic(self.table)
        m.submodules.quadratic = quadratic
        if self.shared:
            m.d.comb += quadratic.i_valid.eq(
                delay_pulse(m, self.i_valid, distance.latency, "d_valid"))
        m.d.comb += [
            distance.i.eq(rest),
            quadratic.i_d.eq(distance.o),
            quadratic.i_segment.eq(delay(m, segment, distance.latency, "segment")),
            self.o.eq(quadratic.o),
        ]
        return m
