"""The way of weights from external memory to the engine."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..component import Component
from ..matmul.lookup_tables import index_layout
from ..memory.axi import read_signature, request_layout
from ..memory.read_master import ReadMaster
from .tile_buffer import TileBuffer, buffer_tile_layout
from .unpacker import Unpacker
from .weight_layout import WeightLayout

__all__ = ["WeightLoader"]

COUNT_WIDTH = 20
BEATS_WIDTH = 24
REPEATS_WIDTH = 16


class WeightLoader(Component):
    """Read matrices from memory, unpack them, keep them in tiles, and give the engine its beats.

    A ``ReadMaster``, an ``Unpacker`` and a ``TileBuffer`` in a row. Requests and tiles are
    independent streams: whoever sends requests early has weights prefetched, as far as the buffer
    has room, while the engine is busy with something else. A request is the whole image of a
    tile; its tile says how many beats that gives and for how many tokens.

    Parameters
    ----------
    layout : WeightLayout
        Engine, and words of the port.
    buffer_beats : int
        Depth of the tile buffer.
    address_width, max_burst, outstanding, timeout : int
        The same as the parameters of ``ReadMaster``.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...)))``
    i_tile : ``In(stream.Signature(buffer_tile_layout(...)))``
    o : ``Out(stream.Signature(index_layout(parameters)))``
        It is connected to ``Tlmm.i_weights``.
    axi : ``Out(read_signature(address_width, word_bytes))``
    error : ``Out(3)``
        ``ReadMaster.error``.
    invalid : ``Out(1)``
        A byte above 242 was read. It stays high until ``clear``.
    too_long : ``Out(1)``
        ``TileBuffer.too_long``.
    clear : ``In(1)``
        Forget ``error`` and ``invalid``.
    """

    def __init__(self, layout: WeightLayout, *, buffer_beats: int, address_width: int,
                 max_burst: int, outstanding: int, timeout: int = 4096) -> None:
        self.layout = layout
        self.buffer_beats = buffer_beats
        self._port: dict[str, Any] = {
            "address_width": address_width, "word_bytes": layout.word_bytes,
            "max_burst": max_burst, "outstanding": outstanding, "count_width": COUNT_WIDTH,
            "timeout": timeout,
        }
        request = request_layout(address_width, layout.word_bytes, COUNT_WIDTH)
        super().__init__({
            "i_request": In(stream.Signature(request)),
            "i_tile": In(stream.Signature(buffer_tile_layout(BEATS_WIDTH, REPEATS_WIDTH))),
            "o": Out(stream.Signature(index_layout(layout.parameters))),
            "axi": Out(read_signature(address_width, layout.word_bytes)),
            "error": Out(3), "invalid": Out(1), "too_long": Out(1), "clear": In(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.master = master = ReadMaster(**self._port)
        m.submodules.unpacker = unpacker = Unpacker(self.layout)
        m.submodules.buffer = buffer = TileBuffer(
            width=self.o.p.shape().size, depth=self.buffer_beats,
            beats_width=BEATS_WIDTH, repeats_width=REPEATS_WIDTH)
        connect(m, wiring.flipped(self.i_request), master.i_request)
        connect(m, wiring.flipped(self.i_tile), buffer.i_tile)
        connect(m, master.axi, wiring.flipped(self.axi))
        connect(m, master.o, unpacker.i)
        m.d.comb += [
            buffer.i.p.eq(unpacker.o.p),
            buffer.i.valid.eq(unpacker.o.valid),
            unpacker.o.ready.eq(buffer.i.ready),
            self.o.p.eq(buffer.o.p),
            self.o.valid.eq(buffer.o.valid),
            buffer.o.ready.eq(self.o.ready),
            self.error.eq(master.error),
            master.clear.eq(self.clear),
            self.too_long.eq(buffer.too_long),
        ]
        with m.If(self.clear):
            m.d.sync += self.invalid.eq(0)
        with m.Elif(unpacker.invalid):
            m.d.sync += self.invalid.eq(1)

        return m
