"""The sums of weights of several ternary digits."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .engine_parameters import TlmmParameters, signed_width
from .tlmm import output_layout

__all__ = ["MOST_DIGITS", "DigitSum", "digit_sum_layout"]

MOST_DIGITS = 6   # of an int8: its magnitude is at most 128, and theirs (3^6 - 1) / 2 = 364


def digit_sum_layout(parameters: TlmmParameters) -> data.StructLayout:
    """C sums of integer weights, and whether they are the last ones of their job."""
    largest = 3 ** MOST_DIGITS // 2 << (parameters.accumulator_width - 1)
    return data.StructLayout({
        "sums": data.ArrayLayout(signed(signed_width(largest)), parameters.columns), "last": 1})


class DigitSum(Component):
    """Make of the sums of each digit of a block's weights those of the weights; exact.

    An integer weight is sum(d_i * 3^i), each d_i -1, 0 or 1: so the engine multiplies by its digits
    as by ternary weights, of which a block has as many as there are digits, the highest one
    first. ``total = 3 * total + sum`` over them. One beat of the engine per cycle.

    Parameters
    ----------
    parameters : TlmmParameters
        The engine.

    Members
    -------
    i_digits : ``In(range(MOST_DIGITS + 1))``
        Digits of a weight; 0 counts as 1. Constant while anything is under way.
    i : ``In(stream.Signature(output_layout(parameters)))``
        Sums of digits. ``i.ready`` depends on ``o.ready``.
    o : ``Out(stream.Signature(digit_sum_layout(parameters)))``
        Sums of weights. Registers.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i_digits": In(range(MOST_DIGITS + 1)),
            "i": In(stream.Signature(output_layout(parameters))),
            "o": Out(stream.Signature(digit_sum_layout(parameters))),
        })

    def elaborate(self, platform):
        m = Module()
        digit, begins, ends = Signal(range(MOST_DIGITS)), Signal(init=1), Signal()
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            taken.eq(self.i.valid & self.i.ready),
            ends.eq(digit + 1 >= self.i_digits),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(taken):
            m.d.sync += [digit.eq(Mux(ends, 0, digit + 1)), begins.eq(ends),
                         self.o.valid.eq(ends), self.o.p.last.eq(self.i.p.last)]
            for total, one in zip(self.o.p.sums, self.i.p.sums, strict=True):
                higher = Mux(begins, 0, total)
                m.d.sync += total.eq((higher << 1) + higher + one)
        return m
