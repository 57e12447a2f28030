"""One stream for several readers."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .queue import queue_before

__all__ = ["StreamFork", "give_to_each"]


def give_to_each(m: Module, source: stream.Interface, sinks: Sequence[stream.Interface]) -> None:
    """Give every beat of ``source`` to each of ``sinks``, to each when it takes it.

    No valid depends on a ready. The beat is taken from ``source`` with the last one of them.
    """
    rest = []
    for sink in sinks:
        has_it, takes = Signal(name="has_it"), Signal(name="takes")
        m.d.comb += [sink.p.eq(source.p), sink.valid.eq(source.valid & ~has_it),
                     takes.eq(has_it | sink.ready)]
        m.d.sync += has_it.eq(source.valid & takes & ~source.ready)
        rest.append(takes)
    m.d.comb += source.ready.eq(Cat(rest).all())


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
