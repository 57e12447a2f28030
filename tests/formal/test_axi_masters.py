"""Proofs about the AXI4 masters: the handshake rules, and the beats of every burst and request."""

import pytest
from amaranth.hdl import Assert, Assume, Cover, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, connect, flipped

from support.formal import Proof, constant, held, prove, reach
from trilobite.hw.memory.axi import BURST_BYTES, request_layout
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.hw.memory.shared_reader import SharedReader
from trilobite.hw.memory.write_master import WriteMaster

WORD_BYTES = 4
# A queue of three places has no level that cannot occur, where an induction would start in vain.
SIZE = {"address_width": 13, "word_bytes": WORD_BYTES, "max_burst": 2, "outstanding": 3,
        "count_width": 2, "timeout": 3}
REQUEST = In(stream.Signature(request_layout(13, WORD_BYTES, 2)))
ADDRESS = ("addr", "len", "size", "burst", "cache", "prot", "id")


class MasterProof(Proof):
    """A master whose requests and memory do what they like, as far as AXI4 lets them."""

    def __init__(self, dut):
        self.dut = dut
        super().__init__({"request": REQUEST, "o_ready": In(1), "i_valid": In(1),
                          "address_ready": In(1), "data_ready": In(1), "response_valid": In(1),
                          "response": In(2), "rlast": In(1), "watch": In(2)})

    def specify(self, m):
        m.submodules.dut = self.dut
        held(m, self.request.valid, self.request.ready, self.request.p, say=Assume)

    def keeps_address_rules(self, m, channel):
        """Say of AR or AW: held until taken, aligned, within 4 KiB, words of 4 bytes in a row."""
        valid, ready, *fields = (getattr(self.dut.axi, channel + name)
                                 for name in ("valid", "ready", *ADDRESS))
        address, length, size, burst = fields[:4]
        held(m, valid, ready, *fields)
        with m.If(valid):
            m.d.comb += [
                Assert(address[:2] == 0), Assert(size == 2), Assert(burst == 1),
                Assert(address[2:] % (BURST_BYTES // WORD_BYTES) + length
                       < BURST_BYTES // WORD_BYTES),
            ]

    def cuts_at_boundaries(self, m):
        """Say of the burst that waits to be offered: it keeps to 4 KiB. An induction needs it."""
        bursts, boundary = self.dut._splitter.o, BURST_BYTES // WORD_BYTES
        m.d.comb += Assert(~bursts.valid | (bursts.p.word % boundary + bursts.p.more < boundary))

    def answers_reads(self, m, axi):
        """Drive AR and R: data come only for what was asked, and are held until taken."""
        asked, came = Signal(6), Signal(6)
        m.d.comb += [
            axi.arready.eq(self.address_ready), axi.rvalid.eq(self.response_valid),
            axi.rresp.eq(self.response), axi.rlast.eq(self.rlast), axi.rdata.eq(came),
            Assume(~axi.rvalid | (asked != came)),
        ]
        held(m, axi.rvalid, axi.rready, axi.rresp, axi.rlast, say=Assume)
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += asked.eq(asked + axi.arlen + 1)
        with m.If(axi.rvalid & axi.rready):
            m.d.sync += came.eq(came + 1)

    def counts(self, m, announced, more, beat, last):
        """Say of any announcement: its ``more + 1`` beats come after it, the last one marked."""
        watch = constant(m, self.watch)
        announcements, ended, beats, length = (Signal(4) for _ in range(4))
        with m.If(announced):
            m.d.sync += announcements.eq(announcements + 1)
            with m.If(announcements == watch):
                m.d.sync += length.eq(more)
        with m.If(beat):
            m.d.comb += Assert(ended < announcements)
            with m.If(last):
                m.d.sync += ended.eq(ended + 1)
            with m.If(ended == watch):
                m.d.comb += [Assert(last == (beats == length)), Cover(last & (length == 1))]
                m.d.sync += beats.eq(beats + 1)


class Reads(MasterProof):
    """A ``ReadMaster``, whatever the responses and RLAST."""

    def __init__(self):
        super().__init__(ReadMaster(**SIZE))

    def specify(self, m):
        super().specify(m)
        dut = self.dut
        connect(m, flipped(self.request), dut.i_request)
        self.answers_reads(m, dut.axi)
        m.d.comb += dut.o.ready.eq(self.o_ready)
        self.say(m)

    def say(self, m):
        dut = self.dut
        self.counts(m, dut.i_request.valid & dut.i_request.ready, dut.i_request.p.more,
                    dut.o.valid & dut.o.ready, dut.o.p.last)
        held(m, dut.o.valid, dut.o.ready, dut.o.p)


class ReadAddresses(Reads):
    """What is said of AR, for runs of any length."""

    def say(self, m):
        self.keeps_address_rules(m, "ar")
        self.cuts_at_boundaries(m)


class SharedReads(MasterProof):
    """A ``SharedReader`` with two readers; the second one asks in the very same cycles."""

    def __init__(self):
        super().__init__(SharedReader(queues=(3, 4), **SIZE))

    def specify(self, m):
        super().specify(m)
        dut = self.dut
        self.answers_reads(m, dut.axi)
        m.d.comb += [
            dut.i_request[0].p.eq(self.request.p), dut.i_request[0].valid.eq(self.request.valid),
            self.request.ready.eq(dut.i_request[0].ready),
            dut.i_request[1].p.eq(self.request.p), dut.i_request[1].valid.eq(self.i_valid),
            dut.o[0].ready.eq(self.o_ready), dut.o[1].ready.eq(self.data_ready),
            # Data never wait on the port.
            Assert(~dut.axi.rvalid | dut.axi.rready),
        ]
        self.keeps_address_rules(m, "ar")
        for output in dut.o:
            held(m, output.valid, output.ready, output.p)
        self.counts(m, dut.i_request[0].valid & dut.i_request[0].ready, dut.i_request[0].p.more,
                    dut.o[0].valid & dut.o[0].ready, dut.o[0].p.last)


class Writes(MasterProof):
    """A ``WriteMaster``, whatever the responses."""

    def __init__(self):
        super().__init__(WriteMaster(**SIZE))

    def specify(self, m):
        super().specify(m)
        dut, axi = self.dut, self.dut.axi
        connect(m, flipped(self.request), dut.i_request)
        addressed, written, acknowledged = Signal(4), Signal(4), Signal(4)
        m.d.comb += [
            dut.i.valid.eq(self.i_valid), dut.o.ready.eq(self.o_ready),
            axi.awready.eq(self.address_ready), axi.wready.eq(self.data_ready),
            axi.bvalid.eq(self.response_valid), axi.bresp.eq(self.response),
            # A burst is answered after its address and its last word have been taken.
            Assume(~axi.bvalid | ((written != acknowledged) & (addressed != acknowledged))),
        ]
        held(m, axi.bvalid, axi.bready, axi.bresp, say=Assume)
        m.d.sync += [
            addressed.eq(addressed + (axi.awvalid & axi.awready)),
            written.eq(written + (axi.wvalid & axi.wready & axi.wlast)),
            acknowledged.eq(acknowledged + (axi.bvalid & axi.bready)),
        ]
        self.say(m)

    def say(self, m):
        dut, axi = self.dut, self.dut.axi
        stalled = Signal()
        m.d.sync += stalled.eq(axi.awvalid & ~axi.awready)
        self.counts(m, axi.awvalid & ~stalled, axi.awlen, axi.wvalid & axi.wready, axi.wlast)
        held(m, axi.wvalid, axi.wready, axi.wdata, axi.wstrb, axi.wlast)
        held(m, dut.o.valid, dut.o.ready, dut.o.p)
        # When all requests are completed, all their words were written and acknowledged.
        requests, completed, asked, given = (Signal(6) for _ in range(4))
        asks = dut.i_request.valid & dut.i_request.ready
        m.d.sync += [
            requests.eq(requests + asks), completed.eq(completed + (dut.o.valid & dut.o.ready)),
            given.eq(given + (axi.wvalid & axi.wready)),
        ]
        with m.If(asks):
            m.d.sync += asked.eq(asked + dut.i_request.p.more + 1)
        m.d.comb += [Assert(given <= asked), Assert(~dut.o.valid | (completed < requests))]
        with m.If(completed == requests):
            m.d.comb += [Assert(given == asked), Cover(completed == 1)]


class WriteAddresses(Writes):
    """What is said of AW, for runs of any length."""

    def say(self, m):
        self.keeps_address_rules(m, "aw")
        self.cuts_at_boundaries(m)


class WritesToPatientSlave(MasterProof):
    """A ``WriteMaster`` and a slave that takes each address with its first word, as AXI4 allows.

    Something moves in every few cycles, so that every request ends: nobody waits for the other.
    """

    PATIENCE = 6

    def __init__(self):
        super().__init__(WriteMaster(**SIZE))

    def specify(self, m):
        super().specify(m)
        dut, axi = self.dut, self.dut.axi
        connect(m, flipped(self.request), dut.i_request)
        owed, answers, waits, requests = (Signal(4) for _ in range(4))   # words; bursts; cycles
        together, takes, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            dut.i.valid.eq(1), dut.o.ready.eq(1),
            together.eq((owed == 0) & axi.awvalid & axi.wvalid),
            axi.awready.eq(together), axi.wready.eq(together | (owed != 0)),
            axi.bvalid.eq(answers != 0), axi.bresp.eq(0),
            takes.eq(axi.wvalid & axi.wready),
            ends.eq(takes & Mux(together, axi.awlen == 0, owed == 1)),
            Assert(~takes | (axi.wlast == ends)), Assert(waits < self.PATIENCE),
            Cover(dut.o.valid),
        ]
        with m.If(takes):
            m.d.sync += owed.eq(Mux(together, axi.awlen, owed - 1))
        m.d.sync += [
            answers.eq(answers + ends - (axi.bvalid & axi.bready)),
            requests.eq(requests + (dut.i_request.valid & dut.i_request.ready)
                        - (dut.o.valid & dut.o.ready)),
            waits.eq(Mux((requests == 0) | takes | (axi.bvalid & axi.bready), 0, waits + 1)),
        ]


def test_a_slave_that_takes_address_and_word_together_is_served(tmp_path):
    proof = WritesToPatientSlave()
    prove(proof, tmp_path, depth=20)
    reach(proof, tmp_path, depth=20)


@pytest.mark.parametrize("proof", [ReadAddresses, WriteAddresses])
def test_a_master_keeps_the_address_rules_for_ever(proof, tmp_path):
    prove(proof(), tmp_path, depth=4, induction=True)


@pytest.mark.parametrize(("proof", "depth"), [(Reads, 8), (Writes, 8), (SharedReads, 10)])
def test_every_burst_and_request_has_its_beats(proof, depth, tmp_path):
    proof = proof()
    prove(proof, tmp_path, depth)
    reach(proof, tmp_path, depth=20)


@pytest.mark.slow
@pytest.mark.parametrize("proof", [Reads, Writes, SharedReads])
def test_every_burst_and_request_has_its_beats_for_longer(proof, tmp_path):
    prove(proof(), tmp_path, depth=14)
