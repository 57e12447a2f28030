"""An AXI4 write master: requests and words in, completions out."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..streams.queue import LutRamQueue, StreamQueue, queue_before
from .axi import Response, write_signature
from .master import Master
from .port_errors import keep_errors

__all__ = ["WriteMaster", "written_layout"]


def written_layout(word_bytes: int) -> data.StructLayout:
    """A word to write, and which of its bytes."""
    return data.StructLayout({"data": data.ArrayLayout(8, word_bytes), "strobe": word_bytes})


class WriteMaster(Master):
    """Write words to memory in long bursts, several of which are under way at a time.

    Each request takes exactly its words from ``i`` and gives one completion on ``o``, after
    memory has acknowledged all of it: a read that is requested then sees the data. A completion
    tells whether any of its responses was an error; ``error`` keeps the first one. If memory
    does not answer, ``error`` becomes ``TIMEOUT`` and the master goes on waiting.

    A word passes from ``i`` to W in one cycle, one word per cycle, from the cycle on after its
    burst's address has been offered: WVALID never waits for AWREADY, as AXI4 demands (A3.3.1), so
    that a slave may take address and word together. ``i`` may run ahead of the requests by two
    words.

    The parameters and the other members are those of ``Master``; here a burst is outstanding until
    it is acknowledged.

    Members
    -------
    i : ``In(stream.Signature(written_layout(word_bytes)))``
        The words of each request, in order.
    o : ``Out(stream.Signature(1))``
        For each request, whether it failed.
    axi : ``Out(write_signature(address_width, word_bytes))``
        The memory port.
    """

    channel = "aw"

    @staticmethod
    def port(address_width: int, word_bytes: int) -> wiring.Signature:
        return write_signature(address_width, word_bytes)

    @staticmethod
    def words(word_bytes: int) -> dict[str, wiring.Member]:
        return {"i": In(stream.Signature(written_layout(word_bytes))),
                "o": Out(stream.Signature(1))}

    def elaborate(self, platform):
        m = Module()
        axi = self.axi

        # Announce: a burst is offered from when it has been noted down, for W and for B, in the
        # first cycle of its offer.
        m.submodules.lengths = lengths = StreamQueue(8, self.outstanding)
        m.submodules.ends = ends = StreamQueue(1, self.outstanding)
        noted, notes, room = Signal(), Signal(), Signal()
        bursts, announced = self._announce(m, room | noted)
        m.d.comb += [
            room.eq(lengths.i.ready & ends.i.ready), notes.eq(bursts.valid & room & ~noted),
            lengths.i.valid.eq(notes), lengths.i.p.eq(axi.awlen),
            ends.i.valid.eq(notes), ends.i.p.eq(bursts.p.last),
        ]
        m.d.sync += noted.eq((noted | notes) & ~announced)

        # Write.
        m.submodules.words = words = LutRamQueue(self.i.p.shape())
        wiring.connect(m, wiring.flipped(self.i), words.i)
        beat = Signal(8)
        given = Signal()
        m.d.comb += [
            axi.wvalid.eq(words.o.valid & lengths.o.valid),
            axi.wdata.eq(words.o.p.data),
            axi.wstrb.eq(words.o.p.strobe),
            axi.wlast.eq(beat == lengths.o.p),
            given.eq(axi.wvalid & axi.wready),
            words.o.ready.eq(given),
            lengths.o.ready.eq(given & axi.wlast),
        ]
        with m.If(given):
            m.d.sync += beat.eq(Mux(axi.wlast, 0, beat + 1))

        # Acknowledge.
        done = queue_before(m, "done", self.o)
        answered = Signal()
        failed = Signal()
        failed_before = Signal()
        m.d.comb += [
            axi.bready.eq(ends.o.valid & done.i.ready),
            answered.eq(axi.bvalid & axi.bready),
            ends.o.ready.eq(answered),
            failed.eq(failed_before | (axi.bresp != Response.OKAY)),
            done.i.valid.eq(answered & ends.o.p),
            done.i.p.eq(failed),
            self.busy.eq(self._splitter.busy | bursts.valid | ends.o.valid),
        ]
        with m.If(answered):
            m.d.sync += failed_before.eq(failed & ~ends.o.p)

        waiting_for_data = lengths.o.valid & ~words.o.valid
        keep_errors(m, self, self.timeout, answered=answered, response=axi.bresp,
                    waiting=((axi.awvalid & ~axi.awready) | (axi.wvalid & ~axi.wready)
                             | (axi.bready & ~axi.bvalid & ~waiting_for_data & ~axi.wvalid)))
        return m
