"""How the memory accesses of a master end that is reset in the middle of them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..streams.queue import LutRamQueue, StreamQueue
from .axi import read_signature, write_signature

__all__ = ["PortDrain"]

_ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")


class PortDrain(Component):
    """Between a master and memory: after ``abort``, hold the master in reset until all has ended.

    AXI takes nothing back: an address that was offered stays, data that were asked for come, and
    a burst that was announced is written. While ``aborting``, addresses taken from the master are
    still passed on, words read are dropped, and words owed to writes go out without a byte strobe
    so that memory keeps what it has. Otherwise everything passes, addresses and written
    words a cycle later. If memory never answers, ``aborting`` stays.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.
    word_bytes : int
        Bytes of a memory word.
    outstanding : int
        Most bursts of each direction whose last answer has not come.

    Members
    -------
    i_read, i_write : ``In(read_signature(...))``, ``In(write_signature(...))``
        The master.
    o_read, o_write : ``Out(...)``
        Memory.
    abort : ``In(1)``
        It is high for one cycle or longer.
    aborting : ``Out(1)``
        Reset the master in this cycle.
    """

    def __init__(self, *, address_width: int, word_bytes: int, outstanding: int = 16) -> None:
        if not isinstance(outstanding, int) or outstanding < 1:
            raise ValueError(f"outstanding must be a positive integer, not {outstanding!r}")
        self.outstanding = outstanding
        read, write = (signature(address_width, word_bytes)
                       for signature in (read_signature, write_signature))
        super().__init__({"i_read": In(read), "i_write": In(write), "o_read": Out(read),
                          "o_write": Out(write), "abort": In(1), "aborting": Out(1)})

    def elaborate(self, platform):
        m = Module()
        reads_end = self._reads(m)
        writes_end = self._writes(m)
        with m.If(self.abort):
            m.d.sync += self.aborting.eq(1)
        with m.Elif(reads_end & writes_end):
            m.d.sync += self.aborting.eq(0)
        return m

    def _addresses(self, m: Module, channel: str, inner, outer, room: Signal,
                   ) -> Signal:
        """Pass addresses through a queue that no abort empties; whether one is taken."""
        fields = [getattr(inner, channel + name) for name in _ADDRESS]
        m.submodules[channel] = queue = StreamQueue(sum(map(len, fields)))
        valid, ready = (getattr(inner, channel + name) for name in ("valid", "ready"))
        taken = Signal(name=f"{channel}_taken")
        m.d.comb += [
            ready.eq(queue.i.ready & room & ~self.aborting), taken.eq(valid & ready),
            queue.i.p.eq(Cat(fields)), queue.i.valid.eq(taken),
            Cat(getattr(outer, channel + name) for name in _ADDRESS).eq(queue.o.p),
            getattr(outer, channel + "valid").eq(queue.o.valid),
            queue.o.ready.eq(getattr(outer, channel + "ready")),
        ]
        return taken

    def _pending(self, m: Module, name: str, begins: Value, ends: Value) -> Signal:
        """Bursts that have begun and not ended."""
        pending = Signal(range(self.outstanding + 1), name=name)
        m.d.sync += pending.eq(pending + begins - ends)
        return pending

    def _reads(self, m: Module) -> Value:
        inner, outer = self.i_read, self.o_read
        room, ends = Signal(), Signal()
        taken = self._addresses(m, "ar", inner, outer, room)
        pending = self._pending(m, "reads", taken, ends)
        m.d.comb += [
            room.eq(pending != self.outstanding),
            ends.eq(outer.rvalid & outer.rready & outer.rlast),
            inner.rvalid.eq(outer.rvalid & ~self.aborting),
            outer.rready.eq(inner.rready | self.aborting),
            *(getattr(inner, name).eq(getattr(outer, name))
              for name in ("rid", "rdata", "rresp", "rlast")),
        ]
        return pending == 0

    def _writes(self, m: Module) -> Value:
        inner, outer = self.i_write, self.o_write
        room, ends, beat_ends = Signal(), Signal(), Signal()
        taken = self._addresses(m, "aw", inner, outer, room)
        pending = self._pending(m, "writes", taken, ends)
        m.submodules.lengths = lengths = StreamQueue(8, self.outstanding)
        m.submodules.words = words = LutRamQueue(len(inner.wdata) + len(inner.wstrb) + 1)
        beat = Signal(8)
        moves, last = Signal(), Signal()
        strobe = Signal.like(inner.wstrb)
        m.d.comb += [
            room.eq((pending != self.outstanding) & lengths.i.ready),
            lengths.i.valid.eq(taken), lengths.i.p.eq(inner.awlen),
            last.eq(beat == lengths.o.p),
            inner.wready.eq(lengths.o.valid & words.i.ready & ~self.aborting),
            moves.eq(lengths.o.valid & words.i.ready & (inner.wvalid | self.aborting)),
            words.i.valid.eq(moves), words.i.p.eq(Cat(inner.wdata, strobe, last)),
            beat_ends.eq(moves & last), lengths.o.ready.eq(beat_ends),
            Cat(outer.wdata, outer.wstrb, outer.wlast).eq(words.o.p),
            outer.wvalid.eq(words.o.valid), words.o.ready.eq(outer.wready),
            ends.eq(outer.bvalid & outer.bready),
            inner.bvalid.eq(outer.bvalid & ~self.aborting),
            outer.bready.eq(inner.bready | self.aborting),
            inner.bid.eq(outer.bid), inner.bresp.eq(outer.bresp),
        ]
        with m.If(~self.aborting):
            m.d.comb += strobe.eq(inner.wstrb)
        with m.If(moves):
            m.d.sync += beat.eq(beat + 1)
        with m.If(beat_ends):
            m.d.sync += beat.eq(0)
        return pending == 0
