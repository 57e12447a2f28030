"""The scores that dot products become, and their running maximum."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.compare import FloatMaximum
from ..floats.format import FLOAT32, constant
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from .attention_parameters import BANKS, TILE, AttentionParameters
from .query_lane import QueryLane
from .tile_walker import context_tile_layout
from .words import scale_place_layout

__all__ = ["Scores", "maximum_layout", "scored_tile_layout"]


def scored_tile_layout(parameters: AttentionParameters) -> data.StructLayout:
    """A query and a tile of which it sees something, for the stages after the scores.

    ``first`` and ``last``: it is the first tile that the query sees, the last one. ``ends``: no
    other query sees the tile after this one.
    """
    return data.StructLayout({
        "lane": range(parameters.queries), "bank": range(BANKS),
        "first": 1, "last": 1, "ends": 1,
        "chunks": range(parameters.max_chunks + 1),
    })


def maximum_layout() -> data.StructLayout:
    """The running maximum of a query before a tile and with it."""
    return data.StructLayout({"before": FLOAT32.layout, "now": FLOAT32.layout})


class Scores(Component):
    """Scores of each tile, query by query: ``(float32(dot) * scale_k) * scale_q``, bit for bit.

    One score per cycle, and three cycles between queries. The pipeline never stops: a query of a
    tile starts only while there is a place for all that it gives. Tokens that a query does not see
    are passed over.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i : ``In(stream.Signature(context_tile_layout(parameters)))``
        Tiles whose dots can be read.
    i_scales : ``In(...)``
        ``QueryLoader.o_scales``.
    o_count : ``Out(...)``
        How many of the tile's tokens lane ``lane`` sees: ``QueryLane.i_count``.
    o_lane : ``Out(range(Q))``, o_place : ``Out(...)``
        Whose dot of which token is wanted, and that token's scale: the dot and the scale are
        expected at ``i_dot`` and ``i_scale`` ``QueryLane.read_latency`` cycles later.
    o_released : ``Out(1)``
        The last tile of a pass is done: its queries' codes and scales are free.
    o_job : ``Out(stream.Signature(scored_tile_layout(parameters)))``
        What the scores are of.
    o_maximum : ``Out(stream.Signature(maximum_layout()))``
        One for each job.
    o : ``Out(stream.Signature(row_layout(FLOAT32.layout)))``
        A row of scores for each job.
    """

    _latency = (QueryLane.read_latency + IntegerToFloat.latency + 2 * FloatMultiply.latency)

    def __init__(self, parameters: AttentionParameters) -> None:
        p = self.parameters = parameters
        super().__init__({
            "i": In(stream.Signature(context_tile_layout(p))),
            "i_scales": In(data.ArrayLayout(data.ArrayLayout(FLOAT32.layout, p.queries), 2)),
            "i_dot": In(data.ArrayLayout(p.dot_width, p.queries)),
            "i_scale": In(FLOAT32.layout),
            "o_count": Out(data.StructLayout({
                "valid": 1, "bank": range(BANKS), "lane": range(p.queries),
                "count": range(TILE + 1)})),
            "o_lane": Out(range(p.queries)),
            "o_place": Out(scale_place_layout()),
            "o_released": Out(1),
            "o_job": Out(stream.Signature(scored_tile_layout(p))),
            "o_maximum": Out(stream.Signature(maximum_layout())),
            "o": Out(stream.Signature(row_layout(FLOAT32.layout))),
        })

    def elaborate(self, platform):
        m = Module()
        p, tile = self.parameters, self.i.p
        m.submodules.scores = scores = CreditQueue(
            self.o.p.shape(), self._latency, self._latency + 2 * TILE)
        m.submodules.maxima = maxima = CreditQueue(maximum_layout(), self._latency + 1, 3)
        wiring.connect(m, scores.o, wiring.flipped(self.o))
        wiring.connect(m, maxima.o, wiring.flipped(self.o_maximum))

        # Walk through the queries of the tile and the tokens that they see.
        lane, member = Signal(range(p.queries)), Signal(range(p.queries + 1))
        above = Signal(range(p.queries + 1))   # of the first query's position
        token = Signal(range(TILE))
        left = Signal(tile.remaining.shape())
        count = Signal(range(TILE + 1))
        counted, runs, enters = Signal(), Signal(), Signal()
        lane_ends, last_lane, last_token = Signal(), Signal(), Signal()
        # Both are known a cycle ahead: a query runs two cycles after its tokens were counted.
        m.d.sync += [
            last_lane.eq(lane + 1 == tile.queries),
            last_token.eq(Mux(enters, token + 2 == count, token + 1 == count)),
        ]
        m.d.comb += [
            left.eq(tile.remaining + above),
            self.o_count.valid.eq(self.i.valid & ~counted),
            self.o_count.bank.eq(tile.bank), self.o_count.lane.eq(lane),
            self.o_count.count.eq(Mux(left > TILE, TILE, Mux(left > 0, left, 0))),
            enters.eq(runs & scores.ready),
            scores.enter.eq(enters),
            maxima.enter.eq(enters & last_token),
            lane_ends.eq((enters & last_token) | (counted & ~runs & (count == 0))),
            self.i.ready.eq(lane_ends & last_lane),
            self.o_released.eq(self.i.ready & tile.last),
            self.o_lane.eq(lane), self.o_place.bank.eq(tile.bank), self.o_place.token.eq(token),
        ]
        with m.If(self.o_count.valid):
            m.d.sync += [counted.eq(1), count.eq(self.o_count.count)]
        with m.If(enters):
            m.d.sync += token.eq(token + 1)
        with m.If(lane_ends):
            m.d.sync += [counted.eq(0), runs.eq(0), token.eq(0), lane.eq(lane + 1),
                         member.eq(member + 1)]
            with m.If(member + 1 == tile.group):
                m.d.sync += [member.eq(0), above.eq(above + 1)]
            with m.If(last_lane):
                m.d.sync += [lane.eq(0), member.eq(0), above.eq(0)]

        # Start a query: its job goes ahead. Later queries see more, so that the last one ends it.
        job = self.o_job.p
        m.d.comb += [
            job.lane.eq(lane), job.bank.eq(tile.bank), job.first.eq(tile.first),
            job.last.eq(left <= TILE), job.ends.eq(last_lane), job.chunks.eq(tile.chunks),
            self.o_job.valid.eq(counted & ~runs & (count != 0) & maxima.ready),
        ]
        with m.If(self.o_job.valid & self.o_job.ready):
            m.d.sync += runs.eq(1)

        score = self._score(m, lane, tile.pass_bank)
        ends = delay(m, last_token, self._latency, "score_ends")
        m.d.comb += [scores.i.values.eq(score), scores.i.last.eq(ends)]
        self._maximum(m, maxima, score, enters, token == 0, lane, tile.first)
        return m

    def _score(self, m: Module, lane: Signal, pass_bank) -> Signal:
        """The score of the dot that was asked for ``_latency`` cycles ago."""
        p = self.parameters
        m.submodules.to_float = to_float = IntegerToFloat(FLOAT32, p.dot_width)
        m.submodules.by_key = by_key = FloatMultiply(FLOAT32)
        m.submodules.by_query = by_query = FloatMultiply(FLOAT32)
        read = QueryLane.read_latency
        own_scale = Signal(FLOAT32.layout)
        m.d.comb += own_scale.eq(self.i_scales[pass_bank][lane])
        until_query = read + to_float.latency + by_key.latency
        m.d.comb += [
            to_float.i.eq(self.i_dot[delay(m, lane, read, "dot_lane")].as_signed()),
            by_key.i_a.eq(to_float.o),
            by_key.i_b.eq(delay(m, self.i_scale, to_float.latency, "key_scale")),
            by_query.i_a.eq(by_key.o),
            by_query.i_b.eq(delay(m, own_scale, until_query, "query_scale")),
        ]
        return by_query.o

    def _maximum(self, m: Module, maxima: CreditQueue, score, enters, first_token, lane,
                 first_tile) -> None:
        """Follow the maximum of the query; a register for each keeps it from tile to tile."""
        p = self.parameters
        valid = delay_pulse(m, enters, self._latency, "score_valid")
        kept = Array(Signal(FLOAT32.width, name=f"maximum_{number}", reset_less=True)
                     for number in range(p.queries))
        lowest = constant(np.float32(-np.inf)).as_bits()

        # What was kept is read, and begun with, a cycle ahead: three cycles lie between queries.
        b_lane = delay(m, lane, self._latency - 1, "before_lane")
        b_first_tile = delay(m, first_tile, self._latency - 1, "before_first_tile")
        begins = delay_pulse(m, enters & first_token, self._latency - 1, "score_begins")
        starts = delay_pulse(m, begins, 1, "score_starts")
        m.submodules.running = running = FloatMaximum(FLOAT32, running=True)
        m.d.comb += [
            running.i_begins.eq(begins),
            running.i_first.eq(Mux(b_first_tile, lowest, kept[b_lane])),
            running.i_valid.eq(valid), running.i_a.eq(running.o), running.i_b.eq(score),
        ]
        began = Signal(FLOAT32.width, reset_less=True)
        with m.If(starts):
            m.d.sync += began.eq(running.o)
        m.d.comb += [maxima.i.before.eq(began), maxima.i.now.eq(running.o)]
        kept_lane = delay(m, b_lane, 2, "kept_lane")
        with m.If(delay_pulse(m, valid, 1, "kept_valid")):
            m.d.sync += kept[kept_lane].eq(running.o)
