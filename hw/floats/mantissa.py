"""Functions of a mantissa, which are tables over segments of [1, 2)."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numerics_tables import SEGMENTS
from .format import FLOAT32
from .from_integer import IntegerToFloat
from .quadratic import Quadratic
from .shifting import delay

__all__ = ["MantissaFunction"]


class MantissaFunction(wiring.Component):
    """A table's quadratic at the mantissa of a number: the middle of ``reciprocal`` and ``rsqrt``.

    The mantissa's upper bits choose one of ``SEGMENTS`` segments; what is left of it is d.

    Parameters
    ----------
    table : np.ndarray
        Coefficients, float32 [SEGMENTS or 2 * SEGMENTS, 3].

    Members
    -------
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

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        super().__init__({
            "i_half": In(1), "i_mantissa": In(FLOAT32.mantissa_width), "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        rest_width = FLOAT32.mantissa_width - (SEGMENTS - 1).bit_length()
        rest = self.i_mantissa[:rest_width]
        segment = Cat(self.i_mantissa[rest_width:], self.i_half)

        m.submodules.distance = distance = IntegerToFloat(
            FLOAT32, rest_width + 1, exponent=-FLOAT32.mantissa_width)
        m.submodules.quadratic = quadratic = Quadratic(self.table)
        m.d.comb += [
            distance.i.eq(rest),
            quadratic.i_d.eq(distance.o),
            quadratic.i_segment.eq(delay(m, segment, distance.latency, "segment")),
            self.o.eq(quadratic.o),
        ]
        return m
