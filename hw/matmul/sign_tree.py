"""A pipelined sum of numbers whose signs come apart."""

from __future__ import annotations

from itertools import zip_longest

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from .adder_tree import SumTree

__all__ = ["SignTree", "add_or_subtract"]


def add_or_subtract(a: Value, b: Value, subtract: Value) -> Value:
    """``a - b`` if ``subtract``, otherwise ``a + b``; all signed. One adder.

    -b is ~b + 1, and the + 1 is the carry of a place below. As a third operand of the sum it would
    leave to Yosys which operand the carry chain takes as it is, and that must not be the inverted
    one, or inverting takes LUTs of its own.
    """
    addend = Mux(subtract, ~b, b)
    return (Cat(Const(1, 1), a).as_signed() + Cat(subtract, addend).as_signed())[1:].as_signed()


class SignTree(SumTree):
    """The sum of the addends, each as it is or its negative.

    It is an ``AdderTree`` for addends that are looked up by magnitude. a - b is one adder as a + b
    is: b's bits are inverted where the signs differ, in the LUTs that add, and the + 1 that this
    lacks is the carry input. The sign of a is not applied, but is that of the sum, up to the last
    one: it is left to the adder behind the tree. So signs cost hardly more than none.

    Members
    -------
    i_negative : ``In(count)``
        Which of the addends are subtracted.
    o_negative : ``Out(1)``
        Whether ``o`` is the negative of the sum.
    """

    def __init__(self, count: int, width: int) -> None:
        self.check(count, width)   # before members are made of it
        super().__init__(count, width, terms=count, i_negative=In(count), o_negative=Out(1))

    def elaborate(self, platform):
        m = Module()

        terms = [(self.i[number], self.i_negative[number]) for number in range(self.count)]
        for level in range(1, self.latency + 1):
            sums = []
            for lane, (left, right) in enumerate(zip_longest(terms[0::2], terms[1::2])):
                total = Signal(signed(self.width + level), name=f"sum_{level}_{lane}",
                               reset_less=True)
                negative = Signal(name=f"negative_{level}_{lane}", reset_less=True)
                # An odd term out waits a stage, so that all terms of a level are of one beat.
                m.d.sync += [total.eq(left[0]), negative.eq(left[1])]
                if right is not None:
                    m.d.sync += total.eq(add_or_subtract(left[0], right[0], left[1] ^ right[1]))
                sums.append((total, negative))
            terms = sums
        m.d.comb += [self.o.eq(terms[0][0]), self.o_negative.eq(terms[0][1])]

        return m
