"""An AXI4 write master: requests and words in, completions out."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect

from .axi import Response, describe_bursts, request_layout, write_signature
from .burst_splitter import BurstSplitter
from .port_errors import PortErrors

__all__ = ["WriteMaster", "written_layout"]


def written_layout(word_bytes: int) -> data.StructLayout:
    """A word to write, and which of its bytes."""
    return data.StructLayout({"data": data.ArrayLayout(8, word_bytes), "strobe": word_bytes})


class WriteMaster(wiring.Component):
    """Write words to memory in long bursts, several of which are under way at a time.

    Each request takes exactly its words from ``i`` and gives one completion on ``o``, after
    memory has acknowledged all of it: a read that is requested then sees the data. A completion
    tells whether any of its responses was an error; ``error`` keeps the first one. If memory
    does not answer, ``error`` becomes ``TIMEOUT`` and the master goes on waiting.

    A word passes from ``i`` to W in one cycle, one word per cycle, once its burst's address has
    been taken. ``i`` may run ahead of the requests by two words.

    No output depends combinationally on any input.

    Parameters
    ----------
    address_width, word_bytes, max_burst, count_width : int
        As of ``BurstSplitter``.
    outstanding : int
        Bursts that may have been announced and not acknowledged.
    timeout : int
        Cycles without an answer after which ``error`` is set.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...)))``
    i : ``In(stream.Signature(written_layout(word_bytes)))``
    o : ``Out(stream.Signature(1))``
        For each request, whether it failed.
    axi : ``Out(write_signature(address_width, word_bytes))``
    error : ``Out(3)``
        The first ``PortError`` since reset or ``clear``.
    clear : ``In(1)``
        Forget the error.
    busy : ``Out(1)``
        A request has not been acknowledged in full.
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
            "i": In(stream.Signature(written_layout(word_bytes))),
            "o": Out(stream.Signature(1)),
            "axi": Out(write_signature(address_width, word_bytes)),
            "error": Out(3),
            "clear": In(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        axi = self.axi

        # Announce: a burst is offered while there is a place to note it down in, for W and for B.
        m.submodules.splitter = splitter = BurstSplitter(**self._splitter)
        m.submodules.lengths = lengths = SyncFIFO(width=8, depth=self.outstanding)
        m.submodules.ends = ends = SyncFIFO(width=1, depth=self.outstanding)
        connect(m, wiring.flipped(self.i_request), splitter.i)
        describe_bursts(m, axi, "aw", self.word_bytes)
        announced = Signal()
        m.d.comb += [
            axi.awvalid.eq(splitter.o.valid & lengths.w_rdy & ends.w_rdy),
            axi.awaddr.eq(Cat(Const(0, self.word_bytes.bit_length() - 1), splitter.o.p.word)),
            axi.awlen.eq(splitter.o.p.more),
            splitter.o.ready.eq(axi.awready & lengths.w_rdy & ends.w_rdy),
            announced.eq(axi.awvalid & axi.awready),
            lengths.w_en.eq(announced),
            lengths.w_data.eq(axi.awlen),
            ends.w_en.eq(announced),
            ends.w_data.eq(splitter.o.p.last),
        ]

        # Write.
        m.submodules.words = words = SyncFIFO(width=self.i.p.shape().size, depth=2)
        word = Signal(self.i.p.shape())
        beat = Signal(8)
        given = Signal()
        m.d.comb += [
            self.i.ready.eq(words.w_rdy),
            words.w_en.eq(self.i.valid),
            words.w_data.eq(self.i.p),
            word.eq(words.r_data),
            axi.wvalid.eq(words.r_rdy & lengths.r_rdy),
            axi.wdata.eq(word.data),
            axi.wstrb.eq(word.strobe),
            axi.wlast.eq(beat == lengths.r_data),
            given.eq(axi.wvalid & axi.wready),
            words.r_en.eq(given),
            lengths.r_en.eq(given & axi.wlast),
        ]
        with m.If(given):
            m.d.sync += beat.eq(Mux(axi.wlast, 0, beat + 1))

        # Acknowledge.
        m.submodules.done = done = SyncFIFO(width=1, depth=2)
        answered = Signal()
        failed = Signal()
        failed_before = Signal()
        m.d.comb += [
            axi.bready.eq(ends.r_rdy & done.w_rdy),
            answered.eq(axi.bvalid & axi.bready),
            ends.r_en.eq(answered),
            failed.eq(failed_before | (axi.bresp != Response.OKAY)),
            done.w_en.eq(answered & ends.r_data),
            done.w_data.eq(failed),
            self.o.valid.eq(done.r_rdy),
            self.o.p.eq(done.r_data),
            done.r_en.eq(self.o.ready),
            self.busy.eq(splitter.o.valid | ends.r_rdy),
        ]
        with m.If(answered):
            m.d.sync += failed_before.eq(failed & ~ends.r_data)

        m.submodules.errors = errors = PortErrors(self._timeout)
        waiting_for_data = lengths.r_rdy & ~words.r_rdy
        m.d.comb += [
            errors.response.eq(Mux(answered, axi.bresp, Response.OKAY)),
            errors.waiting.eq((axi.awvalid & ~axi.awready) | (axi.wvalid & ~axi.wready)
                              | (axi.bready & ~axi.bvalid & ~waiting_for_data & ~axi.wvalid)),
            errors.clear.eq(self.clear),
            self.error.eq(errors.error),
        ]

        return m
