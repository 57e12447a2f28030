"""The running sum of the softmax."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.reciprocal import FloatReciprocal
from ..floats.shifting import delay, delay_pulse
from ..rows.elementwise import lanes_layout
from ..rows.lane_sum import LaneSum
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from .attention_parameters import TILES_UNDER_WAY, AttentionParameters
from .scores import scored_tile_layout

__all__ = ["SoftmaxSums", "factors_layout"]


def factors_layout() -> data.StructLayout:
    """The factor by which a tile shrinks a query's outputs; 1 / the sum of its exponentials."""
    return data.StructLayout({"shrink": FLOAT32.layout, "inverse": FLOAT32.layout})


class SoftmaxSums(Component):
    """``sum = sum * shrink + sum_lanes(exponentials)`` for each row of them, bit for bit.

    A row takes as many cycles as it has elements, and at least those of ``LaneSum``'s tree. A
    register for each query keeps its sum from tile to tile.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i_job : ``In(stream.Signature(scored_tile_layout(parameters)))``
        The query and the tile that the row belongs to.
    i_shrink : ``In(stream.Signature(FLOAT32.layout))``
        The factor of each row. Must be there when the row's sum is.
    i : ``In(stream.Signature(row_layout(FLOAT32.layout)))``
        Rows of exponentials. ``i.ready`` depends on ``i.p.last``.
    o : ``Out(stream.Signature(factors_layout()))``
        One for each row.
    """

    _update_latency = FloatMultiply.latency + FloatAdd.latency
    _latency = LaneSum.sum_latency + _update_latency + FloatReciprocal.latency

    def __init__(self, parameters: AttentionParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i_job": In(stream.Signature(scored_tile_layout(parameters))),
            "i_shrink": In(stream.Signature(FLOAT32.layout)),
            "i": In(stream.Signature(row_layout(FLOAT32.layout))),
            "o": Out(stream.Signature(factors_layout())),
        })

    def elaborate(self, platform):
        m = Module()
        # The tiles under way wait here for their values: all their queries must find a place.
        m.submodules.factors = factors = CreditQueue(
            factors_layout(), self._latency, TILES_UNDER_WAY * self.parameters.queries + 1)
        m.submodules.total = total = LaneSum(lanes=1)
        wiring.connect(m, factors.o, wiring.flipped(self.o))
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(~self.i.p.last | (factors.ready & total.idle)),
            taken.eq(self.i.valid & self.i.ready),
            factors.enter.eq(taken & self.i.p.last),
            total.i.valid.eq(taken), total.i.beat.last.eq(self.i.p.last),
            total.i.beat.values.eq(data.View(lanes_layout(1), self.i.p.values.as_value())),
        ]

        # The row's sum is there: fold it into its query's.
        lane, first = self.i_job.p.lane, self.i_job.p.first
        kept = Array(Signal(FLOAT32.width, name=f"sum_{number}", reset_less=True)
                     for number in range(self.parameters.queries))
        m.submodules.shrunk = shrunk = FloatMultiply(FLOAT32)
        m.submodules.add = add = FloatAdd(FLOAT32)
        m.submodules.reciprocal = reciprocal = FloatReciprocal(shared=True)
        shrink = self.i_shrink.p
        m.d.comb += [
            self.i_job.ready.eq(total.o_valid), self.i_shrink.ready.eq(total.o_valid),
            shrunk.i_a.eq(Mux(first, 0, kept[lane])), shrunk.i_b.eq(shrink),
            add.i_a.eq(shrunk.o),
            add.i_b.eq(delay(m, total.o, shrunk.latency, "row_sum")),
            reciprocal.i.eq(add.o),
            factors.i.shrink.eq(
                delay(m, shrink, self._update_latency + reciprocal.latency, "shrink")),
            factors.i.inverse.eq(reciprocal.o),
        ]
        kept_lane = delay(m, lane, self._update_latency, "kept_lane")
        updated = delay_pulse(m, total.o_valid, self._update_latency, "updated")
        m.d.comb += reciprocal.i_valid.eq(updated)   # sums come farther apart than it needs
        with m.If(updated):
            m.d.sync += kept[kept_lane].eq(add.o)
        return m
