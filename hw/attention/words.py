"""The words of blocks, which go to the query lanes and to the scales."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..floats.shifting import delay, delay_pulse
from ..memory.axi import word_layout
from ..streams.queue import queue_before
from .attention_parameters import BANKS, TILE, TILES_AHEAD, AttentionParameters
from .query_lane import word_control_layout
from .tile_walker import block_layout, context_tile_layout

__all__ = ["Scales", "Words", "scale_place_layout", "scale_word_layout"]


def scale_place_layout() -> data.StructLayout:
    """Which scale: the bank of its tile, and its token there."""
    return data.StructLayout({"bank": range(BANKS), "token": range(TILE)})


def scale_word_layout(parameters: AttentionParameters) -> data.StructLayout:
    """Word number ``place`` of the scales of bank ``bank``, if ``valid``."""
    return data.StructLayout({
        "valid": 1, "bank": range(BANKS), "place": range(parameters.scale_words),
        "word": data.ArrayLayout(FLOAT32.layout, parameters.word_floats)})


class Scales(Component):
    """A float32 for each token of ``BANKS`` tiles, written by the word and read one by one.

    Members
    -------
    i : ``In(scale_word_layout(parameters))``
    i_place : ``In(scale_place_layout())``, o : ``Out(FLOAT32.layout)``
        The scale of that token, ``read_latency`` cycles later.
    """

    read_latency = 2

    def __init__(self, parameters: AttentionParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i": In(scale_word_layout(parameters)),
            "i_place": In(scale_place_layout()),
            "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.memory = memory = Memory(
            shape=self.i.word.shape(), depth=BANKS * p.scale_words, init=[])
        write, read = memory.write_port(), memory.read_port()
        low = p.word_floats.bit_length() - 1
        m.d.comb += [
            write.addr.eq(Cat(self.i.place, self.i.bank)),
            write.data.eq(self.i.word),
            write.en.eq(self.i.valid),
            read.addr.eq(Cat(self.i_place.token[low:], self.i_place.bank)),
        ]
        place = delay(m, self.i_place.token[:low], 1, "place")
        chosen = Signal(FLOAT32.layout, reset_less=True)
        m.d.sync += chosen.eq(read.data[place])
        m.d.comb += self.o.eq(chosen)
        return m


class Words(Component):
    """Take the words of each block, and say what they are.

    Keys wait until their pass's queries are there; values wait until the weights of their tile are
    there, and until the sums of the tile before last have been used. When all the dots (sums) of a
    tile can be read, the tile is offered (counted).

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.
    dot_latency, sum_latency : int
        ``QueryLane.dot_latency`` and ``QueryLane.sum_latency``.

    Members
    -------
    i_block : ``In(stream.Signature(block_layout(parameters)))``
        The blocks whose words come.
    i : ``In(stream.Signature(word_layout(word_bytes)))``
        The words; ``last`` is not looked at. ``i.ready`` depends on registers only.
    i_loaded : ``In(1)``
        The queries of one more pass are there.
    i_weighed, i_used : ``In(1)``
        A tile's weights have been written; a tile's sums have been used.
    o_control, o_word : ``Out(...)``
        A word of codes for the query lanes.
    o_keys_scale, o_values_scale : ``Out(scale_word_layout(parameters))``
        A word for the ``Scales`` of the keys, of the values.
    o : ``Out(stream.Signature(context_tile_layout(parameters)))``
        Tiles whose dots can be read. At most ``TILES_AHEAD + 1`` can be waiting: the keys of the
        tile after them come behind the values of the first one.
    o_summed : ``Out(1)``
        A tile's sums can be read from now on.
    """

    def __init__(self, parameters: AttentionParameters, dot_latency: int,
                 sum_latency: int) -> None:
        p = self.parameters = parameters
        self._dot_latency = dot_latency
        self._sum_latency = sum_latency
        super().__init__({
            "i_block": In(stream.Signature(block_layout(p))),
            "i": In(stream.Signature(word_layout(p.word_bytes))),
            "i_loaded": In(1), "i_weighed": In(1), "i_used": In(1),
            "o_control": Out(word_control_layout(p)),
            "o_word": Out(data.ArrayLayout(8, p.word_bytes)),
            "o_keys_scale": Out(scale_word_layout(p)),
            "o_values_scale": Out(scale_word_layout(p)),
            "o": Out(stream.Signature(context_tile_layout(p))),
            "o_summed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        block = self.i_block.p
        tile = block.tile

        # Passes that wait for their keys, weights that wait for their values, and sums that wait to
        # be used.
        loaded, weighed, unused = Signal(range(3)), Signal(range(BANKS + 1)), Signal(range(3))
        starts_pass, starts_values, taken, ends = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            loaded.eq(loaded + self.i_loaded - starts_pass),
            weighed.eq(weighed + self.i_weighed - starts_values),
            unused.eq(unused + starts_values - self.i_used),
        ]

        # Where in the block the next word stands: scales of both kinds, then rows of chunks.
        begun, starts, in_codes = Signal(), Signal(), Signal()
        scale = Signal(range(2 * p.scale_words))
        row, chunk = Signal(range(p.rows)), Signal(range(p.max_chunks))
        last_chunk, last_row, may_start = Signal(), Signal(), Signal()
        codes = in_codes | block.values
        with m.If(block.values):
            m.d.comb += may_start.eq((weighed != 0) & (unused != 2))
        with m.Else():
            m.d.comb += may_start.eq(~tile.first | (loaded != 0))
        m.d.comb += [
            last_chunk.eq(chunk + 1 == tile.chunks),
            last_row.eq(row + 1 == block.rows),
            ends.eq(codes & last_chunk & last_row),
            starts.eq(self.i_block.valid & ~begun & may_start),
            starts_values.eq(starts & block.values),
            starts_pass.eq(starts & ~block.values & tile.first),
            self.i.ready.eq(begun | starts),
            taken.eq(self.i.valid & self.i.ready),
            self.i_block.ready.eq(taken & ends),
        ]
        with m.If(starts):
            m.d.sync += begun.eq(1)
        with m.If(taken):
            with m.If(~codes):
                m.d.sync += scale.eq(scale + 1)
                with m.If(scale == 2 * p.scale_words - 1):
                    m.d.sync += [scale.eq(0), in_codes.eq(1)]
            with m.Else():
                m.d.sync += chunk.eq(chunk + 1)
                with m.If(last_chunk):
                    m.d.sync += [chunk.eq(0), row.eq(row + 1)]
            with m.If(ends):
                m.d.sync += [row.eq(0), in_codes.eq(0), begun.eq(0)]

        m.d.comb += [
            Cat(self.o_word).eq(Cat(self.i.p.data)),
            self.o_control.valid.eq(taken & codes),
            self.o_control.values.eq(block.values),
            self.o_control.bank.eq(tile.bank), self.o_control.pass_bank.eq(tile.pass_bank),
            self.o_control.row.eq(row), self.o_control.chunk.eq(chunk),
            self.o_control.first_chunk.eq(chunk == 0), self.o_control.last_chunk.eq(last_chunk),
            self.o_control.last_row.eq(last_row),
        ]
        for number, out in enumerate((self.o_keys_scale, self.o_values_scale)):
            m.d.comb += [
                out.valid.eq(taken & ~codes & (scale // p.scale_words == number)),
                out.bank.eq(tile.bank), out.place.eq(scale % p.scale_words),
                Cat(out.word).eq(Cat(self.i.p.data)),
            ]

        self._finish(m, taken & ends)
        return m

    def _finish(self, m: Module, ends: Value) -> None:
        """When a block's last word has passed through the lanes, its tile can be used."""
        block = self.i_block.p
        m.d.comb += self.o_summed.eq(
            delay_pulse(m, ends & block.values, self._sum_latency, "summed"))
        tiles = queue_before(m, "tiles", self.o, TILES_AHEAD + 1)
        m.d.comb += [
            tiles.i.valid.eq(delay_pulse(m, ends & ~block.values, self._dot_latency, "dotted")),
            tiles.i.p.eq(delay(m, block.tile, self._dot_latency, "tile")),
        ]
