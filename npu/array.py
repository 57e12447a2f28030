"""The array between its streams: jobs, weights, activations, totals."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from ..hw.streams.queue import StreamQueue, queue_before, queue_behind
from .array_parameters import ArrayParameters, Stationary
from .datapath import Datapath, activations_layout, totals_layout, weights_layout

__all__ = ["Array", "array_job_layout"]

_COUNT_WIDTH = 16


def array_job_layout() -> data.StructLayout:
    """Groups of K, and tokens (not read if outputs stay); both at least 1."""
    return data.StructLayout({"groups": _COUNT_WIDTH, "tokens": _COUNT_WIDTH})


class Array(Component):
    """Multiply a tile of INT4 weights by FP8 E4M3 activations, exactly as the runtime does.

    It computes a part of the matmul rule of ``int4-fp8`` (docs/reference/numerics.md), the int64

        total[n, m] = sum over g of s[m, g] * sum over k in g of q[m, k] * u[n, k]

    with u and s in units of 2^-9: no rounding. The float rule ``scale_sum`` follows outside, with
    the token's scale. NaN codes, which no quantizer writes, count as 0.

    Streams
    -------
    A job is a tile of ``rows`` rows and all groups of K; its beats come in this order. The streams
    are independent of one another and each of them may stall at any time.

    - ``i_job``: one beat, see ``array_job_layout``. More tokens than ``parameters.tokens`` are an
      error of the sender: their totals are undefined.
    - ``i_weights``: beats of ``lanes`` columns, in the order of K, each once. Scales are read in
      the last beat of a group.
    - ``i_activations``: if outputs stay, one beat for each beat of weights, with all tokens. If
      weights stay, for each group, for each token, the beats of the group's columns.
    - ``o``: if outputs stay, one beat with all tokens; if weights stay, one beat for each token.

    Once valid, ``o`` holds its payload until it is taken. A queue stands behind each input and
    before ``o``, so no output, ``ready`` included, depends combinationally on an input. While ``o``
    waits and its queue of two is full, the whole pipeline stops.

    Throughput and latency
    ----------------------
    A beat of activations enters per cycle; ``parameters.busy_cycles`` counts a job's. If weights
    stay, the next group is loaded after the last token has passed, which costs 1 / (tokens + 1) of
    the time. The pipeline has ``latency`` stages, the two queues included; a job alone takes
    ``busy_cycles + latency + 1`` cycles, as ``sim.verify.bench.exchange`` counts them.

    Members
    -------
    i_job : ``In(stream.Signature(array_job_layout()))``
    i_weights : ``In(stream.Signature(weights_layout(parameters)))``
    i_activations : ``In(stream.Signature(activations_layout(parameters)))``
    o : ``Out(stream.Signature(totals_layout(parameters)))``
    """

    latency = Datapath.latency + 2   # a queue before, a queue behind

    def __init__(self, parameters: ArrayParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i_job": In(stream.Signature(array_job_layout())),
            "i_weights": In(stream.Signature(weights_layout(parameters))),
            "i_activations": In(stream.Signature(activations_layout(parameters))),
            "o": Out(stream.Signature(totals_layout(parameters))),
        })

    def elaborate(self, platform):
        m = Module()
        jobs = queue_behind(m, "jobs", self.i_job)
        weights = queue_behind(m, "weights", self.i_weights)
        activations = queue_behind(m, "activations", self.i_activations)
        m.submodules.datapath = path = Datapath(self.parameters)
        results = queue_before(m, "results", self.o)
        m.d.comb += [
            path.move.eq(~path.o_valid | results.i.ready),
            results.i.p.eq(path.o), results.i.valid.eq(path.o_valid),
            path.activations.eq(activations.o.p), activations.o.ready.eq(path.move & path.valid),
        ]
        job = Signal(array_job_layout())
        running = Signal()
        done = Signal()
        with m.If(~running):
            m.d.comb += jobs.o.ready.eq(1)
            m.d.sync += [job.eq(jobs.o.p), running.eq(jobs.o.valid)]
        with m.Elif(done):
            m.d.sync += running.eq(0)
        if self.parameters.stationary is Stationary.OUTPUT:
            self._stream_weights(m, path, running, weights, activations)
            m.d.comb += done.eq(self._count(m, path, job, path.move & path.valid))
        else:
            self._hold_weights(m, path, job, done, running, weights, activations)
        return m

    def _stream_weights(self, m: Module, path: Datapath, running: Signal, weights: StreamQueue,
                        activations: StreamQueue) -> None:
        m.d.comb += [
            path.valid.eq(running & weights.o.valid & activations.o.valid),
            path.weights.eq(weights.o.p), weights.o.ready.eq(path.move & path.valid),
        ]

    def _hold_weights(self, m: Module, path: Datapath, job: Signal, done: Signal, running: Signal,
                      weights: StreamQueue, activations: StreamQueue) -> None:
        """Load a group, then let the tokens pass."""
        shape = self.parameters
        m.submodules.group = group = Memory(
            shape=weights_layout(shape), depth=max(shape.beats_per_group, 2), init=[])
        write, read = group.write_port(), group.read_port(domain="comb")
        loaded = Signal()
        beat = Signal(range(max(shape.beats_per_group, 2)))
        step = Signal()
        m.d.comb += [
            weights.o.ready.eq(running & ~loaded),
            write.en.eq(weights.o.ready & weights.o.valid),
            write.addr.eq(beat), write.data.eq(weights.o.p),
            read.addr.eq(beat), path.weights.eq(read.data),
            path.valid.eq(running & loaded & activations.o.valid),
            step.eq(path.move & path.valid),
        ]
        with m.If(write.en | step):
            m.d.sync += beat.eq(_next(beat, shape.beats_per_group - 1))
        with m.If(write.en & (beat == shape.beats_per_group - 1)):
            m.d.sync += loaded.eq(1)
        token = Signal(_COUNT_WIDTH)
        m.d.comb += path.token.eq(token)
        passed = step & path.closes
        last_token = token == job.tokens - 1
        with m.If(passed):
            m.d.sync += token.eq(_next(token, job.tokens - 1))
        with m.If(passed & last_token):
            m.d.sync += loaded.eq(0)
        m.d.comb += done.eq(self._count(m, path, job, step, last_token))

    def _count(self, m: Module, path: Datapath, job: Signal, step: Value,
               last_token: Value | int = 1) -> Value:
        """Mark the beats of groups; whether the job's last one enters."""
        beats = self.parameters.beats_per_group
        beat = Signal(range(max(beats, 2)), name="beat_of_group")
        group = Signal(_COUNT_WIDTH, name="group_of_job")
        m.d.comb += [path.opens.eq(beat == 0), path.closes.eq(beat == beats - 1),
                     path.first.eq(group == 0), path.last.eq(group == job.groups - 1)]
        with m.If(step):
            m.d.sync += beat.eq(_next(beat, beats - 1))
        with m.If(step & path.closes & last_token):
            m.d.sync += group.eq(_next(group, job.groups - 1))
        return step & path.closes & path.last & last_token


def _next(counter: Signal, largest: Value | int) -> Value:
    """One more, or 0 after ``largest``."""
    return (counter + 1) * (counter != largest)
