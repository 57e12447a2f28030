"""Queues of beats, each with a stream at both of its ends."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, ShapeCastable, ShapeLike, Value
from amaranth.lib import stream
from amaranth.lib.fifo import FIFOInterface, SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import connect, flipped

__all__ = ["BlockRamQueue", "StreamQueue", "queue_before", "queue_behind"]


class _BetweenStreams(FIFOInterface):
    """The two ends of a FIFO as streams of ``shape``, which are the FIFO's own signals."""

    def __init__(self, shape: ShapeLike, depth: int = 2) -> None:
        super().__init__(width=Shape.cast(shape).width, depth=depth)
        signature = stream.Signature(shape)
        self.i, self.o = signature.flip().create(), signature.create()
        self.i.payload, self.i.valid, self.i.ready = _of(shape, self.w_data), self.w_en, self.w_rdy
        self.o.payload, self.o.valid, self.o.ready = _of(shape, self.r_data), self.r_rdy, self.r_en


class StreamQueue(_BetweenStreams, SyncFIFO):
    """A queue of ``depth`` beats in registers or LUT RAM.

    A beat can be taken one cycle after it came. ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : ShapeLike
        The shape of a beat, which is not a signed integer.
    depth : int
        The number of beats that it holds.

    Attributes
    ----------
    i : ``In(stream.Signature(shape))``
        Beats that come. A beat that is valid while the queue is full is not taken.
    o : ``Out(stream.Signature(shape))``
        The same beats in the same order. Once valid, it holds its payload until it is taken.
    """


class BlockRamQueue(_BetweenStreams, SyncFIFOBuffered):
    """A ``StreamQueue`` whose beats may lie in block RAM: they can be taken a cycle later."""


def queue_before(m: Module, name: str, port: stream.Interface, depth: int = 2) -> StreamQueue:
    """Add a queue of ``depth`` beats to ``m`` that feeds the output stream ``port``.

    The queue is to be filled through its ``i``. Who fills several streams at once waits until all
    of their queues are ready, whatever the readers do.
    """
    m.submodules[name] = queue = StreamQueue(port.p.shape(), depth)
    connect(m, queue.o, flipped(port))
    return queue


def queue_behind(m: Module, name: str, port: stream.Interface, depth: int = 2) -> StreamQueue:
    """Add a queue of ``depth`` beats to ``m`` that takes what comes on the input stream ``port``.

    So ``port.ready`` depends on registers only, whenever the queue's ``o`` is taken.
    """
    m.submodules[name] = queue = StreamQueue(port.p.shape(), depth)
    connect(m, flipped(port), queue.i)
    return queue


def _of(shape: ShapeLike, bits: Value) -> Value:
    """``bits`` as a value of ``shape``."""
    return shape(bits) if isinstance(shape, ShapeCastable) else bits
