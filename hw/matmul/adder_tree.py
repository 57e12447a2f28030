"""Pipelined sums."""

from __future__ import annotations

from itertools import zip_longest

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component

__all__ = ["AdderTree", "SumTree"]


class SumTree(Component):
    """An exact sum of signed integers, with one register stage per level of a binary tree.

    A new set of addends enters in every cycle and its sum leaves ``latency`` cycles later. The
    pipeline never stops: whoever uses it must have room for the sums it has asked for. That
    spares a clock enable that would reach every register of the tree; nor does a reset reach them.

    Parameters
    ----------
    count : int
        The number of addends, at least 1.
    width : int
        The bits of an addend.
    terms : int
        What the tree adds, which can be more than ``count``.
    signs : wiring.Member
        What else comes with the addends, or leaves with their sum.

    Members
    -------
    i : ``In(ArrayLayout(signed(width), count))``
        The addends.
    o : ``Out(signed(width + latency))``
        Their sum, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        The levels of the tree: ceil(log2(terms)).

    Raises
    ------
    ValueError
        ``count`` or ``width`` is not a positive integer.
    """

    def __init__(self, count: int, width: int, terms: int, **signs: wiring.Member) -> None:
        self.check(count, width)
        self.count = count
        self.width = width
        self.latency = (terms - 1).bit_length()
        super().__init__({
            "i": In(data.ArrayLayout(signed(width), count)), **signs,
            "o": Out(signed(width + self.latency)),
        })

    @classmethod
    def check(cls, count: int, width: int) -> None:
        """Raise ``ValueError`` unless both are positive integers."""
        for name, value in (("count", count), ("width", width)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{cls.__name__}'s {name} must be a positive integer, not "
                                 f"{value!r}")


class AdderTree(SumTree):
    """The sum of the addends as they are. With one, it is that addend and ``latency`` is 0."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width, terms=count)

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
