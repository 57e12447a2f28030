"""One stream for several readers."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

__all__ = ["StreamFork"]


class StreamFork(wiring.Component):
    """Give every beat of ``i`` to each of several readers, each at its own pace.

    A reader may be ``depth`` beats behind the fastest. A beat can be read one cycle after it came.
    ``i.ready`` depends on registers only.

    Parameters
    ----------
    shape : ShapeLike
        Of a beat.
    readers : int
        How many.
    depth : int
        Beats that wait for a reader.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape)).array(readers)``
    """

    def __init__(self, shape: ShapeLike, readers: int, depth: int) -> None:
        self.shape = shape
        self.readers = readers
        self.depth = depth
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)).array(readers),
        })

    def elaborate(self, platform):
        m = Module()
        room = 1
        for number in range(self.readers):
            m.submodules[f"queue_{number}"] = queue = SyncFIFO(
                width=Shape.cast(self.shape).width, depth=self.depth)
            room = room & queue.w_rdy
            m.d.comb += [
                queue.w_data.eq(self.i.p),
                queue.w_en.eq(self.i.valid & self.i.ready),
                self.o[number].p.eq(queue.r_data),
                self.o[number].valid.eq(queue.r_rdy),
                queue.r_en.eq(self.o[number].ready),
            ]
        m.d.comb += self.i.ready.eq(room)
        return m
