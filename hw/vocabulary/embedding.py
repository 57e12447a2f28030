"""Rows of the embedding for token ids that lie in memory."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay
from ..memory.axi import COUNT_WIDTH, request_layout, word_layout
from ..rows.elementwise import lanes_layout
from ..streams.credits import CreditQueue

__all__ = ["Embedding", "embedding_job_layout"]


def embedding_job_layout(address_width: int, word_bytes: int, max_beats: int) -> data.StructLayout:
    """``tokens`` consecutive ids, the first one int32 number ``first`` from word ``ids`` on.

    Their rows are those of a ``VocabularyLayout`` that begins at word ``table``, with
    ``group_words`` and ``row_words``, and codes of 8 bits or ``four_bits``; a row has ``beats``
    beats.
    """
    word = request_layout(address_width, word_bytes, 1)["word"].shape
    return data.StructLayout({
        "ids": word, "first": 24, "tokens": 16, "table": word, "group_words": 20, "row_words": 12,
        "beats": range(max_beats + 1), "four_bits": 1,
    })


class Embedding(Component):
    """``float32(code) * scale`` of the rows of tokens, bit for bit ``runtime.decoder.Embedding``.

    For each token its id, its scale and its row are read, one after the other: about three times
    the memory's latency and a cycle per beat.

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    word_bytes : int
        Bytes of a memory word.
    address_width : int
        Bits of a byte address.
    max_beats : int
        Longest row.

    Members
    -------
    i : ``In(stream.Signature(embedding_job_layout(...)))``
        What is to be read. It is taken at the end.
    o_request : ``Out(stream.Signature(request_layout(...)))``, i_words : ``In(...)``
        They are connected to a reader of the memory port.
    o : ``Out(stream.Signature(lanes_layout(lanes)))``
        The rows, beat by beat.
    """

    _latency = IntegerToFloat.latency + FloatMultiply.latency

    def __init__(self, *, lanes: int, word_bytes: int, address_width: int, max_beats: int) -> None:
        self.lanes = lanes
        self.word_bytes = word_bytes
        self.max_beats = max_beats
        request = request_layout(address_width, word_bytes, COUNT_WIDTH)
        super().__init__({
            "i": In(stream.Signature(embedding_job_layout(address_width, word_bytes, max_beats))),
            "o_request": Out(stream.Signature(request)),
            "i_words": In(stream.Signature(word_layout(word_bytes))),
            "o": Out(stream.Signature(lanes_layout(lanes))),
        })

    def elaborate(self, platform):
        m = Module()
        job, word = self.i.p, self.i_words.p.data
        group = (self.word_bytes // 4 - 1).bit_length()   # bits of a place in a word of numbers
        numbers = word.as_value()

        done, last_token = Signal(16), Signal(16)
        number = Signal(24)
        token = Signal(32)
        group_at, row_at = (Signal(self.o_request.p.word.shape(), name=name)
                            for name in ("group_at", "row_at"))
        group_offset, row_offset = Signal(32), Signal(32)
        scale = Signal(FLOAT32.layout)
        # How many beats of the row follow this one; registers say that none does, that the row's
        # beats are being taken, that one is the last of its word, and which is the last token.
        left, last_beat = Signal(range(self.max_beats)), Signal(range(self.max_beats))
        is_last, in_row, is_last_token = Signal(), Signal(), Signal()
        per_word = self.word_bytes // self.lanes   # beats, of int8
        place, last_place = Signal(range(2 * per_word)), Signal(range(2 * per_word))
        ends, word_ends = Signal(), Signal()
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), self._latency)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        # Known long before they are looked at: a row takes many cycles.
        m.d.sync += [
            last_beat.eq(job.beats - 1), last_token.eq(job.tokens - 1),
            row_at.eq(group_at + row_offset), is_last_token.eq(done == last_token),
            last_place.eq(Mux(job.four_bits, 2 * per_word, per_word) - 1),
        ]

        def ask(state: str, address, more, then: str) -> None:
            with m.State(state):
                m.d.comb += [
                    self.o_request.p.word.eq(address), self.o_request.p.more.eq(more),
                    self.o_request.valid.eq(1),
                ]
                with m.If(self.o_request.ready):
                    m.next = then

        with m.FSM():
            with m.State("idle"):
                m.d.sync += number.eq(job.first)
                with m.If(self.i.valid):
                    m.next = "ask id"
            ask("ask id", job.ids + (number >> group), 0, "id")
            with m.State("id"):
                m.d.comb += self.i_words.ready.eq(1)
                with m.If(self.i_words.valid):
                    m.d.sync += token.eq(numbers.word_select(number[:group], 32))
                    m.next = "multiply"
            with m.State("multiply"):
                m.d.sync += [group_offset.eq((token >> group)[:20] * job.group_words),
                             row_offset.eq(token[:group] * job.row_words + 1)]
                m.next = "locate"
            with m.State("locate"):
                m.d.sync += group_at.eq(job.table + group_offset)
                m.next = "ask scale"
            ask("ask scale", group_at, 0, "ask row")
            ask("ask row", row_at, job.row_words - 1, "scale")
            with m.State("scale"):
                m.d.comb += self.i_words.ready.eq(1)
                m.d.sync += [left.eq(last_beat), is_last.eq(last_beat == 0), place.eq(0),
                             word_ends.eq(last_place == 0)]
                with m.If(self.i_words.valid):
                    m.d.sync += [scale.eq(numbers.word_select(token[:group], 32)), in_row.eq(1)]
                    m.next = "row"
            with m.State("row"), m.If(ends):
                m.d.sync += [in_row.eq(0), done.eq(done + 1), number.eq(number + 1)]
                m.next = "ask id"
                with m.If(is_last_token):
                    m.d.sync += done.eq(0)
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "idle"
        with m.If(in_row):
            m.d.comb += self.i_words.ready.eq(queue.ready & (word_ends | is_last))
        m.d.comb += [
            queue.enter.eq(in_row & self.i_words.valid & queue.ready),
            ends.eq(in_row & self.i_words.valid & queue.ready & is_last),
        ]
        with m.If(queue.enter):
            m.d.sync += [left.eq(left - 1), is_last.eq(left == 1),
                         place.eq(Mux(word_ends, 0, place + 1)),
                         word_ends.eq(Mux(word_ends, last_place == 0, place + 1 == last_place))]

        low = (per_word - 1).bit_length()
        codes = numbers.word_select(place[:low], 8 * self.lanes)
        row_scale = delay(m, scale, IntegerToFloat.latency, "row_scale")
        for lane in range(self.lanes):
            m.submodules[f"to_float_{lane}"] = to_float = IntegerToFloat(FLOAT32, 8)
            m.submodules[f"by_scale_{lane}"] = by_scale = FloatMultiply(FLOAT32)
            byte = codes[8 * lane:8 * lane + 8]
            code = Signal(signed(8), name=f"code_{lane}")
            m.d.comb += [
                code.eq(Mux(job.four_bits, byte.word_select(place[low:], 4).as_signed(),
                            byte.as_signed())),
                to_float.i.eq(code),
                by_scale.i_a.eq(to_float.o), by_scale.i_b.eq(row_scale),
                queue.i[lane].eq(by_scale.o),
            ]
        return m
