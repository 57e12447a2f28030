"""The edge of a pipeline that never stops: a queue with a place for every result under way."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..component import Component
from .queue import StreamQueue

__all__ = ["CreditQueue"]


class CreditQueue(Component):
    """Turn the results of a pipeline into a stream that may stall.

    Operands may only enter the pipeline while ``ready``: then the queue has a place for their
    result that nothing else will take. So the pipeline need not stop when ``o`` is not taken; no
    clock enable reaches it, and no path leads from ``o.ready`` to where operands enter.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a result.
    latency : int
        Cycles after which a result comes.
    depth : int, optional
        Places of the queue; by default as many as one result per cycle takes.

    Members
    -------
    ready : ``Out(1)``
        Operands may enter. It depends on registers only.
    enter : ``In(1)``
        Operands enter the pipeline in this cycle. It may be high only while ``ready``.
    i : ``In(shape)``
        The pipeline's result, ``latency`` cycles after its operands.
    o : ``Out(stream.Signature(shape))``
        The results in order. Once valid, it holds its payload until it is taken. A result can be
        taken one cycle after it has come.
    """

    def __init__(self, shape: ShapeLike, latency: int, depth: int | None = None) -> None:
        self.shape = shape
        self.latency = latency
        self.depth = latency + 2 if depth is None else depth
        # What the proof of ``tests/formal`` names: places that are spoken for, entries that are
        # under way to the queue, and the queue.
        self.reserved = Signal(range(self.depth + 1))
        self.under_way = Signal(latency)
        self.queue = StreamQueue(shape, self.depth)
        super().__init__({
            "ready": Out(1), "enter": In(1), "i": In(shape), "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()

        reserved = self.reserved
        m.d.comb += self.ready.eq(reserved != self.depth)
        m.d.sync += reserved.eq(reserved + self.enter - (self.o.valid & self.o.ready))

        comes = self.enter
        if self.latency:
            m.d.sync += self.under_way.eq(Cat(self.enter, self.under_way))
            comes = self.under_way[-1]

        m.submodules.queue = queue = self.queue
        m.d.comb += [queue.i.p.eq(self.i), queue.i.valid.eq(comes)]
        connect(m, queue.o, flipped(self.o))
        return m
