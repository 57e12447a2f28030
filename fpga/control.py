"""The registers through which a host starts runs and learns how they ended."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from ..hw.memory.axi import Response
from .counters import COUNTERS, WIDTH
from .sequencer import run_layout

__all__ = ["ADDRESS_WIDTH", "COUNTER_REGISTERS", "REGISTERS", "RUN_REGISTERS", "Control",
           "control_signature"]

ADDRESS_WIDTH = 8
COUNTERS_AT = 0x40

# Byte addresses; those of a run can be written and read, the others are described in Control.
RUN_REGISTERS: dict[str, int] = {
    name: 0x10 + 4 * number for number, (name, _) in enumerate(run_layout())
}
REGISTERS: dict[str, int] = {
    "control": 0x00, "status": 0x04, "error": 0x08, "failed": 0x0C,
}
COUNTER_REGISTERS: dict[str, int] = {
    name: COUNTERS_AT + 8 * number for number, name in enumerate(COUNTERS)
}


def control_signature() -> wiring.Signature:
    """AXI4-Lite with 32 bits of data, as the host drives it; names as in the specification."""
    return wiring.Signature({
        "awaddr": Out(ADDRESS_WIDTH), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
        "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
        "bresp": In(2), "bvalid": In(1), "bready": Out(1),
        "araddr": Out(ADDRESS_WIDTH), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
        "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
    })


class Control(Component):
    """An AXI4-Lite slave. One read and one write at a time; unknown addresses answer SLVERR.

    ``control`` (write): bit 0 starts a run, bit 1 aborts (resets the core once its memory accesses
    have ended), bit 2 clears the counters. Reads as 0.
    ``status`` (read): bit 0 busy, bit 1 failed, bit 2 aborting, bit 3 a start was refused, because
    the accelerator was busy, failed or aborting; an abort clears it.
    ``error`` (read): bits 2..0 the ``RunError``, 10..8 and 18..16 the ``PortError`` of reads and
    of writes.
    ``failed`` (read): the first 32 bits of the descriptor at which it happened.
    A counter: its low 32 bits, and 4 bytes on its high ones as they were when the low were read.

    Members
    -------
    axi : ``In(control_signature())``
    o_run : ``Out(stream.Signature(run_layout()))``
        Runs.
    o_abort, o_clear : ``Out(1)``
        They are high for one cycle.
    i_busy, i_aborting : ``In(1)``, i_error, i_read_error, i_write_error : ``In(3)``
    i_failed : ``In(32)``
    i_counts : ``In(...)``
        ``Counters.o``.
    """

    def __init__(self) -> None:
        super().__init__({
            "axi": In(control_signature()), "o_run": Out(stream.Signature(run_layout())),
            "o_abort": Out(1), "o_clear": Out(1), "i_busy": In(1), "i_aborting": In(1),
            "i_error": In(3), "i_read_error": In(3), "i_write_error": In(3), "i_failed": In(32),
            "i_counts": In(data.StructLayout(dict.fromkeys(COUNTERS, WIDTH))),
        })

    def elaborate(self, platform):
        m = Module()
        self._refused = Signal()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        axi, run = self.axi, self.o_run
        taken, known = Signal(), Signal()
        m.d.comb += [
            taken.eq(axi.awvalid & axi.wvalid & ~axi.bvalid),
            axi.awready.eq(taken), axi.wready.eq(taken),
        ]
        with m.If(taken):
            m.d.sync += [axi.bvalid.eq(1), axi.bresp.eq(_response(known))]
        with m.Elif(axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        with m.If(run.valid & run.ready):
            m.d.sync += run.valid.eq(0)

        m.d.sync += [self.o_abort.eq(0), self.o_clear.eq(0)]
        with m.Switch(axi.awaddr[2:]):
            with m.Case(REGISTERS["control"] >> 2):
                m.d.comb += known.eq(1)
                with m.If(taken & axi.wstrb[0]):
                    self._command(m, axi.wdata)
            for name, address in RUN_REGISTERS.items():
                with m.Case(address >> 2):
                    # A run that has been offered must not change until it is taken.
                    m.d.comb += known.eq(~run.valid)
                    with m.If(taken & ~run.valid):
                        _store(m, getattr(run.p, name), axi)

    def _command(self, m: Module, bits: Value) -> None:
        start, abort, clear = bits[0], bits[1], bits[2]
        m.d.sync += [self.o_abort.eq(abort), self.o_clear.eq(clear)]
        with m.If(abort):
            m.d.sync += [self._refused.eq(0), self.o_run.valid.eq(0)]
        with m.Elif(start):
            free = ~(self._busy | self.i_aborting | self.o_abort | (self.i_error != 0))
            with m.If(free):
                m.d.sync += self.o_run.valid.eq(1)
            with m.Else():
                m.d.sync += self._refused.eq(1)

    @property
    def _busy(self) -> Value:
        return self.i_busy | self.o_run.valid

    def _read(self, m: Module) -> None:
        axi = self.axi
        value, known = Signal(32), Signal()
        high, kept = Signal(WIDTH - 32), Signal(WIDTH - 32)
        words = {
            REGISTERS["control"]: 0,
            REGISTERS["status"]: Cat(self._busy, self.i_error != 0,
                                     self.i_aborting | self.o_abort, self._refused),
            REGISTERS["error"]: (self.i_error | self.i_read_error << 8
                                 | self.i_write_error << 16),
            REGISTERS["failed"]: self.i_failed,
            **{address: getattr(self.o_run.p, name) for name, address in RUN_REGISTERS.items()},
        }
        with m.Switch(axi.araddr[2:]):
            for address, word in words.items():
                with m.Case(address >> 2):
                    m.d.comb += [value.eq(word), known.eq(1), high.eq(kept)]
            for name in COUNTERS:
                count = getattr(self.i_counts, name)
                with m.Case(COUNTER_REGISTERS[name] >> 2):
                    m.d.comb += [value.eq(count[:32]), known.eq(1), high.eq(count[32:])]
                with m.Case((COUNTER_REGISTERS[name] >> 2) + 1):
                    m.d.comb += [value.eq(kept), known.eq(1), high.eq(kept)]
            with m.Default():
                m.d.comb += high.eq(kept)
        m.d.comb += axi.arready.eq(~axi.rvalid)
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [axi.rvalid.eq(1), axi.rdata.eq(value), kept.eq(high),
                         axi.rresp.eq(_response(known))]
        with m.Elif(axi.rready):
            m.d.sync += axi.rvalid.eq(0)


def _response(known: Value) -> Value:
    """OKAY or SLVERR."""
    return Mux(known, Response.OKAY, Response.SLVERR)


def _store(m: Module, register: Value, axi) -> None:
    """Write the bytes that are strobed, as far as the register is wide."""
    for number in range(0, len(register), 8):
        with m.If(axi.wstrb[number // 8]):
            m.d.sync += register[number:number + 8].eq(axi.wdata[number:number + 8])
