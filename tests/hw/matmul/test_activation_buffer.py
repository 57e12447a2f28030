"""Rows into the activation buffer, and out of it again, as often and in what order one likes."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, connect, flipped

from support.payloads import pack_payloads
from trilobite.hw.matmul.activation_buffer import ActivationBuffer
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.matmul.reference import pack_activations, unpack_beats, unpack_floats
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import Traffic, build, exchange

PARAMETERS = TlmmParameters(group_size=3, tables=4, columns=4, max_k=96, max_m=16)
LANES, DEPTH, MAX_ROWS = 2, 24, 6
STREAMS = ("i_step", "i", "i_scale", "i_read", "o", "o_scale")


class BufferBench(wiring.Component):
    """The buffer with what its user does: clear before a step, ask only for what has come.

    ``i_step``: rows of ``passes`` beats, of which ``reads`` are asked for. It is taken at once; the
    next one is when all reads were given.
    """

    def __init__(self):
        self.buffer = ActivationBuffer(PARAMETERS, lanes=LANES, depth=DEPTH, max_rows=MAX_ROWS)
        members = self.buffer.signature.members
        super().__init__({
            "i_step": In(stream.Signature(data.StructLayout({
                "passes": range(PARAMETERS.max_passes + 1), "rows": 4, "reads": 8}))),
            **{name: members[name] for name in STREAMS[1:]},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        step = Signal(self.i_step.p.shape())
        came, scales_came, asked, gave, scaled = (Signal(8, name=name) for name in (
            "came", "scales_came", "asked", "gave", "scaled"))
        clearing = Signal()
        done = (gave == step.reads) & (scaled == step.reads)
        m.d.comb += [
            self.i_step.ready.eq(done & ~clearing), buffer.i_clear.eq(clearing),
            buffer.i_passes.eq(step.passes),
        ]
        m.d.sync += clearing.eq(self.i_step.valid & self.i_step.ready)
        with m.If(self.i_step.valid & self.i_step.ready):
            m.d.sync += step.eq(self.i_step.p)
            m.d.sync += [count.eq(0) for count in (came, scales_came, asked, gave, scaled)]
        for inner, outer, count in ((buffer.i, self.i, came),
                                    (buffer.i_scale, self.i_scale, scales_came)):
            allowed = ~clearing & (count != step.rows)
            m.d.comb += [inner.p.eq(outer.p), inner.valid.eq(outer.valid & allowed),
                         outer.ready.eq(inner.ready & allowed)]
            last = inner.p.last if inner is buffer.i else 1
            with m.If(inner.valid & inner.ready & last):
                m.d.sync += count.eq(count + 1)
        wanted = ~clearing & (asked != step.reads) & (self.i_read.p < buffer.o_stored)
        m.d.comb += [
            buffer.i_read.p.eq(self.i_read.p), buffer.i_read.valid.eq(self.i_read.valid & wanted),
            self.i_read.ready.eq(buffer.i_read.ready & wanted),
        ]
        beat = Signal.like(step.passes)
        with m.If(buffer.i_read.valid & buffer.i_read.ready):
            m.d.sync += asked.eq(asked + 1)
        for name in ("o", "o_scale"):
            connect(m, getattr(buffer, name), flipped(getattr(self, name)))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat + 1 == step.passes):
                m.d.sync += [beat.eq(0), gave.eq(gave + 1)]
        with m.If(self.o_scale.valid & self.o_scale.ready):
            m.d.sync += scaled.eq(scaled + 1)
        return m


@cache
def bench():
    return BufferBench()


@cache
def simulation():
    return build(bench(), "activation_buffer")


class Step:
    """Rows int8 [rows, K] and their scales, and which of them are asked for."""

    def __init__(self, rng, rows, K, reads):
        self.codes = rng.integers(-128, 128, (rows, K)).astype(np.int8)
        self.scales = np.exp(rng.standard_normal(rows, np.float32))
        # All of them, so that each scale is waited for, then some again.
        self.reads = [*range(rows), *rng.integers(0, rows, reads)]
        self.passes = PARAMETERS.passes(K)

    def beats(self):
        rows, K = self.codes.shape
        last = np.zeros((rows, -(-K // LANES), 1), np.uint8)
        last[:, -1] = 1
        padded = np.pad(self.codes, ((0, 0), (0, -K % LANES))).view(np.uint8)
        codes = np.concatenate([padded.reshape(rows, -1, LANES), last], axis=2)
        return {
            "i_step": pack_payloads(bench().i_step.p.shape(), [
                {"passes": self.passes, "rows": rows, "reads": len(self.reads)}]),
            "i": codes.reshape(-1, LANES + 1), "i_scale": self.scales[:, None].view(np.uint8),
            "i_read": np.array(self.reads, np.uint8)[:, None],
        }


def traffic(steps, **keywords):
    beats = [step.beats() for step in steps]
    return Traffic({name: np.concatenate([each[name] for each in beats]) for name in beats[0]},
                   {"o": sum(step.passes * len(step.reads) for step in steps),
                    "o_scale": sum(len(step.reads) for step in steps)}, **keywords)


def check(steps, observed):
    beats, scales = observed.outputs["o"], unpack_floats(
        observed.outputs["o_scale"], len(observed.outputs["o_scale"]))
    length = PARAMETERS.pass_length
    for step in steps:
        count = step.passes * len(step.reads)
        given, beats = beats[:count], beats[count:]
        np.testing.assert_array_equal(scales[:len(step.reads)], step.scales[step.reads])
        scales = scales[len(step.reads):]
        codes = unpack_beats(given, 8, length).reshape(len(step.reads), -1)
        K = step.codes.shape[1]
        np.testing.assert_array_equal(codes[:, :K], step.codes[step.reads])
        if K % length == 0:
            np.testing.assert_array_equal(given, pack_activations(
                PARAMETERS, step.codes[step.reads]))


@pytest.fixture(scope="module")
def steps():
    """Rows that fill their last beat and rows that do not; one row, and as many as there are."""
    rng = np.random.default_rng(0)
    return [Step(rng, rows, K, reads) for rows, K, reads in (
        (1, 96, 3), (MAX_ROWS, 48, 9), (2, 95, 0), (3, 1, 20), (5, 25, 6), (1, 12, 1))]


def test_rows_and_scales_come_back_with_and_without_stalls(steps):
    stalls = [0.0, 0.3, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(simulation(), [traffic(steps, stall=stall) for stall in stalls]):
        check(steps, observed)


def test_a_beat_of_a_row_leaves_in_every_cycle():
    """Of two steps that differ in reads alone, each further read takes a cycle per beat."""
    cycles = []
    for reads in (4, 14):
        step = Step(np.random.default_rng(1), 2, 96, reads)
        cycles.append(exchange(simulation(), [traffic([step])])[0].cycles)
    assert cycles[1] - cycles[0] == 10 * (PARAMETERS.passes(96) + 1)


def test_a_reset_drops_what_is_under_way(steps):
    runs = [traffic(steps, reset_after=cycle, stall=0.2) for cycle in (2, 20, 66, 150)]
    check(steps, exchange(simulation(), [*runs, traffic(steps)])[-1])


def test_lanes_that_do_not_divide_a_beat_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="12 activations is not a multiple"):
        ActivationBuffer(PARAMETERS, lanes=8, depth=8, max_rows=1)
