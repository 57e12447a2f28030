"""Rows of elements that are needed twice: first for a statistic, then to be scaled by it."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..component import Component
from ..streams.queue import BlockRamQueue
from .elementwise import lanes_layout

__all__ = ["RowFork", "row_layout"]


def row_layout(values: ShapeLike) -> data.StructLayout:
    """A beat of a row: its elements, and whether it is the row's last one."""
    return data.StructLayout({"values": values, "last": 1})


class RowFork(Component):
    """Give every beat of a row twice: at once, and through a queue.

    Parameters
    ----------
    lanes : int
        Float32 elements of a beat.
    max_beats : int
        Most beats of a row, at least 1. In a longer row this many count as a row, so that it
        cannot fill the queue without an end.
    wait : int
        Beats that the queue holds besides a whole row: as many cycles may pass between a row's last
        beat at ``o_now`` and its first one at ``o`` without stopping ``i``.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Rows. ``i.ready`` depends on ``may_end`` and on ``i.p.last``.
    may_end : ``In(1)``
        The last beat of a row may be taken.
    o_now : ``Out(...)``
        The beat of ``i`` in the cycle in which it is taken: ``beat``, if ``valid``.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        The same beats.
    """

    def __init__(self, lanes: int, max_beats: int, wait: int) -> None:
        for name, value in (("lanes", lanes), ("max_beats", max_beats)):
            if value < 1:
                raise ValueError(f"Rows have at least 1 of {name}, not {value!r}")
        self.max_beats = max_beats
        self.wait = wait
        beat = row_layout(lanes_layout(lanes))
        super().__init__({
            "i": In(stream.Signature(beat)),
            "may_end": In(1),
            "o_now": Out(data.StructLayout({"beat": beat, "valid": 1})),
            "o": Out(stream.Signature(beat)),
        })

    def elaborate(self, platform):
        m = Module()
        beat = self.i.p.shape()
        m.submodules.queue = queue = BlockRamQueue(beat, self.max_beats + self.wait)
        connect(m, queue.o, flipped(self.o))

        number = Signal(range(self.max_beats))
        longest = Signal(init=self.max_beats == 1)   # this beat ends a row of ``max_beats``
        now = self.o_now.beat
        m.d.comb += [
            now.values.eq(self.i.p.values),
            now.last.eq(self.i.p.last | longest),
            self.i.ready.eq(queue.i.ready & (self.may_end | ~now.last)),
            self.o_now.valid.eq(self.i.valid & self.i.ready),
            queue.i.p.eq(now),
            queue.i.valid.eq(self.o_now.valid),
        ]
        with m.If(self.o_now.valid):
            m.d.sync += [number.eq(number + 1), longest.eq(number == self.max_beats - 2)]
            with m.If(now.last):
                m.d.sync += [number.eq(0), longest.eq(self.max_beats == 1)]
        return m
