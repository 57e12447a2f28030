"""What the accelerator counts of itself."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from .events import COUNTERS, WIDTH

__all__ = ["Counters", "events_layout"]


def events_layout() -> data.StructLayout:
    """A bit for each counter: count this cycle."""
    return data.StructLayout(dict.fromkeys(COUNTERS, 1))


class Counters(Component):
    """A counter of ``WIDTH`` bits for each of ``COUNTERS``.

    Members
    -------
    i : ``In(events_layout())``
        Which ones count.
    clear : ``In(1)``
        Back to 0.
    o : ``Out(StructLayout)``
        The counts.
    """

    def __init__(self) -> None:
        super().__init__({
            "i": In(events_layout()), "clear": In(1),
            "o": Out(data.StructLayout(dict.fromkeys(COUNTERS, WIDTH))),
        })

    def elaborate(self, platform):
        m = Module()
        for name in COUNTERS:
            count = getattr(self.o, name)
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Elif(getattr(self.i, name)):
                m.d.sync += count.eq(count + 1)
        return m
