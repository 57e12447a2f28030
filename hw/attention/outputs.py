"""The outputs of the queries, gathered tile by tile."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from ..rows.elementwise import lanes_layout
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from .attention_parameters import AttentionParameters
from .query_lane import QueryLane
from .scores import scored_tile_layout
from .softmax_sums import factors_layout

__all__ = ["Outputs"]


class Outputs(Component):
    """``o = o * shrink + float32(sum) * step`` for each job; in the last one o / sum of all.

    ``lanes`` elements per cycle. The next job starts when the results of this one are kept, so that
    a job takes head_dim / lanes + 13 cycles. The pipelines do not stop.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i_job : ``In(stream.Signature(scored_tile_layout(parameters)))``
        Queries and tiles, in order.
    i_factors : ``In(stream.Signature(factors_layout()))``
        One for each job.
    i_step : ``In(stream.Signature(FLOAT32.layout))``
        The scale of each job's sums.
    i_summed : ``In(1)``
        A tile's sums can be read from now on.
    o_used : ``Out(1)``
        A tile's sums are not needed any more.
    o_lane : ``Out(range(Q))``, o_sum : ``Out(...)``
        The lane whose sums are wanted, and which beat of them (``QueryLane.i_sum``). They are
        expected at ``i_sums`` ``QueryLane.read_latency`` cycles later.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        The head of each query, in the order of its last tile.
    """

    _sum_latency = QueryLane.read_latency + IntegerToFloat.latency + FloatMultiply.latency
    _keep_latency = _sum_latency + FloatAdd.latency
    _latency = _keep_latency + FloatMultiply.latency

    def __init__(self, parameters: AttentionParameters) -> None:
        p = self.parameters = parameters
        super().__init__({
            "i_job": In(stream.Signature(scored_tile_layout(p))),
            "i_factors": In(stream.Signature(factors_layout())),
            "i_step": In(stream.Signature(FLOAT32.layout)),
            "i_summed": In(1), "o_used": Out(1),
            "o_lane": Out(range(p.queries)),
            "o_sum": Out(data.StructLayout({
                "bank": 1, "beat": range(p.max_head_dim // p.lanes)})),
            "i_sums": In(data.ArrayLayout(
                data.ArrayLayout(signed(p.sum_width), p.lanes), p.queries)),
            "o": Out(stream.Signature(row_layout(lanes_layout(p.lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        p, job = self.parameters, self.i_job.p
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), self._latency)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

        # Walk through the beats of a job; wait until they are kept before the next one.
        summed = Signal(range(3))
        beat = Signal.like(self.o_sum.beat)
        runs, ends, keeping = Signal(), Signal(), Signal()
        known, last_beat = Signal(), Signal()   # a cycle ahead: jobs come long before their sums
        beats = Signal(range(p.max_head_dim // p.lanes + 1))
        m.d.comb += [
            beats.eq(job.chunks * (p.chunk // p.lanes)),
            runs.eq(known & self.i_factors.valid & self.i_step.valid & (summed != 0)
                    & ~keeping & (queue.ready | ~job.last)),
            queue.enter.eq(runs & job.last),
            ends.eq(runs & last_beat),
            self.i_job.ready.eq(ends), self.i_factors.ready.eq(ends), self.i_step.ready.eq(ends),
            self.o_used.eq(ends & job.ends),
            self.o_lane.eq(job.lane), self.o_sum.bank.eq(job.bank), self.o_sum.beat.eq(beat),
        ]
        m.d.sync += [
            summed.eq(summed + self.i_summed - self.o_used),
            known.eq(self.i_job.valid & ~ends),
            last_beat.eq(Mux(runs, beat + 2 == beats, beat + 1 == beats)),
        ]
        with m.If(runs):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
        kept = delay_pulse(m, ends, self._keep_latency, "kept")
        with m.If(ends):
            m.d.sync += keeping.eq(1)
        with m.Elif(kept):
            m.d.sync += keeping.eq(0)

        self._update(m, queue, runs, beat, ends)
        return m

    def _update(self, m: Module, queue: CreditQueue, runs, beat, ends) -> None:
        p, job = self.parameters, self.i_job.p
        lane = delay(m, job.lane, QueryLane.read_latency, "sum_lane")
        sums = self.i_sums[lane]
        step = delay(m, self.i_step.p, QueryLane.read_latency + IntegerToFloat.latency, "step")
        until_shrink = self._sum_latency - FloatMultiply.latency
        shrink = delay(m, self.i_factors.p.shrink, until_shrink, "shrink")
        inverse = delay(m, self.i_factors.p.inverse, self._keep_latency, "inverse")

        # What was gathered so far is read just in time for its multiplication.
        m.submodules.gathered = memory = Memory(
            shape=lanes_layout(p.lanes), init=[],
            depth=(1 << (p.queries - 1).bit_length()) << (beat.shape().width))
        write, read = memory.write_port(), memory.read_port()
        place = Cat(beat, job.lane)
        m.d.comb += [
            read.addr.eq(delay(m, place, until_shrink - 1, "read_place")),
            write.addr.eq(delay(m, place, self._keep_latency, "write_place")),
            write.en.eq(delay_pulse(m, runs, self._keep_latency, "write")),
            queue.i.last.eq(delay(m, ends, self._latency, "last")),
        ]
        first = delay(m, job.first, until_shrink, "first")
        for element in range(p.lanes):
            m.submodules[f"to_float_{element}"] = to_float = IntegerToFloat(FLOAT32, p.sum_width)
            m.submodules[f"by_step_{element}"] = by_step = FloatMultiply(FLOAT32)
            m.submodules[f"shrunk_{element}"] = shrunk = FloatMultiply(FLOAT32)
            m.submodules[f"add_{element}"] = add = FloatAdd(FLOAT32)
            m.submodules[f"by_inverse_{element}"] = by_inverse = FloatMultiply(FLOAT32)
            m.d.comb += [
                to_float.i.eq(sums[element]),
                by_step.i_a.eq(to_float.o), by_step.i_b.eq(step),
                shrunk.i_a.eq(Mux(first, 0, read.data[element].as_value())),
                shrunk.i_b.eq(shrink),
                add.i_a.eq(shrunk.o), add.i_b.eq(by_step.o),
                write.data[element].eq(add.o),
                by_inverse.i_a.eq(add.o), by_inverse.i_b.eq(inverse),
                queue.i.values[element].eq(by_inverse.o),
            ]
