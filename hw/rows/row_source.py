"""Rows of float32 numbers from external memory."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory.axi import COUNT_WIDTH, request_layout, word_layout
from ..streams.queue import StreamQueue
from .elementwise import lanes_layout
from .layout import row_layout

__all__ = ["RowSource", "row_request_layout"]

_WAITING = 4   # rows asked for whose words have not all been used


def row_request_layout(address_width: int, word_bytes: int, max_beats: int) -> data.StructLayout:
    """A row of ``beats`` beats that begins with word number ``word``."""
    word = request_layout(address_width, word_bytes, 1)["word"].shape
    return data.StructLayout({"word": word, "beats": range(max_beats + 1)})


class RowSource(wiring.Component):
    """Read rows that begin with a word, and give them beat by beat.

    A beat per cycle; four rows may be asked for ahead. What a row's last word holds beyond the row
    is dropped.

    Parameters
    ----------
    lanes : int
        Float32 elements of a beat; a word holds a whole number of beats.
    word_bytes : int
        Bytes of a memory word.
    address_width : int
        Bits of a byte address.
    count_width : int
        Bits of the number of words of a request, less one.
    max_beats : int
        Longest row.

    Members
    -------
    i : ``In(stream.Signature(row_request_layout(...)))``
        Rows to read, of at least one beat.
    o_request : ``Out(stream.Signature(request_layout(...)))``, i_words : ``In(...)``
        They are connected to a reader of the memory port.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        The rows.
    """

    def __init__(self, *, lanes: int, word_bytes: int, address_width: int, max_beats: int,
                 count_width: int = COUNT_WIDTH) -> None:
        if word_bytes % (4 * lanes):
            raise ValueError(f"A word of {word_bytes} bytes does not hold whole beats of {lanes} "
                             "float32 numbers")
        self.beats_per_word = word_bytes // (4 * lanes)
        self.max_beats = max_beats
        request = request_layout(address_width, word_bytes, count_width)
        super().__init__({
            "i": In(stream.Signature(row_request_layout(address_width, word_bytes, max_beats))),
            "o_request": Out(stream.Signature(request)),
            "i_words": In(stream.Signature(word_layout(word_bytes))),
            "o": Out(stream.Signature(row_layout(lanes_layout(lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        per_word = self.beats_per_word
        m.submodules.lengths = lengths = StreamQueue(self.i.p.beats.shape(), _WAITING)

        # Ask; the row's length goes along.
        m.d.comb += [
            self.o_request.p.word.eq(self.i.p.word),
            self.o_request.p.more.eq((self.i.p.beats + (per_word - 1)) // per_word - 1),
            self.o_request.valid.eq(self.i.valid & lengths.i.ready),
            self.i.ready.eq(self.o_request.ready & lengths.i.ready),
            lengths.i.p.eq(self.i.p.beats),
            lengths.i.valid.eq(self.i.valid & self.i.ready),
        ]

        # Give.
        place = Signal(range(per_word))
        beat = Signal(range(self.max_beats))
        given = Signal()
        beats = [data.View(self.o.p.values.shape(), self.i_words.p.data.as_value().word_select(
            number, self.o.p.values.shape().size)) for number in range(per_word)]
        m.d.comb += [
            self.o.valid.eq(self.i_words.valid & lengths.o.valid),
            self.o.p.last.eq(beat + 1 == lengths.o.p),
            given.eq(self.o.valid & self.o.ready),
            lengths.o.ready.eq(given & self.o.p.last),
            self.i_words.ready.eq(given & (self.o.p.last | (place == per_word - 1))),
        ]
        with m.Switch(place):
            for number, value in enumerate(beats):
                with m.Case(number):
                    m.d.comb += self.o.p.values.eq(value)
        with m.If(given):
            m.d.sync += [
                place.eq(Mux(self.i_words.ready, 0, place + 1)),
                beat.eq(Mux(self.o.p.last, 0, beat + 1)),
            ]
        return m
