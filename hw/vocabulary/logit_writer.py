"""Logits as words in memory, for a host that draws tokens."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..memory.axi import COUNT_WIDTH, request_layout
from ..memory.write_master import written_layout
from ..streams.queue import StreamQueue

__all__ = ["LogitWriter", "logit_job_layout"]

_BURST = 16   # words of a request: enough that memory does not turn round for every word


def logit_job_layout(max_rows: int) -> data.StructLayout:
    """``rows`` logits go to memory from word number ``word`` on."""
    return data.StructLayout({"word": 32, "rows": range(max_rows + 1)})


class LogitWriter(Component):
    """Write the logits of a job as float32 numbers, in requests of 16 words and a last one.

    What is behind the last number in its word is written, too: the region is one of whole words.
    One logit per cycle while memory takes words.

    Parameters
    ----------
    address_width, word_bytes : int
        Shape of the memory port.
    max_rows : int
        Most logits of a job.

    Members
    -------
    i_job : ``In(stream.Signature(logit_job_layout(max_rows)))``
        A job. It is taken when all its words have been given.
    i : ``In(stream.Signature(FLOAT32.layout))``
        Logits. They wait for their job.
    i_drop : ``In(1)``
        Take them and drop them: nobody wants them.
    o_request : ``Out(stream.Signature(request_layout(...)))``
    o : ``Out(stream.Signature(written_layout(word_bytes)))``
        They are connected to a writer of the memory port.
    o_issued : ``Out(1)``
        A request is taken in this cycle.
    """

    def __init__(self, *, address_width: int, word_bytes: int, max_rows: int) -> None:
        self.numbers = word_bytes // 4
        super().__init__({
            "i_job": In(stream.Signature(logit_job_layout(max_rows))),
            "i": In(stream.Signature(FLOAT32.layout)),
            "i_drop": In(1),
            "o_request": Out(stream.Signature(
                request_layout(address_width, word_bytes, COUNT_WIDTH))),
            "o": Out(stream.Signature(written_layout(word_bytes))), "o_issued": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        job, rows = self.i_job, Signal.like(self.i_job.p.rows)
        width = len(self.o.p.data.as_value())
        m.submodules.words = words = StreamQueue(width, 2 * _BURST)
        level = Signal(range(2 * _BURST + 1))
        m.d.sync += level.eq(level + (words.i.valid & words.i.ready)
                             - (words.o.valid & words.o.ready))
        collected = self._collect(m, words, rows)

        place, left = Signal(32), Signal(range(_BURST))
        burst = Signal(range(_BURST + 1))
        m.d.comb += [
            burst.eq(Mux(level < _BURST, level, _BURST)),
            self.o_request.p.word.eq(job.p.word + place),
            self.o_request.p.more.eq(left),
            self.o_issued.eq(self.o_request.valid & self.o_request.ready),
            self.o.p.data.eq(words.o.p), self.o.p.strobe.eq(-1),
        ]
        with m.FSM():
            with m.State("collect"):
                with m.If((level >= _BURST) | (collected & (level != 0))):
                    m.d.sync += left.eq(burst - 1)
                    m.next = "announce"
                with m.Elif(collected):
                    m.d.comb += job.ready.eq(1)
                    m.d.sync += [rows.eq(0), place.eq(0)]
            with m.State("announce"):
                m.d.comb += self.o_request.valid.eq(1)
                with m.If(self.o_request.ready):
                    m.d.sync += place.eq(place + left + 1)
                    m.next = "write"
            with m.State("write"):
                m.d.comb += [self.o.valid.eq(words.o.valid), words.o.ready.eq(self.o.ready)]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.next = "collect"
        return m

    def _collect(self, m: Module, words: StreamQueue, rows: Signal) -> Signal:
        """Fill words with the job's logits; high once all of them are in the queue."""
        job, collected, taken = self.i_job, Signal(), Signal()
        part = Signal(range(self.numbers)) if self.numbers > 1 else Signal(0)
        kept = Signal(32 * (self.numbers - 1))
        last, more = Signal(), Signal()
        m.d.comb += [
            more.eq(rows != job.p.rows), collected.eq(job.valid & ~more),
            self.i.ready.eq(self.i_drop | (job.valid & more & words.i.ready)),
            taken.eq(self.i.valid & job.valid & more & words.i.ready),
            last.eq((rows + 1 == job.p.rows) | (part == self.numbers - 1)),
            words.i.valid.eq(taken & last),
        ]
        logit = self.i.p.as_value()
        places = [Mux(part == number, logit, kept.word_select(number, 32))
                  for number in range(self.numbers - 1)]
        m.d.comb += words.i.p.eq(Cat(*places, logit))
        with m.If(taken):
            m.d.sync += [rows.eq(rows + 1), kept.eq(Cat(*places)),
                         part.eq(Mux(last, 0, part + 1))]
        return collected
