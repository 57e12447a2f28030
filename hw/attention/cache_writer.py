"""New keys and values on their way to the cache in external memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..memory.axi import COUNT_WIDTH, request_layout
from ..memory.write_master import written_layout
from ..rows.row_fork import row_layout
from .attention_parameters import TILE, AttentionParameters

__all__ = ["CacheWriter", "head_layout"]


def head_layout(parameters: AttentionParameters, address_width: int) -> data.StructLayout:
    """Where a token's head goes: the first word of its tile, its ``token`` there, keys or values.

    ``chunks`` is head_dim / chunk. See ``cache_layout``.
    """
    word = request_layout(address_width, parameters.word_bytes, COUNT_WIDTH)["word"].shape
    return data.StructLayout({
        "word": word, "token": range(TILE), "values": 1,
        "chunks": range(parameters.max_chunks + 1),
    })


class CacheWriter(Component):
    """Write the codes of a head, a chunk to a word, and its scale: two requests per head.

    A beat per cycle and three cycles more for a head.

    Parameters
    ----------
    parameters : AttentionParameters
        The unit that will read the cache.
    address_width : int
        Bits of a byte address.

    Members
    -------
    i_head : ``In(stream.Signature(head_layout(parameters, address_width)))``
        Heads.
    i : ``In(stream.Signature(row_layout(ArrayLayout(signed(8), lanes))))``
        Their codes.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        Their scales.
    o_request : ``Out(stream.Signature(request_layout(...)))``
    o : ``Out(stream.Signature(written_layout(word_bytes)))``
        They are connected to a ``WriteMaster``.
    """

    def __init__(self, parameters: AttentionParameters, address_width: int) -> None:
        p = self.parameters = parameters
        request = request_layout(address_width, p.word_bytes, COUNT_WIDTH)
        super().__init__({
            "i_head": In(stream.Signature(head_layout(p, address_width))),
            "i": In(stream.Signature(row_layout(data.ArrayLayout(signed(8), p.lanes)))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "o_request": Out(stream.Signature(request)),
            "o": Out(stream.Signature(written_layout(p.word_bytes))),
        })

    def elaborate(self, platform):
        m = Module()
        p, head = self.parameters, self.i_head.p
        low = p.word_tokens.bit_length() - 1
        scale_low = p.word_floats.bit_length() - 1
        codes_at = 2 * p.scale_words + Mux(head.values, p.rows * head.chunks, 0)
        scales_at = Mux(head.values, p.scale_words, 0)

        # Gather a chunk of codes.
        beats = p.chunk // p.lanes
        place = Signal(range(beats))
        width = 8 * p.lanes
        gathered = Signal(data.ArrayLayout(width, beats), reset_less=True)
        chunk = Signal(data.ArrayLayout(width, beats))
        m.d.comb += [chunk.eq(gathered), chunk[place].eq(Cat(self.i.p.values))]

        with m.FSM():
            with m.State("announce"):
                m.d.comb += [
                    self.o_request.p.word.eq(
                        head.word + codes_at + (head.token >> low) * head.chunks),
                    self.o_request.p.more.eq(head.chunks - 1),
                    self.o_request.valid.eq(self.i_head.valid),
                ]
                with m.If(self.o_request.valid & self.o_request.ready):
                    m.next = "codes"
            with m.State("codes"):
                completes = place == beats - 1
                m.d.comb += [
                    self.o.p.data.eq(Cat([chunk] * p.word_tokens)),
                    self.o.valid.eq(self.i.valid & completes),
                    self.i.ready.eq(~completes | self.o.ready),
                ]
                for token in range(p.word_tokens):
                    m.d.comb += self.o.p.strobe.word_select(token, p.chunk).eq(
                        Mux(head.token[:low] == token, -1, 0))
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [
                        gathered[place].eq(Cat(self.i.p.values)),
                        place.eq(Mux(completes, 0, place + 1)),
                    ]
                    with m.If(self.i.p.last):
                        m.next = "announce scale"
            with m.State("announce scale"):
                m.d.comb += [
                    self.o_request.p.word.eq(head.word + scales_at + (head.token >> scale_low)),
                    self.o_request.p.more.eq(0),
                    self.o_request.valid.eq(1),
                ]
                with m.If(self.o_request.ready):
                    m.next = "scale"
            with m.State("scale"):
                m.d.comb += [
                    self.o.p.data.eq(Cat([self.i_scale.p] * p.word_floats)),
                    self.o.valid.eq(self.i_scale.valid),
                ]
                for token in range(p.word_floats):
                    m.d.comb += self.o.p.strobe.word_select(token, 4).eq(
                        Mux(head.token[:scale_low] == token, -1, 0))
                with m.If(self.o.valid & self.o.ready):
                    m.d.comb += [self.i_scale.ready.eq(1), self.i_head.ready.eq(1)]
                    m.next = "announce"
        return m
