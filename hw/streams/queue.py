"""Queues of beats, each with a stream at both of its ends."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, ShapeCastable, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from ..component import Component

__all__ = ["BlockRamQueue", "LutRamQueue", "StreamQueue", "queue_before", "queue_behind"]


class StreamQueue(Component):
    """A queue of ``depth`` beats: the oldest one in a register, the others in LUT RAM.

    A beat can be taken one cycle after it came. ``i.ready`` and ``o`` are registers.

    Parameters
    ----------
    shape : ShapeLike
        The shape of a beat, which is not a signed integer.
    depth : int
        The number of beats that it holds.

    Members
    -------
    i : ``In(stream.Signature(shape))``
        Beats that come. A beat that is valid while the queue is full is not taken.
    o : ``Out(stream.Signature(shape))``
        The same beats in the same order. Once valid, it holds its payload until it is taken.

    Attributes
    ----------
    level : Signal
        The number of beats that it holds now.

    Raises
    ------
    ValueError
        ``depth`` is not a positive integer.
    """

    def __init__(self, shape: ShapeLike, depth: int = 2) -> None:
        _check_depth(depth)
        self.width = Shape.cast(shape).width
        self.depth = depth
        self.level = Signal(range(depth + 1))
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        i, o, level = self.i, self.o, self.level
        puts, takes, free, waits = Signal(), Signal(), Signal(), Signal()
        has_room = Signal(init=1)
        m.d.comb += [
            i.ready.eq(has_room), puts.eq(i.valid & i.ready), takes.eq(o.valid & o.ready),
            free.eq(~o.valid | o.ready), waits.eq(level > 1),   # behind the oldest one
        ]
        _count(m, level, puts, takes)
        m.d.sync += [
            o.valid.eq(self._will_differ(puts, takes, 0)),
            has_room.eq(self._will_differ(puts, takes, self.depth)),
        ]
        oldest = Signal(self.width, reset_less=True)
        m.d.comb += Value.cast(o.p).eq(oldest)
        waiting = self._waiting(m, puts, free, waits)
        with m.If(free):
            m.d.sync += oldest.eq(Mux(waits, waiting, Value.cast(i.p)))
        return m

    def _will_differ(self, puts: Value, takes: Value, count: int) -> Value:
        """``level`` will not be ``count``: ``puts`` and ``takes``, which come late, only choose."""
        level, whole = self.level, 1 << len(self.level)
        return Mux(puts == takes, level != count,
                   Mux(puts, level != (count - 1) % whole, level != (count + 1) % whole))

    def _waiting(self, m: Module, puts: Signal, free: Signal, waits: Signal) -> Value:
        """What follows the oldest beat, if there is one more."""
        come = Value.cast(self.i.p)
        if self.depth <= 2:
            waiting = Signal(self.width, reset_less=True)
            with m.If(puts):
                m.d.sync += waiting.eq(come)
            return waiting
        places = self.depth - 1
        m.submodules.storage = storage = Memory(shape=self.width, depth=places, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [write.data.eq(come), write.en.eq(puts)]
        # A beat that goes to the register at once leaves its place to the next one.
        for address, moves in ((write.addr, puts & ~(free & ~waits)), (read.addr, free & waits)):
            _step(m, address, moves, places)
        return read.data


class LutRamQueue(SyncFIFO):
    """A ``StreamQueue`` whose beats are all in LUT RAM: no enable fans out to each of their bits.

    It is for wide beats that go to a port, where no logic follows: the output comes later in its
    cycle than that of a register.
    """

    def __init__(self, shape: ShapeLike, depth: int = 2) -> None:
        _check_depth(depth)
        super().__init__(width=Shape.cast(shape).width, depth=depth)
        signature = stream.Signature(shape)
        self.i, self.o = signature.flip().create(), signature.create()
        self.i.payload, self.i.valid, self.i.ready = _of(shape, self.w_data), self.w_en, self.w_rdy
        self.o.payload, self.o.valid, self.o.ready = _of(shape, self.r_data), self.r_rdy, self.r_en


class BlockRamQueue(Component):
    """A ``StreamQueue`` whose beats may lie in block RAM: they can be taken two cycles later.

    Two of its beats, if there are so many, are in the block RAM's output and in a register behind
    it, which a block RAM has; ``o`` is that register.

    The parameters, members and errors are those of ``StreamQueue``; a ``depth`` below 4 is 4.
    """

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        _check_depth(depth)
        self.width = Shape.cast(shape).width
        self.depth = max(depth, 4)   # with two places at least, a beat per cycle finds one
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        i, o, places = self.i, self.o, self.depth - 2
        m.submodules.storage = storage = Memory(shape=self.width, depth=places, init=[])
        write, read = storage.write_port(), storage.read_port()
        level = Signal(range(places + 1))
        has_room, filled = Signal(init=1), Signal()   # of ``level``, as registers
        came = Signal()   # the block RAM's output is a beat
        puts, reads, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            i.ready.eq(has_room), puts.eq(i.valid & i.ready),
            write.data.eq(Value.cast(i.p)), write.en.eq(puts),
            moves.eq(~o.valid | o.ready), reads.eq(filled & (~came | moves)),
            read.en.eq(reads),
        ]
        _count(m, level, puts, reads)
        m.d.sync += [
            has_room.eq(Mux(puts, reads | (level != places - 1), reads | (level != places))),
            filled.eq(Mux(reads, puts | (level != 1), puts | (level != 0))),
            came.eq(reads | (came & ~moves)),
        ]
        newest = Signal(self.width, reset_less=True)
        m.d.comb += Value.cast(o.p).eq(newest)
        with m.If(moves):
            m.d.sync += [newest.eq(read.data), o.valid.eq(came)]
        for address, steps in ((write.addr, puts), (read.addr, reads)):
            _step(m, address, steps, places)
        return m


def _of(shape: ShapeLike, bits: Value) -> Value:
    """``bits`` as a value of ``shape``."""
    return shape(bits) if isinstance(shape, ShapeCastable) else bits


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


def _check_depth(depth: int) -> None:
    if not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth of a queue must be a positive integer, not {depth!r}")


def _count(m: Module, level: Signal, puts: Value, takes: Value) -> None:
    """Let ``level`` follow what is put and taken, which come late: no addition waits for them."""
    with m.If(puts & ~takes):
        m.d.sync += level.eq(level + 1)
    with m.If(takes & ~puts):
        m.d.sync += level.eq(level - 1)


def _step(m: Module, address: Signal, steps: Value, places: int) -> None:
    """Let ``address`` go around ``places`` from 0 on, a step in each cycle with ``steps``."""
    place = Signal(range(places))
    m.d.comb += address.eq(place)
    with m.If(steps):
        m.d.sync += place.eq(Mux(place == places - 1, 0, place + 1))
