"""One stream for several readers."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .queue import queue_before

__all__ = ["StreamFork"]


class StreamFork(Component):
    """Give every beat of ``i`` to each of several readers, each at its own pace.

    A reader may be ``depth`` beats behind the fastest. A beat can be read one cycle after it came.
    ``i.ready`` depends on registers only.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a beat.
    readers : int
        Number of readers.
    depth : int
        Number of beats that can wait for a reader.

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
            queue = queue_before(m, f"queue_{number}", self.o[number], self.depth)
            room = room & queue.i.ready
            m.d.comb += [queue.i.p.eq(self.i.p), queue.i.valid.eq(self.i.valid & self.i.ready)]
        m.d.comb += self.i.ready.eq(room)
        return m
