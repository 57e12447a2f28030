"""One AXI4 read port for several readers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..component import Component
from ..streams.queue import BlockRamQueue, StreamQueue
from .axi import (
    COUNT_WIDTH,
    byte_address,
    describe_bursts,
    read_signature,
    request_layout,
    word_layout,
)
from .burst_splitter import BurstSplitter
from .port_errors import keep_errors, timeout_port

__all__ = ["SharedReader"]


class SharedReader(Component):
    """Read words for several readers, so that none of them can hold up another.

    A burst is asked for only when its reader's queue has a place for every word of it that nothing
    else will take. So data never wait on the port, whatever the readers do, and a reader that
    prefetches may stop for as long as it likes. Of the readers that want a burst, the first one in
    order gets it: who must not wait comes before who prefetches.

    Each request gives exactly its words, in order, the last one marked, whatever the responses;
    errors are kept as by ``ReadMaster``. One word per cycle; a word can be taken two cycles after
    it came. No output depends combinationally on any input.

    Parameters
    ----------
    queues : tuple[int, ...]
        For each reader, words of its queue: at least ``max_burst``; twice that, and as many as a
        memory's latency takes, to keep the port busy alone.
    address_width, word_bytes, max_burst, count_width : int
        The same as the parameters of ``BurstSplitter``.
    outstanding : int
        Bursts that may have been asked for and not delivered.
    timeout : int | None
        Cycles without an answer after which ``error`` is set; None: a port says.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...))).array(readers)``
    o : ``Out(stream.Signature(word_layout(word_bytes))).array(readers)``
    axi : ``Out(read_signature(address_width, word_bytes))``
    error : ``Out(3)``
        The first ``PortError`` since reset or ``clear``.
    clear : ``In(1)``
        Forget the error.
    i_timeout : ``In(32)``
        With ``timeout`` None: as of ``PortErrors``.
    o_word : ``Out(1)``
        A word came in this cycle.
    o_waiting : ``Out(1)``
        Words have been asked for and none came in this cycle.

    Raises
    ------
    ValueError
        A queue is shorter than a burst, or there is none.
    """

    def __init__(self, *, queues: tuple[int, ...], address_width: int, word_bytes: int,
                 max_burst: int, outstanding: int, count_width: int = COUNT_WIDTH,
                 timeout: int | None = 4096) -> None:
        if not queues or min(queues) < max_burst:
            raise ValueError(f"Every reader's queue must hold a burst of {max_burst} words; the "
                             f"queues are {queues}")
        self.queues = queues
        self.word_bytes = word_bytes
        self.outstanding = outstanding
        self._timeout = timeout
        self._splitter = {"address_width": address_width, "word_bytes": word_bytes,
                          "max_burst": max_burst, "count_width": count_width}
        request = request_layout(address_width, word_bytes, count_width)
        super().__init__({
            "i_request": In(stream.Signature(request)).array(len(queues)),
            "o": Out(stream.Signature(word_layout(word_bytes))).array(len(queues)),
            "axi": Out(read_signature(address_width, word_bytes)),
            "error": Out(3), "clear": In(1), "o_word": Out(1), "o_waiting": Out(1),
            **timeout_port(timeout),
        })

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        splitters = [BurstSplitter(**self._splitter) for _ in self.queues]
        burst = splitters[0].o.p.shape()
        noted_layout = data.StructLayout({"reader": range(len(self.queues)), "more": 8, "last": 1})
        m.submodules.noted = noted = StreamQueue(noted_layout, self.outstanding)
        note = noted.o.p

        # Take: a word has its place in the queue of whoever asked for it.
        beat = Signal(8)
        taken, ends_burst = Signal(), Signal()
        m.d.comb += [
            axi.rready.eq(noted.o.valid),
            taken.eq(axi.rvalid & axi.rready),
            ends_burst.eq(beat == note.more),
            noted.o.ready.eq(taken & ends_burst),
            self.o_word.eq(taken), self.o_waiting.eq(noted.o.valid & ~axi.rvalid),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(ends_burst, 0, beat + 1))

        # Ask: the chosen burst waits in a register until its address is taken.
        offered = Signal(burst)
        free = Signal()
        m.d.comb += [
            free.eq((~axi.arvalid | axi.arready) & noted.i.ready),
            axi.araddr.eq(byte_address(offered.word, self.word_bytes)),
            axi.arlen.eq(offered.more),
        ]
        describe_bursts(m, axi, "ar", self.word_bytes)
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        chosen_before: Value = Const(0)
        for number, (splitter, depth) in enumerate(zip(splitters, self.queues, strict=True)):
            m.submodules[f"splitter_{number}"] = splitter
            out = self.o[number]
            m.submodules[f"queue_{number}"] = queue = BlockRamQueue(out.p.shape(), depth)
            connect(m, wiring.flipped(self.i_request[number]), splitter.i)
            connect(m, queue.o, wiring.flipped(out))
            reserved = Signal(range(depth + 1), name=f"reserved_{number}")
            wants, chosen = Signal(name=f"wants_{number}"), Signal(name=f"chosen_{number}")
            words = Signal(range(depth + 2), name=f"words_{number}")
            given = Signal(name=f"given_{number}")
            m.d.comb += [
                wants.eq(splitter.o.valid & (reserved + splitter.o.p.more < depth)),
                chosen.eq(wants & free & ~chosen_before),
                splitter.o.ready.eq(chosen),
                words.eq(Mux(chosen, splitter.o.p.more + 1, 0)),
                queue.i.valid.eq(taken & (note.reader == number)),
                Cat(queue.i.p.data).eq(axi.rdata), queue.i.p.last.eq(ends_burst & note.last),
                given.eq(out.valid & out.ready),
            ]
            m.d.sync += reserved.eq(reserved + words - given)
            with m.If(chosen):
                m.d.sync += [axi.arvalid.eq(1), offered.eq(splitter.o.p)]
                m.d.comb += [
                    noted.i.valid.eq(1), noted.i.p.reader.eq(number),
                    noted.i.p.more.eq(splitter.o.p.more), noted.i.p.last.eq(splitter.o.p.last),
                ]
            chosen_before = chosen_before | wants

        keep_errors(m, self, self._timeout, answered=taken, response=axi.rresp,
                    waiting=(noted.o.valid & ~axi.rvalid) | (axi.arvalid & ~axi.arready),
                    broken=taken & (axi.rlast != ends_burst))
        return m
