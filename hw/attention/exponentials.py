"""The exponentials of the scores' distances from the running maximum."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.exponential import FloatExp
from ..floats.format import FLOAT32
from ..floats.shifting import delay
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from .scores import maximum_layout

__all__ = ["Exponentials"]


class Exponentials(Component):
    """``exp(score - maximum)`` of every score of a row, and ``exp(before - maximum)``, bit for bit.

    One exponential per cycle; the row's factor comes before its first one. The pipeline never stops
    (``CreditQueue``).

    Members
    -------
    i_maximum : ``In(stream.Signature(maximum_layout()))``
        One for each row.
    i : ``In(stream.Signature(row_layout(FLOAT32.layout)))``
        Rows of scores.
    o_shrink : ``Out(stream.Signature(FLOAT32.layout))``
        For each row, the factor by which what was summed up before shrinks.
    o : ``Out(stream.Signature(row_layout(FLOAT32.layout)))``
        Rows of exponentials.

    Attributes
    ----------
    latency : int
        Cycles from a score taken to its exponential offered, when nothing stalls: 43.
    """

    _pipeline_latency = FloatAdd.latency + FloatExp.latency
    latency = _pipeline_latency + 1

    def __init__(self) -> None:
        row = stream.Signature(row_layout(FLOAT32.layout))
        super().__init__({
            "i_maximum": In(stream.Signature(maximum_layout())), "i": In(row),
            "o_shrink": Out(stream.Signature(FLOAT32.layout)), "o": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.shrinks = shrinks = CreditQueue(FLOAT32.layout, self._pipeline_latency, 4)
        m.submodules.rows = rows = CreditQueue(self.o.p.shape(), self._pipeline_latency)
        wiring.connect(m, shrinks.o, wiring.flipped(self.o_shrink))
        wiring.connect(m, rows.o, wiring.flipped(self.o))

        shrunk = Signal()
        m.d.comb += [
            shrinks.enter.eq(self.i_maximum.valid & ~shrunk & shrinks.ready),
            rows.enter.eq(self.i_maximum.valid & shrunk & self.i.valid & rows.ready),
            self.i.ready.eq(rows.enter),
            self.i_maximum.ready.eq(rows.enter & self.i.p.last),
        ]
        with m.If(shrinks.enter):
            m.d.sync += shrunk.eq(1)
        with m.If(self.i_maximum.ready):
            m.d.sync += shrunk.eq(0)

        m.submodules.distance = distance = FloatAdd(FLOAT32, subtract=True)
        m.submodules.exp = exp = FloatExp()
        m.d.comb += [
            distance.i_a.eq(Mux(shrunk, self.i.p.values.as_value(),
                                self.i_maximum.p.before.as_value())),
            distance.i_b.eq(self.i_maximum.p.now),
            exp.i.eq(distance.o),
            shrinks.i.eq(exp.o),
            rows.i.values.eq(exp.o),
            rows.i.last.eq(delay(m, self.i.p.last, self._pipeline_latency, "last")),
        ]
        return m
