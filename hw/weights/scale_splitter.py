"""The words of a weight tile: those of its scales, then those of its weights."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..matmul.scale_codes import CODE_BITS
from ..memory.axi import word_layout
from ..streams.queue import queue_behind

__all__ = ["ScaleSplitter", "scaled_tile_layout"]


def scaled_tile_layout(beats_width: int) -> data.StructLayout:
    """A tile that begins with the words of ``beats`` beats of scales, if it is ``scaled``."""
    return data.StructLayout({"scaled": 1, "beats": beats_width})


class ScaleSplitter(Component):
    """Give the scales that a tile begins with beat by beat, and the words behind them as they are.

    A word of scales takes as many cycles as it has beats; words of weights pass without a cycle.
    What the last word of scales holds beyond them is dropped.

    Parameters
    ----------
    word_bytes : int
        Bytes of a word.
    lanes : int
        Scales of a beat.
    beats_width : int
        Bits of the count in ``i_tile``.

    Members
    -------
    i_tile : ``In(stream.Signature(scaled_tile_layout(beats_width)))``
        What the next words are; two of them wait.
    i : ``In(stream.Signature(word_layout(word_bytes)))``
        Words; ``last`` ends a tile.
    o_scales : ``Out(stream.Signature(ArrayLayout(16, lanes)))``
        Codes of scales.
    o_weights : ``Out(stream.Signature(word_layout(word_bytes)))``
        Words of weights.

    Raises
    ------
    ValueError
        A word does not hold whole beats of scales.
    """

    def __init__(self, *, word_bytes: int, lanes: int, beats_width: int) -> None:
        if 8 * word_bytes % (CODE_BITS * lanes):
            raise ValueError(f"A word of {word_bytes} bytes does not hold whole beats of {lanes} "
                             "scales")
        self.lanes = lanes
        words = stream.Signature(word_layout(word_bytes))
        super().__init__({
            "i_tile": In(stream.Signature(scaled_tile_layout(beats_width))), "i": In(words),
            "o_scales": Out(stream.Signature(data.ArrayLayout(CODE_BITS, lanes))),
            "o_weights": Out(words),
        })

    def elaborate(self, platform):
        m = Module()
        tiles = queue_behind(m, "tiles", self.i_tile)
        tile, bits = tiles.o.p, CODE_BITS * self.lanes
        word = self.i.p.data.as_value()
        beats = len(word) // bits
        part, given = Signal(range(max(beats, 2))), Signal.like(tile.beats)
        past, last_beat, gives = Signal(), Signal(), Signal()
        to_weights = Signal()
        m.d.comb += [
            to_weights.eq(tiles.o.valid & (past | ~tile.scaled)),
            self.o_weights.p.eq(self.i.p), self.o_weights.valid.eq(self.i.valid & to_weights),
            self.o_scales.valid.eq(self.i.valid & tiles.o.valid & tile.scaled & ~past),
            self.o_scales.p.as_value().eq(word.word_select(part, bits)),
            gives.eq(self.o_scales.valid & self.o_scales.ready),
            last_beat.eq(given + 1 >= tile.beats),
            self.i.ready.eq(Mux(to_weights, self.o_weights.ready,
                                gives & (last_beat | (part == beats - 1)))),
            tiles.o.ready.eq(to_weights & self.i.valid & self.i.ready & self.i.p.last),
        ]
        with m.If(gives):
            m.d.sync += [given.eq(given + 1), part.eq(Mux(part == beats - 1, 0, part + 1))]
            with m.If(last_beat):
                m.d.sync += [given.eq(0), part.eq(0), past.eq(1)]
        with m.If(tiles.o.ready):
            m.d.sync += past.eq(0)
        return m
