"""One AXI4 read port for several readers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..component import Component
from ..streams.queue import BlockRamQueue, StreamQueue
from .axi import (
    COUNT_WIDTH,
    NORMAL,
    BurstAttributes,
    byte_address,
    describe_bursts,
    read_signature,
    request_layout,
    word_layout,
)
from .burst_splitter import BurstSplitter, burst_layout
from .port_errors import keep_errors, timeout_port

__all__ = ["SharedReader"]


class SharedReader(Component):
    """Read words for several readers, so that none of them can hold up another.

    A burst may be asked for only when its reader's queue has a place for every word of it that
    nothing else will take; those are reserved as the burst steps forward to be chosen. So data
    never wait on the port, whatever the readers do, and a reader that prefetches may stop for as
    long as it likes. Of the readers that have a burst there, the first one in order gets it: who
    must not wait comes before who prefetches. A burst is chosen three cycles after its request
    came, at the earliest.

    Each request gives exactly its words, in order, the last one marked, whatever the responses;
    errors are kept as by ``ReadMaster``. One word per cycle; a word can be taken three cycles after
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
    attributes : BurstAttributes
        AxCACHE and AxPROT.

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
                 timeout: int | None = 4096,
                 attributes: BurstAttributes = NORMAL) -> None:
        if not queues or min(queues) < max_burst:
            raise ValueError(f"Every reader's queue must hold a burst of {max_burst} words; the "
                             f"queues are {queues}")
        self.queues = queues
        self.word_bytes = word_bytes
        self.outstanding = outstanding
        self._timeout = timeout
        self._attributes = attributes
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
        burst = burst_layout(self._splitter["address_width"], self.word_bytes)
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

        # Ask: the chosen burst waits in a queue until its address is taken.
        m.submodules.addresses = addresses = StreamQueue(burst)
        asked, free = addresses.i.p, Signal()
        m.d.comb += [
            free.eq(addresses.i.ready & noted.i.ready),
            addresses.i.valid.eq(noted.i.valid),
            noted.i.p.more.eq(asked.more), noted.i.p.last.eq(asked.last),
            axi.araddr.eq(byte_address(addresses.o.p.word, self.word_bytes)),
            axi.arlen.eq(addresses.o.p.more),
            axi.arvalid.eq(addresses.o.valid), addresses.o.ready.eq(axi.arready),
        ]
        describe_bursts(m, axi, "ar", self.word_bytes, self._attributes)
        chosen_before: Value = Const(0)
        for number in range(len(self.queues)):
            words = self._add_queue(m, number)
            m.d.comb += [
                words.valid.eq(taken & (note.reader == number)),
                Cat(words.p.data).eq(axi.rdata), words.p.last.eq(ends_burst & note.last),
            ]
            reader = self._add_reader(m, number)
            chosen = Signal(name=f"chosen_{number}")
            m.d.comb += [chosen.eq(reader.valid & free & ~chosen_before),
                         reader.ready.eq(chosen)]
            with m.If(chosen):
                m.d.comb += [noted.i.valid.eq(1), noted.i.p.reader.eq(number), asked.eq(reader.p)]
            chosen_before = chosen_before | reader.valid

        keep_errors(m, self, self._timeout, answered=taken, response=axi.rresp,
                    waiting=(noted.o.valid & ~axi.rvalid) | (axi.arvalid & ~axi.arready),
                    broken=taken & (axi.rlast != ends_burst))
        return m

    def _add_queue(self, m: Module, number: int) -> stream.Interface:
        """A reader's queue of words: where they come in."""
        out = self.o[number]
        m.submodules[f"queue_{number}"] = queue = BlockRamQueue(out.p.shape(), self.queues[number])
        connect(m, queue.o, wiring.flipped(out))
        return queue.i

    def _add_reader(self, m: Module, number: int) -> stream.Interface:
        """The bursts of a reader for which there are places."""
        depth, out = self.queues[number], self.o[number]
        m.submodules[f"splitter_{number}"] = splitter = BurstSplitter(**self._splitter)
        connect(m, wiring.flipped(self.i_request[number]), splitter.i)
        burst = splitter.o.p
        ready = stream.Signature(burst.shape()).create(path=(f"burst_{number}",))
        reserved, words = (Signal(range(depth + 1), name=f"{name}_{number}")
                           for name in ("reserved", "words"))
        given = Signal(name=f"given_{number}")   # a place counts as free a cycle late
        m.d.comb += [
            splitter.o.ready.eq((~ready.valid | ready.ready) & (reserved + burst.more < depth)),
            words.eq(Mux(splitter.o.valid & splitter.o.ready, burst.more + 1, 0)),
        ]
        m.d.sync += [given.eq(out.valid & out.ready), reserved.eq(reserved + words - given)]
        with m.If(ready.ready):
            m.d.sync += ready.valid.eq(0)
        with m.If(splitter.o.valid & splitter.o.ready):
            m.d.sync += [ready.valid.eq(1), ready.p.eq(burst)]
        return ready
