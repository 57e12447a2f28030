"""Angles from memory: cosines and sines in turn."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .elementwise import lanes_layout
from .rotary import angles_layout
from .row_fork import row_layout

__all__ = ["AnglePairs"]


class AnglePairs(Component):
    """Put a beat of cosines and the beat of sines after it together: a beat of angles.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Rows of an even number of beats.
    o : ``Out(stream.Signature(row_layout(angles_layout(lanes))))``
        Rows for ``Rotary.i_angles``. ``o.valid`` depends on ``i.valid``.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__({
            "i": In(stream.Signature(row_layout(lanes_layout(lanes)))),
            "o": Out(stream.Signature(row_layout(angles_layout(lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        sines = Signal()
        cosine = Signal(self.i.p.values.shape(), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~sines | self.o.ready),
            self.o.valid.eq(self.i.valid & sines),
            self.o.p.values.cosine.eq(cosine), self.o.p.values.sine.eq(self.i.p.values),
            self.o.p.last.eq(self.i.p.last),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [cosine.eq(self.i.p.values), sines.eq(~sines)]
        return m
