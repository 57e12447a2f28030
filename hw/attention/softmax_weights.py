"""The int16 weights of the values, which exponentials become."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay
from ..rows.elementwise import lanes_layout
from ..rows.quantizer import SOFTMAX_WEIGHTS, Quantizer
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from ..streams.queue import queue_before
from .attention_parameters import BANKS, TILE, TILES_UNDER_WAY, AttentionParameters
from .scores import scored_tile_layout
from .words import Scales, scale_place_layout

__all__ = ["SoftmaxWeights"]


class SoftmaxWeights(Component):
    """Each exponential times its value's scale, as int16 with one scale per row, bit for bit.

    One weight per cycle in and out. The pipelines do not stop.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i_job : ``In(stream.Signature(scored_tile_layout(parameters)))``
        The query and the tile that the row of exponentials belongs to.
    i : ``In(stream.Signature(row_layout(FLOAT32.layout)))``
        Rows of exponentials.
    o_place : ``Out(scale_place_layout())``, i_scale : ``In(FLOAT32.layout)``
        The scale of that value is expected ``Scales.read_latency`` cycles later.
    i_written : ``In(stream.Signature(scored_tile_layout(parameters)))``
        The jobs once more: the query and the tile that the row of weights belongs to.
    o_weight : ``Out(...)``
        The weight of ``token`` for lane ``lane``: see ``QueryLane.i_weight``.
    o_weighed : ``Out(1)``
        All weights of a tile have been given.
    o_step : ``Out(stream.Signature(FLOAT32.layout))``
        The scale of each row's weights.
    """

    _latency = Scales.read_latency + FloatMultiply.latency

    def __init__(self, parameters: AttentionParameters) -> None:
        p = self.parameters = parameters
        super().__init__({
            "i_job": In(stream.Signature(scored_tile_layout(p))),
            "i": In(stream.Signature(row_layout(FLOAT32.layout))),
            "o_place": Out(scale_place_layout()), "i_scale": In(FLOAT32.layout),
            "i_written": In(stream.Signature(scored_tile_layout(p))),
            "o_weight": Out(data.StructLayout({
                "valid": 1, "bank": range(BANKS), "lane": range(p.queries),
                "token": range(TILE), "weight": signed(SOFTMAX_WEIGHTS.width)})),
            "o_weighed": Out(1),
            "o_step": Out(stream.Signature(FLOAT32.layout)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.scaled = scaled = CreditQueue(row_layout(lanes_layout(1)), self._latency)
        m.submodules.quantizer = quantizer = Quantizer(1, TILE, SOFTMAX_WEIGHTS)
        wiring.connect(m, scaled.o, quantizer.i)
        # The tiles under way wait for their values: all their queries' steps must find a place.
        steps = queue_before(m, "steps", self.o_step, TILES_UNDER_WAY * self.parameters.queries)
        wiring.connect(m, quantizer.o_scale, steps.i)

        # Times the values' scales.
        token = Signal(range(TILE))
        m.submodules.multiply = multiply = FloatMultiply(FLOAT32)
        m.d.comb += [
            scaled.enter.eq(self.i_job.valid & self.i.valid & scaled.ready),
            self.i.ready.eq(scaled.enter),
            self.i_job.ready.eq(scaled.enter & self.i.p.last),
            self.o_place.bank.eq(self.i_job.p.bank), self.o_place.token.eq(token),
            multiply.i_a.eq(delay(m, self.i.p.values, Scales.read_latency, "exponential")),
            multiply.i_b.eq(self.i_scale),
            scaled.i.values[0].eq(multiply.o),
            scaled.i.last.eq(delay(m, self.i.p.last, self._latency, "last")),
        ]
        with m.If(scaled.enter):
            m.d.sync += token.eq(token + 1)
        with m.If(self.i_job.ready):
            m.d.sync += token.eq(0)

        # To the lanes.
        written = Signal(range(TILE))
        ends = Signal()
        m.d.comb += [
            quantizer.o.ready.eq(self.i_written.valid),
            self.o_weight.valid.eq(quantizer.o.valid & self.i_written.valid),
            self.o_weight.bank.eq(self.i_written.p.bank),
            self.o_weight.lane.eq(self.i_written.p.lane),
            self.o_weight.token.eq(written),
            self.o_weight.weight.eq(quantizer.o.p.values[0]),
            ends.eq(self.o_weight.valid & quantizer.o.p.last),
            self.i_written.ready.eq(ends),
            self.o_weighed.eq(ends & self.i_written.p.ends),
        ]
        with m.If(self.o_weight.valid):
            m.d.sync += written.eq(written + 1)
        with m.If(ends):
            m.d.sync += written.eq(0)
        return m
