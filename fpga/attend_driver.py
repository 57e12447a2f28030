"""The driver of ATTEND, which walks through heads and tokens."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from ..hw.attention.attention_parameters import BANKS
from ..hw.attention.tile_walker import pass_layout
from ..hw.streams.queue import queue_before
from .accelerator_parameters import AcceleratorParameters
from .driver import Driver
from .requests import row_requests

__all__ = ["AttendDriver"]


class AttendDriver(Driver):
    """Cut heads and tokens into passes of up to Q queries, and say where each query's rows are.

    One token (decode): the query heads of a KV head share passes. Several (prefill): consecutive
    tokens of a head do.

    Members
    -------
    o_pass : ``Out(stream.Signature(pass_layout(...)))``
        It is connected to attention.
    o_a : ``Out(stream.Signature(row_request_layout(...)))``
        Rows of queries.
    o_row : ``Out(stream.Signature(row_request_layout(...)))``
        Where the results go.
    o_issued : ``Out(1)``
        A write request will be made of what was given in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = parameters
        row = row_requests(p)
        super().__init__(p, {
            "o_pass": Out(stream.Signature(pass_layout(p.attention, p.address_width))),
            "o_a": Out(row), "o_row": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        p, d, state = self.parameters, self.i_descriptor, self.i_state
        passes = queue_before(m, "passes", self.o_pass)
        queries = queue_before(m, "queries", self.o_a)
        # The last values of a pass can come behind the keys of the ``TILES_AHEAD`` passes after it,
        # which wait for their queries: those must go ahead although no result of any of these
        # passes has been written.
        results = queue_before(m, "results", self.o_row, depth=BANKS * p.queries + 1)

        # KV heads outside, then the query heads of one, then tokens. ``source`` and ``result`` are
        # the rows of the next query.
        kv_left, members_left = Signal(8), Signal(8)
        tokens_left, position = Signal.like(state.tokens), Signal(range(p.max_context + 1))
        cache = Signal(32)
        source, result, source_head, result_head = (
            Signal(32, name=name) for name in ("source", "result", "source_head", "result_head"))
        count, left = Signal(range(p.queries + 1)), Signal(range(p.queries + 1))
        decodes = Signal()
        waiting = Signal(range(max(p.max_heads, p.max_tokens) + 1))   # queries not yet in a pass
        m.d.sync += decodes.eq(state.tokens == 1)
        m.d.comb += waiting.eq(Mux(decodes, members_left, tokens_left))
        new_pass, query, out = passes.i.p, queries.i.p, results.i.p
        m.d.comb += [
            new_pass.word.eq(cache), new_pass.position.eq(position),
            new_pass.last_position.eq(position + Mux(decodes, 0, count - 1)),
            new_pass.queries.eq(count), new_pass.group.eq(Mux(decodes, count, 1)),
            new_pass.chunks.eq(d.chunks), new_pass.inverse_root.eq(d.x),
            query.word.eq(source), query.beats.eq(d.head_words * p.word_beats),
            out.word.eq(result), out.beats.eq(d.head_words * p.word_beats),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.sync += [
                    kv_left.eq(d.heads), members_left.eq(d.group),
                    tokens_left.eq(state.tokens), position.eq(state.position), cache.eq(d.c),
                    source.eq(d.a), result.eq(d.d), source_head.eq(d.a), result_head.eq(d.d),
                ]
                m.next = "count"
            with m.State("count"):
                m.d.sync += count.eq(Mux(waiting > p.queries, p.queries, waiting))
                m.next = "pass"
            with m.State("pass"):
                m.d.comb += passes.i.valid.eq(passes.i.ready)
                m.d.sync += left.eq(count)
                with m.If(passes.i.ready):
                    m.next = "queries"
            with m.State("queries"):
                room = queries.i.ready & results.i.ready
                m.d.comb += [
                    queries.i.valid.eq(room), results.i.valid.eq(room), self.o_issued.eq(room),
                ]
                with m.If(room):
                    m.d.sync += [
                        left.eq(left - 1),
                        source.eq(source + Mux(decodes, d.head_words, d.a_stride)),
                        result.eq(result + Mux(decodes, d.head_words, d.d_stride)),
                    ]
                    with m.If(decodes):
                        m.d.sync += members_left.eq(members_left - 1)
                    with m.Else():
                        m.d.sync += [tokens_left.eq(tokens_left - 1), position.eq(position + 1)]
                    with m.If(left == 1):
                        m.next = "next"
            with m.State("next"):
                m.next = "count"
                with m.If(~decodes & (tokens_left == 0)):
                    m.d.sync += [
                        tokens_left.eq(state.tokens), position.eq(state.position),
                        members_left.eq(members_left - 1),
                        source.eq(source_head + d.head_words),
                        result.eq(result_head + d.head_words),
                        source_head.eq(source_head + d.head_words),
                        result_head.eq(result_head + d.head_words),
                    ]
                    m.next = "head"
                with m.If(decodes):
                    m.next = "head"
            with m.State("head"):
                m.next = "count"
                with m.If(members_left == 0):
                    m.d.sync += [members_left.eq(d.group), kv_left.eq(kv_left - 1),
                                 cache.eq(cache + d.region)]
                    with m.If(kv_left == 1):
                        m.next = "walked"
            self._end(m)
        return m
