"""A pipelined sum."""

from __future__ import annotations

from itertools import zip_longest

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AdderTree"]


class AdderTree(wiring.Component):
    """Sum ``count`` signed integers exactly, with one register stage per level of a binary tree.

    A new set of addends enters in every cycle and its sum leaves ``latency`` cycles later. The
    pipeline never stops: whoever uses it must have room for the sums it has asked for. That
    spares a clock enable that would reach every register of the tree; nor does a reset reach them.

    Parameters
    ----------
    count : int
        Number of addends, at least 1. With 1, the sum is the addend and ``latency`` is 0.
    width : int
        Bits of an addend.

    Members
    -------
    i : ``In(ArrayLayout(signed(width), count))``
        Addends.
    o : ``Out(signed(width + latency))``
        Their sum, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        Levels of the tree: ceil(log2(count)).
    """

    def __init__(self, count: int, width: int) -> None:
        for name, value in (("count", count), ("width", width)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Adder tree {name} must be a positive integer, not {value!r}")
        self.count = count
        self.width = width
        self.latency = (count - 1).bit_length()
        super().__init__({
            "i": In(data.ArrayLayout(signed(width), count)),
            "o": Out(signed(width + self.latency)),
        })

    def elaborate(self, platform):
        m = Module()

        terms = [self.i[lane] for lane in range(self.count)]
        for level in range(1, self.latency + 1):
            pairs = list(zip_longest(terms[0::2], terms[1::2]))
            sums = [Signal(signed(self.width + level), name=f"sum_{level}_{lane}", reset_less=True)
                    for lane in range(len(pairs))]
            for total, (left, right) in zip(sums, pairs, strict=True):
                # An odd term out waits a stage, so that all terms of a level are of one beat.
                m.d.sync += total.eq(left if right is None else left + right)
            terms = sums
        m.d.comb += self.o.eq(terms[0])

        return m
