"""Proofs about the stream blocks: nothing is lost, made up, reordered or changed while it waits."""

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from support.formal import Proof, RefutedError, constant, held, prove, reach
from support.probes import Register
from trilobite.hw.memory.axi import BURST_BYTES, request_layout
from trilobite.hw.memory.burst_splitter import BurstSplitter
from trilobite.hw.streams.credits import CreditQueue
from trilobite.hw.streams.fork import StreamFork
from trilobite.hw.streams.queue import BlockRamQueue, LutRamQueue, StreamQueue, queue_before
from trilobite.hw.weights.tile_buffer import TileBuffer, buffer_tile_layout


class Passes(Proof):
    """A stream of counted beats comes out as it went in."""

    def __init__(self, dut):
        self.dut = dut
        super().__init__({"i_valid": In(1), "o_ready": In(1)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        sent, taken = Signal(8), Signal(8)
        m.d.comb += [
            dut.i.valid.eq(self.i_valid), dut.i.p.eq(sent), dut.o.ready.eq(self.o_ready),
            Assert((sent != taken) | ~dut.o.valid),
        ]
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += sent.eq(sent + 1)
        with m.If(dut.o.valid & dut.o.ready):
            m.d.comb += Assert(dut.o.p == taken)
            m.d.sync += taken.eq(taken + 1)
        held(m, dut.i.valid, dut.i.ready, say=Assume)
        held(m, dut.o.valid, dut.o.ready, dut.o.p)


@pytest.mark.parametrize("fault", ["payload", "valid", "lost"])
def test_a_block_that_breaks_a_rule_is_refuted(fault, tmp_path):
    with pytest.raises(RefutedError, match="Assert failed"):
        prove(Passes(Register(fault)), tmp_path, depth=20)


def test_a_block_that_keeps_the_rules_is_not_refuted(tmp_path):
    prove(Passes(Register()), tmp_path, depth=20)


class Queued(wiring.Component):
    """A stream whose output has a queue before it."""

    def __init__(self, depth):
        self.depth = depth
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        queue = queue_before(m, "queue", self.o, self.depth)
        connect(m, flipped(self.i), queue.i)
        return m


def test_a_queue_before_an_output_passes_everything(tmp_path):
    prove(Passes(Queued(2)), tmp_path, depth=14)


@pytest.mark.parametrize(("kind", "depth"), [
    (StreamQueue, 1), (StreamQueue, 2), (StreamQueue, 3), (LutRamQueue, 3), (BlockRamQueue, 4),
    pytest.param(StreamQueue, 4, marks=pytest.mark.slow)])
def test_a_queue_passes_everything(kind, depth, tmp_path):
    prove(Passes(kind(8, depth)), tmp_path, depth=14)


class Forks(Proof):
    """Every reader of a ``StreamFork`` gets every beat in its order, and no more than are kept."""

    def __init__(self, depth):
        self.dut = StreamFork(4, 2, depth)
        super().__init__({"i_valid": In(1), "o_ready": In(2)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        sent = Signal(4)
        m.d.comb += [dut.i.valid.eq(self.i_valid), dut.i.p.eq(sent)]
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += sent.eq(sent + 1)
        waits = []
        for number, output in enumerate(dut.o):
            taken, waiting = Signal(4), Signal(range(dut.depth + 2))
            takes, sends = output.valid & output.ready, dut.i.valid & dut.i.ready
            m.d.comb += [output.ready.eq(self.o_ready[number]), Assert(waiting <= dut.depth),
                         Assert(~output.valid | (waiting != 0))]
            m.d.sync += [waiting.eq(waiting + sends - takes), taken.eq(taken + takes)]
            with m.If(output.valid):
                m.d.comb += Assert(output.p == taken)
            held(m, output.valid, output.ready, output.p)
            waits.append(waiting)
        # Held up by the slowest reader alone; one may have taken all while the other has none.
        full = (waits[0] == dut.depth) | (waits[1] == dut.depth)
        m.d.comb += [Assert(dut.i.ready == ~full),
                     Cover((waits[0] == 0) & (waits[1] == dut.depth) & (sent == 7))]


def test_every_reader_of_a_fork_gets_every_beat(tmp_path):
    proof = Forks(2)
    prove(proof, tmp_path, depth=12)
    reach(proof, tmp_path, depth=20)


class Credits(Proof):
    """Results of a pipeline of ``latency`` cycles come out of a ``CreditQueue`` in their order."""

    def __init__(self, latency, depth=None):
        self.dut = CreditQueue(4, latency, depth)
        super().__init__({"i_enter": In(1), "o_ready": In(1)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        entered, taken = Signal(4), Signal(4)
        result = entered
        for _ in range(dut.latency):
            delayed = Signal(4)
            m.d.sync += delayed.eq(result)
            result = delayed
        inside = Signal(range(dut.depth + 2))
        leaves = dut.o.valid & dut.o.ready
        m.d.comb += [
            dut.enter.eq(self.i_enter & dut.ready), dut.i.eq(result), dut.o.ready.eq(self.o_ready),
            # Never more than there are places for; at full rate never held up.
            Assert(inside <= dut.depth), Assert(dut.ready == (inside != dut.depth)),
            Cover(inside == dut.depth), Cover(leaves & (taken == 6)),
        ]
        m.d.sync += [entered.eq(entered + dut.enter), inside.eq(inside + dut.enter - leaves)]
        with m.If(leaves):
            m.d.comb += Assert(dut.o.p == taken)
            m.d.sync += taken.eq(taken + 1)
        held(m, dut.o.valid, dut.o.ready, dut.o.p)


class Places(Proof):
    """Whatever enters a ``CreditQueue`` finds a place, in runs of any length."""

    def __init__(self, latency, depth=None):
        self.dut = CreditQueue(4, latency, depth)
        super().__init__({"i_enter": In(1), "i": In(4), "o_ready": In(1)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        m.d.comb += [
            dut.enter.eq(self.i_enter & dut.ready), dut.i.eq(self.i), dut.o.ready.eq(self.o_ready),
            Assert(dut.reserved <= dut.depth),
            Assert(dut.reserved == dut.queue.level + sum(dut.under_way)),
            Assert(dut.queue.i.ready == (dut.queue.level != dut.depth)),
            Assert(dut.queue.o.valid == (dut.queue.level != 0)),
            Assert(~dut.queue.i.valid | dut.queue.i.ready),
        ]


@pytest.mark.parametrize(("latency", "depth"), [(0, None), (1, 2), (5, None), (20, 3)])
def test_a_credit_queue_never_overflows(latency, depth, tmp_path):
    prove(Places(latency, depth), tmp_path, depth=4, induction=True)


@pytest.mark.parametrize(("latency", "depth"), [(0, None), (2, None), (2, 2)])
def test_a_credit_queue_has_a_place_for_every_result(latency, depth, tmp_path):
    proof = Credits(latency, depth)
    prove(proof, tmp_path, depth=14)
    reach(proof, tmp_path, depth=40)


class Bursts(Proof):
    """The bursts of any request, one after the other, are the request, and none crosses 4 KiB."""

    def __init__(self, word_bytes, max_burst, address_width=14, count_width=12):
        self.word_bytes = word_bytes
        self.max_burst = max_burst
        self.dut = BurstSplitter(address_width=address_width, word_bytes=word_bytes,
                                 max_burst=max_burst, count_width=count_width)
        request = request_layout(address_width, word_bytes, count_width)
        super().__init__({"i": In(stream.Signature(request)), "o_ready": In(1)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        # What is left of the request whose bursts come out, and of one that waits behind it.
        left, waiting = Signal.like(dut.i.p), Signal.like(dut.i.p)
        active, waits = Signal(), Signal()
        burst = dut.o.p
        boundary = BURST_BYTES // self.word_bytes
        takes, ends = Signal(), Signal()
        m.d.comb += [
            dut.i.valid.eq(self.i.valid), dut.i.p.eq(self.i.p), dut.o.ready.eq(self.o_ready),
            takes.eq(dut.o.valid & dut.o.ready), ends.eq(takes & burst.last),
            Assert(active == (dut.o.valid | dut.busy)), Cover(active & ~burst.last & dut.o.ready),
            Assert(~dut.o.valid | (dut.busy == (waits | ~burst.last))),
            Assert(~waits | (dut.o.valid & burst.last)),
        ]
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(burst.word == left.word), Assert(burst.more <= left.more),
                Assert(burst.last == (burst.more == left.more)),
                Assert(burst.more < self.max_burst),
                Assert(burst.word % boundary + burst.more < boundary),
            ]
        # The device's registers are the model's: what an induction starts from.
        with m.If(waits):
            m.d.comb += Assert(dut.request == waiting)
        with m.Elif(dut.o.valid & ~burst.last):
            m.d.comb += [Assert(dut.request.word == (left.word + burst.more + 1)[:len(left.word)]),
                         Assert(dut.request.more == left.more - burst.more - 1)]
        with m.Elif(dut.busy):
            m.d.comb += Assert(dut.request == left)
        with m.If(takes):
            m.d.sync += [left.word.eq(left.word + burst.more + 1),
                         left.more.eq(left.more - burst.more - 1), active.eq(~burst.last)]
            with m.If(waits):
                m.d.sync += [left.eq(waiting), active.eq(1), waits.eq(0)]
        with m.If(dut.i.valid & dut.i.ready):
            m.d.comb += [Assert(~waits), Assert(~active | burst.last)]
            m.d.sync += active.eq(1)
            with m.If(active & ~ends):
                m.d.sync += [waiting.eq(dut.i.p), waits.eq(1)]
            with m.Else():
                m.d.sync += left.eq(dut.i.p)
        held(m, dut.o.valid, dut.o.ready, burst)


@pytest.mark.parametrize(("word_bytes", "max_burst"), [(4, 16), (16, 256)])
def test_bursts_are_the_request_and_keep_to_4_kib(word_bytes, max_burst, tmp_path):
    proof = Bursts(word_bytes, max_burst)
    prove(proof, tmp_path, depth=4, induction=True)
    reach(proof, tmp_path, depth=6)


class Tiles(Proof):
    """Tiles of any one size, given out as often as asked for, through a ring of a few beats."""

    def __init__(self, depth):
        self.dut = TileBuffer(width=4, depth=depth, beats_width=2, repeats_width=2)
        super().__init__({"i_tile": In(buffer_tile_layout(2, 2)), "i_tile_valid": In(1),
                          "i_valid": In(1), "o_ready": In(1)})

    def specify(self, m):
        m.submodules.dut = dut = self.dut
        tile = constant(m, self.i_tile)
        m.d.comb += Assume((tile.beats > 0) & (tile.repeats > 0)
                           & ((tile.beats <= dut.depth) | (tile.repeats == 1)))
        sent = Signal(4)
        tiles = Signal(4)
        first, beat, turn, given = Signal(4), Signal(2), Signal(2), Signal(4)
        m.d.comb += [
            dut.i_tile.p.eq(tile), dut.i_tile.valid.eq(self.i_tile_valid),
            dut.i.p.eq(sent), dut.i.valid.eq(self.i_valid), dut.o.ready.eq(self.o_ready),
            Assert(~dut.too_long), Assert(~dut.o.valid | (given < tiles)),
            Cover((given == 2) & (tile.beats == 2) & (tile.repeats == 2)),
        ]
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += sent.eq(sent + 1)
        with m.If(dut.i_tile.valid & dut.i_tile.ready):
            m.d.comb += Assume(tiles < 6)
            m.d.sync += tiles.eq(tiles + 1)
        with m.If(dut.o.valid & dut.o.ready):
            m.d.comb += Assert(dut.o.p == (first + beat)[:4])
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat + 1 == tile.beats):
                m.d.sync += [beat.eq(0), turn.eq(turn + 1)]
                with m.If(turn + 1 == tile.repeats):
                    m.d.sync += [turn.eq(0), first.eq(first + tile.beats), given.eq(given + 1)]
        held(m, dut.o.valid, dut.o.ready, dut.o.p)


@pytest.mark.parametrize("depth", [3, 4])
def test_a_tile_buffer_gives_every_tile_as_often_as_asked_for(depth, tmp_path):
    proof = Tiles(depth)
    prove(proof, tmp_path, depth=11)
    reach(proof, tmp_path, depth=20)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [3, 4])
def test_a_tile_buffer_gives_every_tile_for_longer(depth, tmp_path):
    prove(Tiles(depth), tmp_path, depth=13)
