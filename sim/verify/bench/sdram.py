"""An SDR SDRAM at the bus of ``SdramController``, and the rules that the chip makes."""

from __future__ import annotations

import enum

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from ....hw.component import Component
from ....hw.floats.shifting import delay, delay_pulse
from ....hw.memory.sdram import Command, SdramController, SdramGeometry, sdram_bus
from .ram import Ram

__all__ = ["Broken", "SdramModel", "SdramRules"]

_SILENT = 0x5A5A_A5A5   # what the bus holds while nobody drives it


class Broken(enum.IntEnum):
    """The first rule of the chip that was broken."""

    NONE = 0
    POWER_UP = 1     # a command before eight refreshes and a mode
    CLOSED = 2       # READ or WRITE, and its bank has no open row
    OPEN = 3         # ACTIVATE, and the bank has an open row; REFRESH or MODE, and any bank has
    TOO_SOON = 4     # a command that its bank was not ready for
    BUS = 5          # data on the bus from both sides, or written from nowhere
    REFRESH = 6      # too long since the last refresh
    MODE = 7         # another mode than bursts of two with a CAS latency of three


class SdramRules(Component):
    """Watch a bus for commands that the chip does not allow.

    Times are in cycles of two of the chip's clocks, 20 ns: tRP = tRCD = 1, tRAS = 3, tRC = 4, tRFC
    = 4, tMRD = 1, tWR = 2, 390 cycles from refresh to refresh and as much again at most.

    Members
    -------
    bus : ``In(...)``
        Its signals, all as inputs.
    o_broken : ``Out(4)``
        The first of ``Broken``, from the cycle after it happened on.
    """

    def __init__(self, geometry: SdramGeometry) -> None:
        self.geometry = geometry
        bus = sdram_bus(geometry).members
        super().__init__({
            **{name: In(bus[name].shape)
               for name in ("command", "bank", "address", "dq_oe")}, "o_broken": Out(4)})

    def elaborate(self, platform):
        m = Module()
        banks = 1 << self.geometry.banks
        given = {command: self.command == command for command in Command}
        moves = given[Command.READ] | given[Command.WRITE]
        all_banks = self.address[10]

        # Since when: counters that stop at their end.
        def since(name: str, event: Value, end: int, init: int | None = None) -> Signal:
            cycles = Signal(range(end + 1), name=f"since_{name}",
                            init=end if init is None else init)
            with m.If(event):
                m.d.sync += cycles.eq(1)
            with m.Elif(cycles != end):
                m.d.sync += cycles.eq(cycles + 1)
            return cycles

        opened, closed, used, is_open = [], [], [], []
        for bank in range(banks):
            here = self.bank == bank
            opens = given[Command.ACTIVATE] & here
            closes = given[Command.PRECHARGE] & (here | all_banks)
            opened.append(since(f"opened_{bank}", opens, 4))
            closed.append(since(f"closed_{bank}", closes, 1))
            used.append(since(f"used_{bank}", moves & here, 2))
            flag = Signal(name=f"open_{bank}")
            m.d.sync += flag.eq((flag | opens) & ~closes)
            is_open.append(flag)
        refreshed = since("refreshed", given[Command.REFRESH], 780, init=0)
        mode_set = since("mode", given[Command.MODE], 1)
        read = since("read", given[Command.READ], 3)
        refreshes, ready = Signal(range(9)), Signal()
        with m.If(given[Command.REFRESH] & (refreshes != 8)):
            m.d.sync += refreshes.eq(refreshes + 1)
        with m.If(given[Command.MODE]):
            m.d.sync += ready.eq(1)

        mine, anything = Array(is_open)[self.bank], self.command != Command.NONE
        closing = [given[Command.PRECHARGE] & ((self.bank == bank) | all_banks) & is_open[bank]
                   for bank in range(banks)]
        too_soon = [
            anything & ((refreshed < 4) & (refreshes != 0) | (mode_set < 1)),
            moves & (Array(opened)[self.bank] < 1),
            given[Command.ACTIVATE] & ((Array(opened)[self.bank] < 4)
                                       | (Array(closed)[self.bank] < 1)),
            given[Command.REFRESH] & Cat(cycles < 1 for cycles in closed).any(),
            *(closes & ((opened[bank] < 3) | (used[bank] < 2))
              for bank, closes in enumerate(closing)),
        ]
        rules = {
            Broken.POWER_UP: (moves | given[Command.ACTIVATE]) & ~ready
            | given[Command.MODE] & (refreshes != 8),
            Broken.CLOSED: moves & ~mine,
            Broken.OPEN: given[Command.ACTIVATE] & mine
            | (given[Command.REFRESH] | given[Command.MODE]) & Cat(is_open).any(),
            Broken.TOO_SOON: Cat(too_soon).any(),
            Broken.BUS: (self.dq_oe & (read < 3)) | (given[Command.WRITE] & ~self.dq_oe)
            | (given[Command.READ] & self.dq_oe),
            Broken.REFRESH: ready & (refreshed == 780),
            Broken.MODE: given[Command.MODE] & (Cat(self.address, self.bank) != 0b011_0_001),
        }
        with m.If(self.o_broken == Broken.NONE):
            for rule, broken in reversed(rules.items()):
                with m.If(broken):
                    m.d.sync += self.o_broken.eq(rule)
        return m


class SdramModel(Component):
    """A chip that answers as one does at 100 MHz behind the pads of an ECP5, and its rules.

    Parameters
    ----------
    depth : int
        Words that it keeps; those past them are read as the words that they wrap to.
    geometry : SdramGeometry
        The shape of the chip.
    pad_delay : int
        Half cycles by which data come later than after ``SdramController.read_latency``.

    Members
    -------
    bus : ``In(sdram_bus(geometry))``
    o_broken : ``Out(4)``
        That of ``SdramRules``.
    """

    def __init__(self, depth: int, geometry: SdramGeometry | None = None,
                 pad_delay: int = 0) -> None:
        self.geometry = geometry or SdramGeometry()
        self.pad_delay = pad_delay
        self.rules = SdramRules(self.geometry)
        self.ram = Ram(depth=depth, word_bytes=4)
        super().__init__({"bus": In(sdram_bus(self.geometry)), "o_broken": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rules, m.submodules.ram = rules, ram = self.rules, self.ram
        bus = self.bus
        rows = Signal.like(Cat([bus.address] * (1 << self.geometry.banks)))
        row = rows.word_select(bus.bank, self.geometry.rows)
        with m.If(bus.command == Command.ACTIVATE):
            m.d.sync += row.eq(bus.address)
        word = Cat(bus.address[1:self.geometry.columns], bus.bank, row)
        m.d.comb += [
            *(getattr(rules, name).eq(getattr(bus, name))
              for name in ("command", "bank", "address", "dq_oe")),
            self.o_broken.eq(rules.o_broken),
            ram.read_word.eq(word), ram.write_word.eq(word), ram.write_data.eq(bus.dq_o),
            ram.write_strobe.eq(Mux(bus.command == Command.WRITE, ~bus.mask, 0)),
        ]
        reads = delay_pulse(m, bus.command == Command.READ, SdramController.read_latency, "reads")
        data = delay(m, ram.read_data, SdramController.read_latency, "data")
        given = delay(m, Mux(reads, data, _SILENT), self.pad_delay // 2, "given")
        if self.pad_delay % 2:
            given = Cat(delay(m, given, 1, "given_before")[16:], given[:16])
        m.d.comb += bus.dq_i.eq(given)
        return m
