"""An AXI4 read master: requests in, words out."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from ..streams.queue import StreamQueue, queue_before
from .axi import read_signature, word_layout
from .master import Master
from .port_errors import keep_errors

__all__ = ["ReadMaster"]

_NOTE = data.StructLayout({"more": 8, "last": 1})   # a burst that was asked for


class ReadMaster(Master):
    """Read words from memory in long bursts, several of which are under way at a time.

    Each request gives exactly its words, in order, the last one marked, whatever the
    responses: what reads them never starves. With an erroneous response the data are whatever
    came with it, and ``error`` tells. If memory does not answer at all, ``error`` becomes
    ``TIMEOUT``; the master goes on waiting, because AXI has no way of taking a request back.

    A word passes from R to ``o`` in one cycle, one word per cycle. The next request waits for the
    last address of the one before, not for its data, so that long requests follow each other
    without a gap in the data. To keep the port busy, ``(outstanding - 1) * max_burst`` must exceed
    the memory's latency in cycles.

    The parameters and the other members are those of ``Master``.

    Members
    -------
    o : ``Out(stream.Signature(word_layout(word_bytes)))``
        The words of each request in order; the last one is marked.
    axi : ``Out(read_signature(address_width, word_bytes))``
        The memory port.
    """

    channel = "ar"

    @staticmethod
    def port(address_width: int, word_bytes: int) -> wiring.Signature:
        return read_signature(address_width, word_bytes)

    @staticmethod
    def words(word_bytes: int) -> dict[str, wiring.Member]:
        return {"o": Out(stream.Signature(word_layout(word_bytes)))}

    def elaborate(self, platform):
        m = Module()
        axi = self.axi

        # Ask: a burst is offered while there is a place to note it down in.
        m.submodules.noted = noted = StreamQueue(_NOTE, self.outstanding)
        bursts, asked = self._announce(m, noted.i.ready)
        m.d.comb += [
            noted.i.valid.eq(asked), noted.i.p.more.eq(axi.arlen), noted.i.p.last.eq(bursts.p.last),
        ]

        # Take: where a burst ends is counted, not believed.
        words = queue_before(m, "words", self.o)
        burst = noted.o.p
        beat = Signal(8)
        taken, ends_burst = Signal(), Signal()
        m.d.comb += [
            axi.rready.eq(noted.o.valid & words.i.ready),
            taken.eq(axi.rvalid & axi.rready),
            ends_burst.eq(beat == burst.more),
            noted.o.ready.eq(taken & ends_burst),
            words.i.valid.eq(taken),
            Cat(words.i.p.data).eq(axi.rdata), words.i.p.last.eq(ends_burst & burst.last),
            self.busy.eq(self._splitter.busy | bursts.valid | noted.o.valid),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(ends_burst, 0, beat + 1))

        keep_errors(m, self, self.timeout, answered=taken, response=axi.rresp,
                    waiting=Mux(axi.rready, ~axi.rvalid, axi.arvalid & ~axi.arready),
                    broken=taken & (axi.rlast != ends_burst))
        return m
