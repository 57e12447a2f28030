"""What a ULX3S has on the device alone: its PLL, and the registers in its pads."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Instance,
    Module,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from ...hw.memory.sdram import Command
from .ulx3s import Ulx3s

__all__ = ["CLOCKS", "Ulx3sTop"]

CLOCKS = range(25, 55, 5)   # of the logic, in MHz; the SDRAM's is twice as fast
_STEP = 5                   # the oscillator's 25 MHz are divided to that


class Ulx3sTop(Elaboratable):
    """``Ulx3s`` on the pins of amaranth-boards' platform.

    All pins of the SDRAM leave by DDR registers, hence together: what is meant for both clocks of a
    cycle is given twice. The chip's clock leaves by one too, half a clock later, so that it rises
    in the middle of what the pins say.

    Parameters
    ----------
    board : Ulx3s
        The logic, made for that clock.
    megahertz : int
        The clock, of ``CLOCKS``.
    """

    def __init__(self, board: Ulx3s, megahertz: int = 50) -> None:
        if megahertz not in CLOCKS:
            raise ValueError(f"The clock of a ULX3S is one of {', '.join(map(str, CLOCKS))} MHz, "
                             f"not {megahertz}")
        self._board, self._megahertz = board, megahertz

    def elaborate(self, platform: Any) -> Module:
        """Add the pins, for a platform of amaranth-boards."""
        m = Module()
        m.submodules.board = board = self._board
        self._clocks(m, platform)
        self._sdram(m, platform)
        uart = platform.request("uart", 0, dir={"rx": "-", "tx": "-", "rts": "-", "dtr": "-"})
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, uart.tx)
        m.d.comb += [board.rx.eq(rx.i), tx.o.eq(board.tx)]
        for number, led in enumerate(board.o_leds):
            pin = platform.request("led", number, dir="-")
            m.submodules[f"led_{number}"] = buffer = io.Buffer(io.Direction.Output, pin)
            m.d.comb += buffer.o.eq(led)
        return m

    def _clocks(self, m: Module, platform: Any) -> None:
        m.domains.sync = ClockDomain("sync")
        m.domains.sdram = ClockDomain("sdram", reset_less=True)
        pin = platform.request("clk25", dir="-")
        m.submodules.oscillator = oscillator = io.Buffer(io.Direction.Input, pin)
        locked = Signal()
        half = round(600 / self._megahertz / 2)   # of the PLL's oscillator, near 600 MHz
        phase = half - 1                          # its counts until the output's first edge
        m.submodules.pll = Instance(
            "EHXPLLL",
            ("a", "FREQUENCY_PIN_CLKI", "25"),
            ("a", "ICP_CURRENT", "12"), ("a", "LPF_RESISTOR", "8"),
            ("a", "MFG_ENABLE_FILTEROPAMP", "1"), ("a", "MFG_GMCREF_SEL", "2"),
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD", p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=25 // _STEP, p_CLKFB_DIV=self._megahertz // _STEP,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=2 * half, p_CLKOP_CPHASE=phase,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=half, p_CLKOS_CPHASE=phase + half // 2,
            p_CLKOS_FPHASE=half % 2 * 4,
            i_CLKI=oscillator.i, i_CLKFB=ClockSignal("sync"), i_RST=Const(0), i_STDBY=Const(0),
            i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0),
            o_CLKOP=ClockSignal("sync"), o_CLKOS=ClockSignal("sdram"), o_LOCK=locked)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")

    def _sdram(self, m: Module, platform: Any) -> None:
        bus = self._board.bus
        pins = platform.request("sdram", 0, dir=dict.fromkeys(
            ("clk", "clk_en", "cs", "we", "ras", "cas", "ba", "a", "dq", "dqm"), "-"))
        active = bus.command != Command.NONE
        command = Signal(3)
        m.d.comb += command.eq(bus.command)
        outputs = {
            "clk_en": (1, 1), "cs": (active, 0), "ras": (command[2],) * 2,
            "cas": (command[1],) * 2, "we": (command[0],) * 2, "ba": (bus.bank,) * 2,
            "a": (bus.address,) * 2, "dqm": (bus.mask[:2], bus.mask[2:]),
        }
        for name, (first, second) in outputs.items():
            m.submodules[name] = buffer = io.DDRBuffer(io.Direction.Output, getattr(pins, name))
            m.d.comb += [buffer.o[0].eq(first), buffer.o[1].eq(second)]
        m.submodules.clk = clock = io.DDRBuffer(io.Direction.Output, pins.clk, o_domain="sdram")
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]
        m.submodules.dq = dq = io.DDRBuffer(io.Direction.Bidir, pins.dq)
        m.d.comb += [
            dq.o[0].eq(bus.dq_o[:16]), dq.o[1].eq(bus.dq_o[16:]), dq.oe.eq(bus.dq_oe),
            bus.dq_i.eq(Cat(dq.i[0], dq.i[1])),
        ]
