"""The drivers of EMBED and HEAD, which walk through the vocabulary."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..hw.memory.write_master import written_layout
from ..hw.streams.queue import queue_before
from ..hw.vocabulary.embedding import embedding_job_layout
from ..hw.vocabulary.head import choice_layout, head_job_layout
from ..hw.vocabulary.logit_writer import logit_job_layout
from .accelerator_parameters import AcceleratorParameters
from .driver import Driver
from .requests import row_requests, word_requests

__all__ = ["EmbedDriver", "HeadDriver"]


class EmbedDriver(Driver):
    """Tell the embedding which ids to look up, and where each token's row goes.

    Members
    -------
    o_job : ``Out(stream.Signature(embedding_job_layout(...)))``
        It is connected to the embedding.
    o_row : ``Out(stream.Signature(row_request_layout(...)))``
        Where the rows go.
    o_issued : ``Out(1)``
        A write request will be made of what was given in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = parameters
        job = embedding_job_layout(p.address_width, p.word_bytes, p.max_beats)
        super().__init__(p, {"o_job": Out(stream.Signature(job)), "o_row": Out(row_requests(p))})

    def elaborate(self, platform):
        m = Module()
        d, state = self.i_descriptor, self.i_state
        jobs = queue_before(m, "jobs", self.o_job)
        rows = queue_before(m, "rows", self.o_row)
        job, row = jobs.i.p, rows.i.p
        address, left = Signal(32), Signal.like(state.tokens)
        m.d.comb += [
            job.ids.eq(d.a), job.first.eq(state.position), job.tokens.eq(state.tokens),
            job.table.eq(d.c), job.group_words.eq(d.region), job.row_words.eq(d.tile_words),
            job.beats.eq(d.beats), job.four_bits.eq(d.four_bits),
            row.word.eq(address), row.beats.eq(d.beats),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.comb += jobs.i.valid.eq(1)
                m.d.sync += [address.eq(d.d), left.eq(state.tokens)]
                m.next = "rows"
            with m.State("rows"):
                m.d.comb += [rows.i.valid.eq(rows.i.ready), self.o_issued.eq(rows.i.ready)]
                with m.If(rows.i.ready):
                    m.d.sync += [address.eq(address + d.d_stride), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "walked"
            self._end(m)
        return m


class HeadDriver(Driver):
    """Read the whole vocabulary for the head, and write the chosen token behind the others.

    If the step's ``logits`` are wanted, they are written before the token.

    Members
    -------
    o_job : ``Out(stream.Signature(head_job_layout(...)))``, i_choice : ``In(...)``
        They are connected to the head.
    o_request : ``Out(stream.Signature(request_layout(...)))``
        The vocabulary's words.
    o_logits : ``Out(stream.Signature(logit_job_layout(...)))``
        It is connected to the writer of logits.
    o_write, o_word : ``Out(...)``
        They are connected to a writer of the memory port, and carry the token's id as an int32 in
        its place.
    o_token : ``Out(range(max_vocabulary))``
        The token that was chosen last.
    o_issued : ``Out(1)``
        A write request will be made of what was given in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = parameters
        request = word_requests(p)
        super().__init__(p, {
            "o_job": Out(stream.Signature(
                head_job_layout(p.max_width, p.word_bytes, p.max_vocabulary))),
            "i_choice": In(stream.Signature(choice_layout(p.max_vocabulary))),
            "o_request": Out(request), "o_write": Out(request),
            "o_logits": Out(stream.Signature(logit_job_layout(p.max_vocabulary))),
            "o_word": Out(stream.Signature(written_layout(p.word_bytes))),
            "o_token": Out(range(p.max_vocabulary)),
        })

    def elaborate(self, platform):
        m = Module()
        p, d, state = self.parameters, self.i_descriptor, self.i_state
        numbers = p.word_bytes // 4
        low = numbers.bit_length() - 1
        jobs = queue_before(m, "jobs", self.o_job)
        job = jobs.i.p
        # Registers that are right when they are asked for: ``i_descriptor`` and ``i_state`` are so
        # three cycles before ``i_active``, and the request comes a cycle after it.
        place, place_word, groups = Signal(32), Signal(32), Signal(range((1 << 24) // numbers + 1))
        words, more = Signal(self.o_request.p.more.shape()), Signal(self.o_request.p.more.shape())
        m.d.sync += [
            place.eq(state.position + state.tokens), place_word.eq(d.a + (place >> low)),
            groups.eq((d.rows + (numbers - 1)) >> low), words.eq(groups * d.region),
            more.eq(words - 1),
        ]
        m.d.comb += [
            job.row_words.eq(d.tile_words), job.rows.eq(d.rows), job.four_bits.eq(d.four_bits),
            self.o_request.p.word.eq(d.c), self.o_request.p.more.eq(more),
            self.o_write.p.word.eq(place_word), self.o_write.p.more.eq(0),
            self.o_logits.p.word.eq(d.d), self.o_logits.p.rows.eq(d.rows),
            self.o_word.p.data.eq(Cat([Cat(self.o_token, *[0] * (32 - len(self.o_token)))]
                                      * numbers)),
        ]
        for number in range(numbers):
            m.d.comb += self.o_word.p.strobe.word_select(number, 4).eq(
                Mux(place[:low] == number, -1, 0))
        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.comb += [jobs.i.valid.eq(1), self.o_issued.eq(1)]
                m.next = "read"
            with m.State("read"):
                m.d.comb += self.o_request.valid.eq(1)
                m.d.sync += self.o_logits.valid.eq(state.logits)
                with m.If(self.o_request.ready):
                    m.next = "choose"
            with m.State("choose"):
                with m.If(self.o_logits.ready):   # all of them are on their way
                    m.d.sync += self.o_logits.valid.eq(0)
                m.d.comb += self.i_choice.ready.eq(~self.o_logits.valid)
                with m.If(self.i_choice.valid & self.i_choice.ready):
                    m.d.sync += self.o_token.eq(self.i_choice.p.row)
                    m.next = "announce"
            with m.State("announce"):
                m.d.comb += self.o_write.valid.eq(1)
                with m.If(self.o_write.ready):
                    m.next = "write"
            with m.State("write"):
                m.d.comb += self.o_word.valid.eq(1)
                with m.If(self.o_word.ready):
                    m.next = "walked"
            self._end(m)
        return m
