"""The bias that a linear adds to its outputs."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.shifting import delay
from ..streams.credits import CreditQueue
from .elementwise import lanes_layout
from .row_fork import row_layout

__all__ = ["BiasAdd"]


class BiasAdd(Component):
    """``numerics.add`` of every output and its bias, bit for bit; ``last`` stays with its beat.

    One beat per cycle when nothing stalls. The adders never stop (``CreditQueue``).

    Parameters
    ----------
    lanes : int
        Elements of a beat.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Outputs. A beat is taken when a bias is offered, too.
    i_bias : ``In(stream.Signature(lanes_layout(lanes)))``
        A bias for each of them.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        Sums.

    Attributes
    ----------
    latency : int
        Cycles from a beat taken to its sum offered, when nothing stalls.
    """

    latency = FloatAdd.latency + 1

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        row = stream.Signature(row_layout(lanes_layout(lanes)))
        super().__init__({
            "i": In(row), "i_bias": In(stream.Signature(lanes_layout(lanes))), "o": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), FloatAdd.latency)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        m.d.comb += [
            queue.enter.eq(self.i.valid & self.i_bias.valid & queue.ready),
            self.i.ready.eq(queue.enter), self.i_bias.ready.eq(queue.enter),
            queue.i.last.eq(delay(m, self.i.p.last, FloatAdd.latency, "last")),
        ]
        for lane in range(self.lanes):
            m.submodules[f"add_{lane}"] = add = FloatAdd(FLOAT32)
            m.d.comb += [
                add.i_a.eq(self.i.p.values[lane]), add.i_b.eq(self.i_bias.p[lane]),
                queue.i.values[lane].eq(add.o),
            ]
        return m
