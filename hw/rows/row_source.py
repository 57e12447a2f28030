"""Rows of float32 numbers from external memory."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..memory.axi import COUNT_WIDTH, request_layout, word_layout
from ..streams.queue import StreamQueue, queue_before
from .elementwise import lanes_layout
from .row_fork import row_layout

__all__ = ["RowSource", "beats_in_word", "request_rows", "row_request_layout"]

_WAITING = 4   # rows whose words were requested and have not all been used


def row_request_layout(address_width: int, word_bytes: int, max_beats: int) -> data.StructLayout:
    """A row of ``beats`` beats that begins with word number ``word``."""
    word = request_layout(address_width, word_bytes, 1)["word"].shape
    return data.StructLayout({"word": word, "beats": range(max_beats + 1)})


def beats_in_word(word_bytes: int, lanes: int) -> int:
    """Beats of ``lanes`` float32 numbers in a word.

    Raises
    ------
    ValueError
        A word does not hold whole beats.
    """
    if word_bytes % (4 * lanes):
        raise ValueError(f"A word of {word_bytes} bytes does not hold whole beats of {lanes} "
                         "float32 numbers")
    return word_bytes // (4 * lanes)


def request_rows(m: Module, rows: stream.Interface, requests: stream.Interface,
                 beats_per_word: int, max_beats: int) -> StreamQueue:
    """Request the words of each of ``rows``; the numbers of their last beats, in their order."""
    m.submodules.last_beats = last_beats = StreamQueue(range(max_beats), _WAITING)
    last_beat = (rows.p.beats - 1)[:len(last_beats.i.p)]
    m.d.comb += [
        requests.p.word.eq(rows.p.word),
        requests.p.more.eq(last_beat // beats_per_word),
        requests.valid.eq(rows.valid & last_beats.i.ready),
        rows.ready.eq(requests.ready & last_beats.i.ready),
        last_beats.i.p.eq(last_beat),
        last_beats.i.valid.eq(rows.valid & rows.ready),
    ]
    return last_beats


class RowSource(Component):
    """Read rows that begin with a word, and give them beat by beat.

    A beat per cycle, one cycle after its word came; four rows may be asked for ahead. What a row's
    last word holds beyond the row is dropped.

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
        self.beats_per_word = beats_in_word(word_bytes, lanes)
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
        last_beats = request_rows(m, self.i, self.o_request, per_word, self.max_beats)
        place = Signal(range(max(per_word, 2)))   # no signal is without bits
        beat = Signal(range(self.max_beats))
        given = Signal()
        out = queue_before(m, "out", self.o).i
        beats = [data.View(self.o.p.values.shape(), self.i_words.p.data.as_value().word_select(
            number, self.o.p.values.shape().size)) for number in range(per_word)]
        m.d.comb += [
            out.valid.eq(self.i_words.valid & last_beats.o.valid),
            out.p.last.eq(beat == last_beats.o.p),
            given.eq(out.valid & out.ready),
            last_beats.o.ready.eq(given & out.p.last),
            self.i_words.ready.eq(given & (out.p.last | (place == per_word - 1))),
        ]
        with m.Switch(place):
            for number, value in enumerate(beats):
                with m.Case(number):
                    m.d.comb += out.p.values.eq(value)
        with m.If(given):
            m.d.sync += [
                place.eq(Mux(self.i_words.ready, 0, place + 1)),
                beat.eq(Mux(out.p.last, 0, beat + 1)),
            ]
        return m
