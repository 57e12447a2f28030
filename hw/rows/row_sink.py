"""Rows of float32 numbers to external memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..memory.axi import COUNT_WIDTH, request_layout
from ..memory.write_master import written_layout
from .elementwise import lanes_layout
from .row_source import beats_in_word, request_rows, row_request_layout

__all__ = ["RowSink"]


class RowSink(Component):
    """Gather beats into words and write each row from the word on with which it begins.

    A beat per cycle. A row's last word is written as far as the row reaches.

    Parameters
    ----------
    lanes, word_bytes, address_width, max_beats, count_width : int
        The same as the parameters of ``RowSource``.

    Members
    -------
    i_row : ``In(stream.Signature(row_request_layout(...)))``
        Where each row goes, and how many of the beats it is: at least one.
    i : ``In(stream.Signature(lanes_layout(lanes)))``
        The beats of the rows.
    o_request : ``Out(stream.Signature(request_layout(...)))``
    o : ``Out(stream.Signature(written_layout(word_bytes)))``
        They are connected to a ``WriteMaster``.
    """

    def __init__(self, *, lanes: int, word_bytes: int, address_width: int, max_beats: int,
                 count_width: int = COUNT_WIDTH) -> None:
        self.lanes = lanes
        self.beats_per_word = beats_in_word(word_bytes, lanes)
        self.max_beats = max_beats
        request = request_layout(address_width, word_bytes, count_width)
        row = row_request_layout(address_width, word_bytes, max_beats)
        super().__init__({
            "i_row": In(stream.Signature(row)),
            "i": In(stream.Signature(lanes_layout(lanes))),
            "o_request": Out(stream.Signature(request)),
            "o": Out(stream.Signature(written_layout(word_bytes))),
        })

    def elaborate(self, platform):
        m = Module()
        per_word = self.beats_per_word
        last_beats = request_rows(m, self.i_row, self.o_request, per_word, self.max_beats)

        # Gather: the beat that fills a word, or ends the row, sends it.
        place = Signal(range(max(per_word, 2)))   # no signal is without bits
        beat = Signal(range(self.max_beats))
        width = self.i.p.shape().size
        gathered = Signal(data.ArrayLayout(width, per_word), reset_less=True)
        word = Signal(data.ArrayLayout(width, per_word))
        row_ends, completes, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            row_ends.eq(beat == last_beats.o.p),
            completes.eq(row_ends | (place == per_word - 1)),
            self.i.ready.eq(last_beats.o.valid & (~completes | self.o.ready)),
            taken.eq(self.i.valid & self.i.ready),
            last_beats.o.ready.eq(taken & row_ends),
            word.eq(gathered), word[place].eq(self.i.p),
            Cat(self.o.p.data).eq(word),
            self.o.valid.eq(self.i.valid & last_beats.o.valid & completes),
        ]
        for number in range(per_word):
            m.d.comb += self.o.p.strobe.word_select(number, 4 * self.lanes).eq(
                Mux(number <= place, -1, 0))
        # Whatever is offered is gathered: of the beats at a place, the last one is what is taken.
        m.d.sync += gathered[place].eq(self.i.p)
        with m.If(taken):
            m.d.sync += [
                place.eq(Mux(completes, 0, place + 1)),
                beat.eq(Mux(row_ends, 0, beat + 1)),
            ]
        return m
