"""A controller of one SDR SDRAM, whose clock is twice that of the logic."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import ceil

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.shifting import delay
from ..streams.credits import CreditQueue
from ..streams.queue import queue_behind
from .write_master import written_layout

__all__ = ["WORD_BYTES", "Command", "SdramController", "SdramGeometry", "SdramTiming",
           "read_beat_layout", "sdram_bus", "sdram_request_layout"]

WORD_BYTES = 4   # two columns of 16 bits: what the chip moves in a cycle of the logic
MOST_DELAY = 7   # half cycles by which data may come later than they do at the earliest
_MOST_CYCLES = (MOST_DELAY + 1) // 2


class Command(enum.IntEnum):
    """RAS, CAS and WE, as they are low: bit 2 to bit 0."""

    NONE = 0b000
    WRITE = 0b011
    READ = 0b010
    ACTIVATE = 0b100
    PRECHARGE = 0b101
    REFRESH = 0b110
    MODE = 0b111


@dataclass(frozen=True)
class SdramGeometry:
    """Bits of an address in a chip of 16 data bits: W9825G6KH, IS42S16160 and alike by default."""

    columns: int = 9
    banks: int = 2
    rows: int = 13

    @property
    def word_bits(self) -> int:
        """Bits of the number of a word: row, bank, half of the column."""
        return self.rows + self.banks + self.columns - 1


@dataclass(frozen=True)
class SdramTiming:
    """Times in cycles of the logic, each at least what the chip needs.

    The defaults hold at 50 MHz, a chip's clock of 100 MHz, for chips of speed grade 7 or faster
    (W9825G6KH-6, IS42S16160G-7, MT48LC16M16A2-7E): tRP, tRCD <= 20 ns, tRAS <= 45 ns, tRC and tRFC
    <= 66 ns, tMRD 2 clocks, tWR 2 clocks, 8,192 refreshes in 64 ms, 200 us before the first
    command. A row is closed, and opened, in one cycle each, so that the logic has 50 MHz at most.
    """

    startup: int = 10_000
    refresh_interval: int = 380   # some less than 390: a burst's row may have to be closed first
    refresh: int = 4              # from REFRESH to the next command
    active: int = 3               # from ACTIVATE to PRECHARGE
    recovery: int = 2             # from READ or WRITE to PRECHARGE
    turnaround: int = 4           # from READ to WRITE: the chip must have left the bus

    @classmethod
    def at(cls, hertz: float) -> SdramTiming:
        """Those of such chips at another clock of the logic.

        Raises
        ------
        ValueError
            It is faster than 50 MHz.
        """
        if not 0 < hertz <= 50e6:
            raise ValueError(f"The SDRAM's controller has a clock of at most 50 MHz, not "
                             f"{hertz / 1e6:g}")

        def cycles(seconds: float) -> int:
            return ceil(round(seconds * hertz, 6))

        return cls(startup=cycles(200e-6), refresh_interval=int(7.6e-6 * hertz),
                   refresh=cycles(66e-9), active=max(cycles(45e-9), cycles(66e-9) - 1))


def sdram_request_layout(geometry: SdramGeometry) -> data.StructLayout:
    """``more + 1`` words from number ``word`` on, to be read or written; reads carry ``tag``."""
    return data.StructLayout({"word": geometry.word_bits, "more": 8, "write": 1, "tag": 1})


def read_beat_layout() -> data.StructLayout:
    """A word that was read, the tag of its request, and whether it is the last one."""
    return data.StructLayout({"data": 8 * WORD_BYTES, "tag": 1, "last": 1})


def sdram_bus(geometry: SdramGeometry) -> wiring.Signature:
    """What a cycle of the logic brings to the chip, as the controller drives it.

    ``command`` is given in the first of the two clocks of the cycle, none in the second. ``dq_o``
    and ``dq_i`` have the first clock's 16 bits below, ``mask`` the bytes that are not written.
    """
    return wiring.Signature({
        "command": Out(3), "bank": Out(geometry.banks), "address": Out(geometry.rows),
        "dq_o": Out(32), "dq_oe": Out(1), "mask": Out(4), "dq_i": In(32),
    })


class SdramController(Component):
    """Bursts of words to and from one SDR SDRAM: a word per cycle while they stay in a row.

    The chip runs at twice the clock of the logic, with bursts of two columns: a command moves a
    word, and one command is given per cycle. Rows stay open, one in each bank, until another row
    of their bank is wanted or the chip is refreshed; to open one takes two cycles, three where
    another one is open. Requests are done in order. Words of consecutive numbers lie in a row of
    each bank in turn.

    Members
    -------
    i : ``In(stream.Signature(sdram_request_layout(geometry)))``
        Requests.
    i_data : ``In(stream.Signature(written_layout(4)))``
        The words of the requests that write, in order. It is taken when the chip takes it.
    o : ``Out(stream.Signature(read_beat_layout()))``
        What was read. It may stall.
    i_delay : ``In(range(MOST_DELAY + 1))``
        Half cycles by which the data come later than after ``read_latency``: that depends on pads.
    bus : ``Out(sdram_bus(geometry))``
        The chip. All outputs are registers.

    Attributes
    ----------
    read_latency : int
        Cycles from a READ on ``bus`` to its data in ``dq_i`` at the earliest: one to the pad's
        register, three clocks of CAS latency and half a one, since the chip's clock comes late, and
        one in the pad's register: 4.
    """

    read_latency = 4
    _mode = 0b000_0_00_011_0_001   # CAS latency 3, sequential, bursts of two

    def __init__(self, geometry: SdramGeometry | None = None,
                 timing: SdramTiming | None = None) -> None:
        self.geometry = geometry or SdramGeometry()
        self.timing = timing or SdramTiming()
        super().__init__({
            "i": In(stream.Signature(sdram_request_layout(self.geometry))),
            "i_data": In(stream.Signature(written_layout(WORD_BYTES))),
            "o": Out(stream.Signature(read_beat_layout())),
            "i_delay": In(range(MOST_DELAY + 1)), "bus": Out(sdram_bus(self.geometry)),
        })

    def elaborate(self, platform):
        m = Module()
        requests = queue_behind(m, "requests", self.i)
        self._read_back(m)
        self._count(m)

        # The word that is next: its row is looked up in the cycle in which it is used.
        request = requests.o.p
        beat = Signal(8)
        word = Signal(self.geometry.word_bits)
        m.d.comb += word.eq(request.word + beat)
        half = self.geometry.columns - 1
        self._column = Cat(0, word[:half])
        self._bank = word[half:half + self.geometry.banks]
        self._row = word[half + self.geometry.banks:]
        self._open = Signal(1 << self.geometry.banks)
        self._rows = Signal(data.ArrayLayout(self.geometry.rows, 1 << self.geometry.banks))
        moves, last = Signal(), Signal()
        m.d.comb += [last.eq(beat == request.more), requests.o.ready.eq(moves & last)]
        with m.If(moves):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        m.d.comb += [self._results.i.tag.eq(self._delayed(m, request.tag, "tag")),
                     self._results.i.last.eq(self._delayed(m, last, "last"))]

        bus = self.bus
        m.d.sync += [bus.command.eq(Command.NONE), bus.dq_oe.eq(0), bus.mask.eq(0),
                     bus.bank.eq(self._bank)]
        with m.FSM():
            self._initialize(m)
            with m.State("run"):
                with m.If(self._due):
                    m.next = "close"
                with m.Elif(requests.o.valid):
                    self._advance(m, request.write, moves)
            with m.State("close"), m.If((self._active == 0) & (self._recovering == 0)):
                self._give(m, Command.PRECHARGE, 1 << 10)   # all banks
                m.d.sync += self._open.eq(0)
                m.next = "refresh"
            with m.State("refresh"):
                self._give(m, Command.REFRESH)
                m.d.comb += self._refreshed.eq(1)
                m.next = "refreshing"
            with m.State("refreshing"), m.If(self._wait == 0):
                m.next = "run"
        return m

    @property
    def _latency(self) -> int:
        """Cycles from the decision to read to the word at the queue: two more are registers."""
        return 1 + self.read_latency + _MOST_CYCLES

    def _delayed(self, m: Module, value: Value, name: str) -> Value:
        return delay(m, value, self._latency, name)

    def _read_back(self, m: Module) -> None:
        """The queue of what was read, and the data that come to it, whatever their delay."""
        m.submodules.results = self._results = results = CreditQueue(
            read_beat_layout(), self._latency)
        wiring.connect(m, results.o, wiring.flipped(self.o))
        came = [self.bus.dq_i]   # now, and up to so many cycles before
        for cycle in range(_MOST_CYCLES):
            came.append(delay(m, came[-1], 1, f"came_{cycle}"))
        taken = []
        for before in range(_MOST_CYCLES, 0, -1):   # whole cycles late, and a half more
            taken += [came[before], Cat(came[before][16:], came[before - 1][:16])]
        m.d.comb += results.i.data.eq(Array(taken)[self.i_delay])

    def _count(self, m: Module) -> None:
        """Counters of what must be waited for."""
        t = self.timing
        self._active, self._recovering = Signal(range(t.active + 1)), Signal(range(t.recovery + 1))
        self._reading, self._wait = Signal(range(t.turnaround + 1)), Signal(range(t.refresh + 1))
        for counter in (self._active, self._recovering, self._reading, self._wait):
            with m.If(counter != 0):
                m.d.sync += counter.eq(counter - 1)
        self._refreshed, self._due = Signal(), Signal()
        since = Signal(range(t.refresh_interval))
        with m.If(since == t.refresh_interval - 1):
            m.d.sync += [since.eq(0), self._due.eq(1)]
        with m.Else():
            m.d.sync += since.eq(since + 1)
        with m.If(self._refreshed):
            m.d.sync += [self._due.eq(0), self._wait.eq(t.refresh - 1)]

    def _give(self, m: Module, command: Command, address: Value | int = 0) -> None:
        m.d.sync += [self.bus.command.eq(command), self.bus.address.eq(address)]

    def _initialize(self, m: Module) -> None:
        """Power-up: wait, close all banks, refresh eight times, set the mode."""
        left = Signal(range(self.timing.startup), init=self.timing.startup - 1)
        refreshes = Signal(range(8))
        with m.State("start"):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.next = "close first"
        with m.State("close first"):
            self._give(m, Command.PRECHARGE, 1 << 10)
            m.next = "refresh first"
        with m.State("refresh first"), m.If(self._wait == 0):
            self._give(m, Command.REFRESH)
            m.d.comb += self._refreshed.eq(1)
            m.d.sync += refreshes.eq(refreshes + 1)
            with m.If(refreshes == 7):
                m.next = "mode"
        with m.State("mode"), m.If(self._wait == 0):
            self._give(m, Command.MODE, self._mode)
            m.d.sync += [self.bus.bank.eq(0), self._wait.eq(1)]
            m.next = "refreshing"

    def _advance(self, m: Module, write: Value, moves: Signal) -> None:
        """The next command of the request: move a word, or open its row."""
        t, bus = self.timing, self.bus
        is_open = self._open.bit_select(self._bank, 1)
        is_here = is_open & (self._rows[self._bank] == self._row)
        with m.If(is_here):
            with m.If(write & self.i_data.valid & (self._reading == 0)):
                self._give(m, Command.WRITE, self._column)
                m.d.comb += [moves.eq(1), self.i_data.ready.eq(1)]
                m.d.sync += [bus.dq_oe.eq(1), bus.mask.eq(~self.i_data.p.strobe),
                             bus.dq_o.eq(Cat(self.i_data.p.data))]
            with m.If(~write & self._results.ready):
                self._give(m, Command.READ, self._column)
                m.d.comb += [moves.eq(1), self._results.enter.eq(1)]
                m.d.sync += self._reading.eq(t.turnaround - 1)
            with m.If(moves):
                m.d.sync += self._recovering.eq(t.recovery - 1)
        with m.Elif(is_open), m.If((self._active == 0) & (self._recovering == 0)):
            self._give(m, Command.PRECHARGE)
            m.d.sync += self._open.bit_select(self._bank, 1).eq(0)
        with m.Else():
            self._give(m, Command.ACTIVATE, self._row)
            m.d.sync += [self._open.bit_select(self._bank, 1).eq(1),
                         self._rows[self._bank].eq(self._row), self._active.eq(t.active - 1)]
