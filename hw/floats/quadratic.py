"""A table of quadratics: what every elementary function of the rule of numbers is made of."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .add import FloatAdd
from .format import FLOAT32
from .multiply import FloatMultiply
from .shifting import delay

__all__ = ["Quadratic", "check_table", "coefficient_bits"]


def check_table(table: np.ndarray) -> np.ndarray:
    """``table``, if it is one of quadratics: float32 [segments, 3].

    Raises
    ------
    ValueError
        It has another shape.
    """
    segments = len(table)
    if table.shape != (segments, 3) or segments < 2 or segments & (segments - 1):
        raise ValueError("A table of quadratics is [segments, 3] with a power of two of "
                         f"segments, not {list(table.shape)}")
    return table


def coefficient_bits(table: np.ndarray) -> np.ndarray:
    """The coefficients as the integers that a memory holds: uint32 [segments, 3]."""
    return np.ascontiguousarray(table).view(np.uint32)


class Quadratic(Component):
    """``c0 + d * (c1 + d * c2)`` in float32, from the inside, with the coefficients of a segment.

    The coefficients are three read-only memories, each read just before its coefficient is needed,
    so that the segment's few bits wait and not the coefficients. A register follows each memory:
    that of the multiplier's operand, or one of its own before an adder.

    Parameters
    ----------
    table : np.ndarray
        Coefficients, float32 [segments, 3]; ``segments`` is a power of two.

    Members
    -------
    i_segment : ``In(range(segments))``
        Row of the table.
    i_d : ``In(FLOAT32.layout)``
        Distance from the segment's base point.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        17: two products and two sums, and one cycle for the first coefficient.

    Raises
    ------
    ValueError
        The table has another shape.
    """

    latency = 1 + 2 * (FloatMultiply.latency + FloatAdd.latency)

    def __init__(self, table: np.ndarray) -> None:
        self.table = check_table(table)
        super().__init__({
            "i_segment": In(range(len(table))), "i_d": In(FLOAT32.layout),
            "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        step = FloatMultiply.latency + FloatAdd.latency

        def coefficient(number: int, cycles: int) -> Value:
            """Coefficient ``number`` of the segment that came ``cycles`` cycles ago."""
            words = coefficient_bits(self.table)[:, number].tolist()
            # In LUTs, a table of 128 words would take three for each bit.
            memory = Memory(shape=FLOAT32.width, depth=len(words), init=words,
                            attrs={"rom_style": "block"})
            m.submodules[f"table_{number}"] = memory
            port = memory.read_port()
            kept = min(cycles - 1, 1)
            segment = delay(m, self.i_segment, cycles - 1 - kept, f"segment_{number}")
            m.d.comb += port.addr.eq(segment)
            return delay(m, port.data, kept, f"coefficient_{number}")

        def multiply_add(name: str, factor: Value, d: Value, addend: Value) -> Value:
            """``addend + d * factor``; ``addend`` comes later, with the product."""
            m.submodules[f"multiply_{name}"] = multiply = FloatMultiply(FLOAT32)
            m.submodules[f"add_{name}"] = add = FloatAdd(FLOAT32)
            m.d.comb += [
                multiply.i_a.eq(factor), multiply.i_b.eq(d),
                add.i_a.eq(addend), add.i_b.eq(multiply.o),
            ]
            return add.o

        distance = Signal(FLOAT32.layout, name="distance")
        m.d.comb += distance.eq(self.i_d)
        first_d = delay(m, distance, 1, "first_d")
        inner = multiply_add("inner", coefficient(2, 1), first_d,
                             coefficient(1, 1 + FloatMultiply.latency))
        second_d = delay(m, first_d, step, "second_d")
        outer = multiply_add("outer", inner, second_d,
                             coefficient(0, 1 + step + FloatMultiply.latency))
        m.d.comb += self.o.eq(outer)
        return m
