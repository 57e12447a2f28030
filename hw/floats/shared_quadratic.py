"""A table of quadratics with one multiplier and one adder, for who needs a value now and then."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .add import FloatAdd
from .format import FLOAT32
from .multiply import FloatMultiply
from .quadratic import check_table, coefficient_bits
from .shifting import delay, delay_pulse

__all__ = ["SharedQuadratic"]


class SharedQuadratic(Component):
    """``Quadratic``, bit for bit, whose two steps take turns: half of its adders and multipliers.

    What enters may enter in any cycle but the one that comes ``period`` cycles after another
    entry: then the other one goes through the multiplier once more.

    Parameters
    ----------
    table : np.ndarray
        The same as ``Quadratic.table``.

    Members
    -------
    i_valid : ``In(1)``
        Operands enter.
    i_segment, i_d, o
        The same as the members of ``Quadratic``.

    Attributes
    ----------
    latency : int
        17.
    period : int
        8.

    Raises
    ------
    ValueError
        The table has another shape.
    """

    period = FloatMultiply.latency + FloatAdd.latency
    latency = 1 + 2 * period

    def __init__(self, table: np.ndarray) -> None:
        self.table = check_table(table)
        super().__init__({
            "i_valid": In(1), "i_segment": In(range(len(table))), "i_d": In(FLOAT32.layout),
            "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = FloatMultiply(FLOAT32)
        m.submodules.add = add = FloatAdd(FLOAT32)
        bits = coefficient_bits(self.table)
        m.submodules.factors = factors = Memory(
            shape=FLOAT32.width, depth=len(bits), init=bits[:, 2].tolist(),
            attrs={"rom_style": "block"})
        m.submodules.addends = addends = Memory(
            shape=FLOAT32.width, depth=2 * len(bits), init=bits[:, :2].T.ravel().tolist(),
            attrs={"rom_style": "block"})
        factor, addend = factors.read_port(), addends.read_port()

        # A register follows each memory. The multiplier's operand is one; the addends have one of
        # their own, and are read two cycles before they are needed.
        again = delay_pulse(m, self.i_valid, 1 + self.period, "again")
        distance = Signal(FLOAT32.layout, name="distance")
        m.d.comb += distance.eq(self.i_d)
        first_d = delay(m, distance, 1, "first_d")
        second_d = delay(m, first_d, self.period, "second_d")
        until_read = FloatMultiply.latency - 1
        early = delay(m, self.i_segment, until_read, "early_segment")
        late = delay(m, early, self.period, "late_segment")
        reads_inner = delay_pulse(m, self.i_valid, until_read, "reads_inner")
        m.d.comb += [
            factor.addr.eq(self.i_segment),
            multiply.i_a.eq(Mux(again, add.o.as_value(), factor.data)),
            multiply.i_b.eq(Mux(again, second_d.as_value(), first_d.as_value())),
            addend.addr.eq(Mux(reads_inner, Cat(early, 1), Cat(late, 0))),
            add.i_a.eq(delay(m, addend.data, 1, "addend")), add.i_b.eq(multiply.o),
            self.o.eq(add.o),
        ]
        return m
