"""An AXI4 read master: requests in, words out."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect

from .axi import Response, describe_bursts, read_signature, request_layout, word_layout
from .burst_splitter import BurstSplitter
from .port_errors import PortErrors

__all__ = ["ReadMaster"]


class ReadMaster(wiring.Component):
    """Read words from memory in long bursts, several of which are under way at a time.

    Each request gives exactly its words, in order, the last one marked, whatever the
    responses: what reads them never starves. With an erroneous response the data are whatever
    came with it, and ``error`` tells. If memory does not answer at all, ``error`` becomes
    ``TIMEOUT``; the master goes on waiting, because AXI has no way of taking a request back.

    A word passes from R to ``o`` in one cycle, one word per cycle. The address of a request is
    offered in the cycle after it was taken; its further bursts follow one per cycle, up to
    ``outstanding`` at a time. The next request waits for the last address of the one before,
    not for its data, so that long requests follow each other without a gap in the data.

    No output depends combinationally on any input.

    Parameters
    ----------
    address_width, word_bytes, max_burst, count_width : int
        As of ``BurstSplitter``.
    outstanding : int
        Bursts that may have been asked for and not delivered. To keep the port busy,
        ``(outstanding - 1) * max_burst`` must exceed the memory's latency in cycles.
    timeout : int
        Cycles without an answer after which ``error`` is set.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...)))``
    o : ``Out(stream.Signature(word_layout(word_bytes)))``
    axi : ``Out(read_signature(address_width, word_bytes))``
    error : ``Out(3)``
        The first ``PortError`` since reset or ``clear``.
    clear : ``In(1)``
        Forget the error.
    busy : ``Out(1)``
        A request has not been answered in full.
    """

    def __init__(self, *, address_width: int, word_bytes: int, max_burst: int, outstanding: int,
                 count_width: int = 20, timeout: int = 4096) -> None:
        if not isinstance(outstanding, int) or outstanding < 1:
            raise ValueError(f"outstanding must be a positive integer, not {outstanding!r}")
        self.word_bytes = word_bytes
        self.outstanding = outstanding
        self._splitter = {"address_width": address_width, "word_bytes": word_bytes,
                          "max_burst": max_burst, "count_width": count_width}
        self._timeout = timeout
        request = request_layout(address_width, word_bytes, count_width)
        super().__init__({
            "i_request": In(stream.Signature(request)),
            "o": Out(stream.Signature(word_layout(word_bytes))),
            "axi": Out(read_signature(address_width, word_bytes)),
            "error": Out(3),
            "clear": In(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        axi = self.axi

        # Ask: a burst is offered while there is a place to note it down in.
        m.submodules.splitter = splitter = BurstSplitter(**self._splitter)
        m.submodules.noted = noted = SyncFIFO(width=9, depth=self.outstanding)
        connect(m, wiring.flipped(self.i_request), splitter.i)
        describe_bursts(m, axi, "ar", self.word_bytes)
        m.d.comb += [
            axi.arvalid.eq(splitter.o.valid & noted.w_rdy),
            axi.araddr.eq(Cat(Const(0, self.word_bytes.bit_length() - 1), splitter.o.p.word)),
            axi.arlen.eq(splitter.o.p.more),
            splitter.o.ready.eq(axi.arready & noted.w_rdy),
            noted.w_en.eq(axi.arvalid & axi.arready),
            noted.w_data.eq(Cat(axi.arlen, splitter.o.p.last)),
        ]

        # Take: where a burst ends is counted, not believed.
        m.submodules.words = words = SyncFIFO(width=8 * self.word_bytes + 1, depth=2)
        beat = Signal(8)
        taken = Signal()
        ends_burst = Signal()
        m.d.comb += [
            axi.rready.eq(noted.r_rdy & words.w_rdy),
            taken.eq(axi.rvalid & axi.rready),
            ends_burst.eq(beat == noted.r_data[:8]),
            noted.r_en.eq(taken & ends_burst),
            words.w_en.eq(taken),
            words.w_data.eq(Cat(axi.rdata, ends_burst & noted.r_data[8])),
            self.o.valid.eq(words.r_rdy),
            self.o.p.eq(words.r_data),
            words.r_en.eq(self.o.ready),
            self.busy.eq(splitter.o.valid | noted.r_rdy),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(ends_burst, 0, beat + 1))

        m.submodules.errors = errors = PortErrors(self._timeout)
        m.d.comb += [
            errors.response.eq(Mux(taken, axi.rresp, Response.OKAY)),
            errors.broken.eq(taken & (axi.rlast != ends_burst)),
            errors.waiting.eq(Mux(axi.rready, ~axi.rvalid, axi.arvalid & ~axi.arready)),
            errors.clear.eq(self.clear),
            self.error.eq(errors.error),
        ]

        return m
