"""External memory behind an AXI4 port, with the timing of DRAM, as a testbench component."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In

from ....hw.component import Component
from ....hw.memory.axi import Response, read_signature, write_signature
from ...descriptions.ddr_timing import DdrTiming
from .ram import Ram

__all__ = ["DdrModel"]


class DdrModel(Component):
    """A memory that answers bursts in the order of their addresses, each direction for itself.

    Latencies of queued bursts overlap, so a master that keeps enough bursts outstanding gets
    ``timing.share`` words per cycle. A direction keeps the memory for a whole burst, unless it
    has nothing to move and the other one has. Words beyond the end answer DECERR: reads give 0,
    writes are dropped. Addresses are aligned to words, bursts incrementing.

    Parameters
    ----------
    depth : int
        Words. Put them in through ``i_load``, before anything is read.
    word_bytes, address_width : int
        Shape of the port.
    timing : DdrTiming
        Speed.

    Members
    -------
    read : ``In(read_signature(address_width, word_bytes))``
    write : ``In(write_signature(address_width, word_bytes))``
    i_load : ``In(stream.Signature(...))``
        ``data`` for word number ``word``: writes without delay, always ready.
    """

    def __init__(self, *, depth: int, word_bytes: int, address_width: int,
                 timing: DdrTiming) -> None:
        self.depth = depth
        self.word_bytes = word_bytes
        self.timing = timing
        super().__init__({
            "read": In(read_signature(address_width, word_bytes)),
            "write": In(write_signature(address_width, word_bytes)),
            "i_load": In(stream.Signature(self.load_layout(depth, word_bytes))),
        })

    @staticmethod
    def load_layout(depth: int, word_bytes: int) -> data.StructLayout:
        """Layout of ``i_load``."""
        return data.StructLayout({"data": 8 * word_bytes, "word": range(depth)})

    def elaborate(self, platform):
        m = Module()
        timing = self.timing

        m.submodules.ram = ram = Ram(depth=self.depth, word_bytes=self.word_bytes)
        now = Signal(40)
        m.d.sync += now.eq(now + 1)
        reads = self._addresses(m, "ar", self.read, now)
        writes = self._addresses(m, "aw", self.write, now)
        out = self.read
        m.submodules.given = given = SyncFIFO(width=8 * self.word_bytes + 3, depth=2)
        m.submodules.written = written = SyncFIFO(width=8 * self.word_bytes + self.word_bytes,
                                                  depth=4)
        m.submodules.acknowledged = acknowledged = SyncFIFO(width=2 + len(now), depth=timing.queue)

        # Who moves a word in this cycle.
        moves = self._turns(
            m, allowed=self._bandwidth(m),
            wanted=[reads.due & given.w_rdy, writes.due & written.r_rdy & acknowledged.w_rdy],
            ends=[reads.ends, writes.ends])
        m.d.comb += [reads.advance.eq(moves[0]), writes.advance.eq(moves[1])]

        m.d.comb += [
            ram.read_word.eq(reads.word),
            given.w_en.eq(moves[0]),
            given.w_data.eq(Cat(
                Mux(reads.exists, ram.read_data, 0),
                Mux(reads.exists, Response.OKAY, Response.DECERR), reads.ends)),
            Cat(out.rdata, out.rresp, out.rlast).eq(given.r_data),
            out.rid.eq(0),
            out.rvalid.eq(given.r_rdy),
            given.r_en.eq(out.rready),
        ]

        refused = Signal()
        response = Mux(refused | ~writes.exists, Response.DECERR, Response.OKAY)
        written_data, strobe = written.r_data[:8 * self.word_bytes], written.r_data[
            8 * self.word_bytes:]
        m.d.comb += [
            written.w_data.eq(Cat(self.write.wdata, self.write.wstrb)),
            written.w_en.eq(self.write.wvalid),
            self.write.wready.eq(written.w_rdy),
            written.r_en.eq(moves[1]),
            ram.write_word.eq(writes.word),
            ram.write_data.eq(written_data),
            ram.write_strobe.eq(Mux(moves[1] & writes.exists, strobe, 0)),
            acknowledged.w_en.eq(moves[1] & writes.ends),
            acknowledged.w_data.eq(Cat(response, now + timing.latency)),
            self.write.bid.eq(0),
            self.write.bresp.eq(acknowledged.r_data[:2]),
            self.write.bvalid.eq(acknowledged.r_rdy & (acknowledged.r_data[2:] <= now)),
            acknowledged.r_en.eq(self.write.bvalid & self.write.bready),
        ]
        with m.If(moves[1]):
            m.d.sync += refused.eq((refused | ~writes.exists) & ~writes.ends)

        m.d.comb += self.i_load.ready.eq(1)
        with m.If(self.i_load.valid):
            m.d.comb += [
                ram.write_word.eq(self.i_load.p.word),
                ram.write_data.eq(self.i_load.p.data),
                ram.write_strobe.eq(~0),
            ]

        return m

    def _addresses(self, m: Module, name: str, port, now: Signal) -> _Burst:
        """The queue of an address channel, and the word that its oldest burst is at."""
        shift = self.word_bytes.bit_length() - 1
        address = getattr(port, f"{name}addr")[shift:]
        layout = data.StructLayout({"word": len(address), "more": 8, "due": len(now)})
        m.submodules[name] = queue = SyncFIFO(width=layout.size, depth=self.timing.queue)
        burst = _Burst(name, layout)
        beat = Signal(8, name=f"{name}_beat")
        word = Signal(len(address) + 1, name=f"{name}_word")
        m.d.comb += [
            getattr(port, f"{name}ready").eq(queue.w_rdy),
            queue.w_en.eq(getattr(port, f"{name}valid")),
            queue.w_data.eq(Cat(address, getattr(port, f"{name}len"),
                                (now + self.timing.latency - 1)[:len(now)])),
            burst.head.eq(queue.r_data),
            word.eq(burst.head.word + beat),
            burst.word.eq(word),
            burst.exists.eq(word < self.depth),
            burst.due.eq(queue.r_rdy & (burst.head.due <= now)),
            burst.ends.eq(beat == burst.head.more),
            queue.r_en.eq(burst.advance & burst.ends),
        ]
        with m.If(burst.advance):
            m.d.sync += beat.eq(Mux(burst.ends, 0, beat + 1))
        return burst

    def _bandwidth(self, m: Module) -> _Budget:
        """Whether a word may move in this cycle: refresh, and a bucket of words not used yet."""
        timing = self.timing
        budget = _Budget()
        saved = Signal(range(2 * timing.per_cycles + 1))
        available = Signal(range(3 * timing.per_cycles + 1))
        m.d.comb += available.eq(saved + timing.words)
        with m.If(budget.spent):
            m.d.sync += saved.eq(available - timing.per_cycles)
        with m.Elif(available > timing.per_cycles):
            m.d.sync += saved.eq(timing.per_cycles)
        with m.Else():
            m.d.sync += saved.eq(available)
        refreshing = Signal()
        if timing.refresh_cycles:
            phase = Signal(range(timing.refresh_interval))
            m.d.sync += phase.eq(Mux(phase == timing.refresh_interval - 1, 0, phase + 1))
            m.d.comb += refreshing.eq(phase >= timing.refresh_interval - timing.refresh_cycles)
        m.d.comb += budget.allowed.eq((available >= timing.per_cycles) & ~refreshing)
        return budget

    def _turns(self, m: Module, *, allowed: _Budget, wanted: list, ends: list) -> list[Signal]:
        """Which direction moves a word: 0 reads, 1 writes; it changes between bursts."""
        direction = Signal()
        between = Signal(init=1)
        turning = Signal(range(self.timing.turnaround + 1))
        moves = [Signal(name="read_moves"), Signal(name="write_moves")]
        wants = Signal(2)
        m.d.comb += [wants.eq(Cat(wanted)), allowed.spent.eq(moves[0] | moves[1])]
        mine, other = wants.bit_select(direction, 1), wants.bit_select(~direction, 1)
        with m.If(turning != 0):
            m.d.sync += turning.eq(turning - 1)
        with m.Elif(other & (between | ~mine)):
            m.d.sync += [direction.eq(~direction), turning.eq(self.timing.turnaround - 1),
                         between.eq(0)]
        with m.Elif(mine & allowed.allowed):
            m.d.comb += [moves[0].eq(~direction), moves[1].eq(direction)]
            m.d.sync += between.eq(Mux(direction, ends[1], ends[0]))
        return moves


class _Burst:
    """The oldest burst of a direction: signals between the queue and the rest."""

    def __init__(self, name: str, layout: data.StructLayout) -> None:
        self.head = Signal(layout, name=f"{name}_head")
        self.word = Signal(layout["word"].shape, name=f"{name}_place")
        self.exists = Signal(name=f"{name}_exists")     # the word is within the memory
        self.due = Signal(name=f"{name}_due")           # its latency has passed
        self.ends = Signal(name=f"{name}_ends")         # the word is the burst's last one
        self.advance = Signal(name=f"{name}_advance")   # the word moves in this cycle


class _Budget:
    """The permission to move a word, and whether it was used."""

    def __init__(self) -> None:
        self.allowed = Signal(name="word_allowed")
        self.spent = Signal(name="word_spent")
