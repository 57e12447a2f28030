"""The registers through which a host starts runs and learns how they ended."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from ..hw.memory.axi import Response
from .accelerator_parameters import AcceleratorParameters
from .events import COUNTERS, WIDTH
from .registers import (
    ADDRESS_WIDTH,
    BASE_ALIGNMENT,
    COUNTER_REGISTERS,
    IDENTITY,
    PATIENCE,
    REGISTERS,
    RUN_REGISTERS,
    TIMEOUT,
    VERSION,
    configuration_hash,
)
from .sequencer import run_layout

__all__ = ["TOKEN_WIDTH", "Control", "control_signature"]

TOKEN_WIDTH = 24   # of an id, as in a descriptor's ``rows``
_INTERRUPTS = 2    # causes of an interrupt


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
    """An AXI4-Lite slave with ``REGISTERS``, which say what each one does.

    One read and one write at a time; unknown addresses, and writes to what can only be read,
    answer SLVERR. All registers but those of the core keep their values through an abort.

    Parameters
    ----------
    parameters : AcceleratorParameters
        What the registers tell of the accelerator.
    port_address_width : int
        Bits of a byte address of the memory port, 13 to 64.

    Members
    -------
    axi : ``In(control_signature())``
    o_run : ``Out(stream.Signature(run_layout()))``
        Runs.
    o_abort, o_clear : ``Out(1)``
        They are high for one cycle.
    o_base : ``Out(port_address_width)``
        The byte address of the image's first word.
    o_spacing : ``Out(32)``
        Bytes from where one memory port's parts begin to where the next one's do.
    o_timeout, o_patience : ``Out(32)``
        Cycles, or 0.
    interrupt : ``Out(1)``
        It is high while an enabled cause is set.
    i_busy, i_aborting : ``In(1)``, i_error, i_read_error, i_write_error : ``In(3)``
    i_failed : ``In(32)``
    i_counts : ``In(...)``
        ``Counters.o``.
    i_token : ``In(24)``, i_written : ``In(1)``
        Memory has acknowledged this token in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters, port_address_width: int = 40) -> None:
        if not 12 < port_address_width <= 64:
            raise ValueError(f"port_address_width must be from 13 to 64, not {port_address_width}")
        self.parameters = parameters
        super().__init__({
            "axi": In(control_signature()), "o_run": Out(stream.Signature(run_layout())),
            "o_abort": Out(1), "o_clear": Out(1), "o_base": Out(port_address_width),
            "o_spacing": Out(32),
            "o_timeout": Out(32, init=TIMEOUT), "o_patience": Out(32, init=PATIENCE),
            "interrupt": Out(1),
            "i_busy": In(1), "i_aborting": In(1),
            "i_error": In(3), "i_read_error": In(3), "i_write_error": In(3), "i_failed": In(32),
            "i_counts": In(data.StructLayout(dict.fromkeys(COUNTERS, WIDTH))),
            "i_token": In(TOKEN_WIDTH), "i_written": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        self._refused, self._scratch = Signal(), Signal(32)
        self._enabled, self._raised = Signal(_INTERRUPTS), Signal(_INTERRUPTS)
        self._token, self._tokens = Signal(TOKEN_WIDTH), Signal(32 - TOKEN_WIDTH)
        self._write(m)
        self._follow_run(m)
        self._read(m)
        return m

    def _follow_run(self, m: Module) -> None:
        """Keep the token written last, and raise interrupts."""
        run, was_busy = self.o_run, Signal()
        m.d.sync += [was_busy.eq(self.i_busy),
                     self.interrupt.eq((self._enabled & self._raised).any())]
        with m.If(run.valid & run.ready):
            m.d.sync += [run.valid.eq(0), self._tokens.eq(0)]
        with m.Elif(self.i_written):
            m.d.sync += [self._token.eq(self.i_token), self._tokens.eq(self._tokens + 1)]
        for bit, event in enumerate((was_busy & ~self.i_busy & ~self.i_aborting, self.i_written)):
            with m.If(event):
                m.d.sync += self._raised[bit].eq(1)

    def _write(self, m: Module) -> None:
        axi = self.axi
        taken, known = Signal(), Signal()
        m.d.comb += [
            taken.eq(axi.awvalid & axi.wvalid & ~axi.bvalid),
            axi.awready.eq(taken), axi.wready.eq(taken),
        ]
        with m.If(taken):
            m.d.sync += [axi.bvalid.eq(1), axi.bresp.eq(_response(known))]
        with m.Elif(axi.bready):
            m.d.sync += axi.bvalid.eq(0)

        m.d.sync += [self.o_abort.eq(0), self.o_clear.eq(0)]
        with m.Switch(axi.awaddr[2:]):
            with m.Case(REGISTERS["control"].address >> 2):
                m.d.comb += known.eq(1)
                with m.If(taken & axi.wstrb[0]):
                    self._command(m, axi.wdata)
            with m.Case(REGISTERS["interrupt_status"].address >> 2):
                m.d.comb += known.eq(1)
                with m.If(taken & axi.wstrb[0]):
                    m.d.sync += self._raised.eq(self._raised & ~axi.wdata)
            for address, register, lowest, allowed in self._stored():
                with m.Case(address >> 2):
                    m.d.comb += known.eq(allowed)
                    with m.If(taken & allowed):
                        _store(m, register, axi, lowest)

    def _stored(self) -> Iterator[tuple[int, Value, int, Value | int]]:
        """Registers that keep what is written: address, value, its lowest bit, and when."""
        # A run that has been offered must not change until it is taken.
        for name, address in RUN_REGISTERS.items():
            yield address, getattr(self.o_run.p, name), 0, ~self.o_run.valid
        idle = ~(self._busy | self.i_aborting | self.o_abort)
        lowest = BASE_ALIGNMENT.bit_length() - 1
        for name, register, low, allowed in (
                ("base", self.o_base[lowest:32], lowest, idle),
                ("base_high", self.o_base[32:], 0, idle),
                ("spacing", self.o_spacing[lowest:], lowest, idle),
                ("timeout", self.o_timeout, 0, idle), ("patience", self.o_patience, 0, idle),
                ("interrupt_enable", self._enabled, 0, 1), ("scratch", self._scratch, 0, 1)):
            yield REGISTERS[name].address, register, low, allowed

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

    def _words(self) -> dict[int, Value | int]:
        """What is read at each address, but for counters."""
        p, configuration = self.parameters, configuration_hash(self.parameters)
        by_name: dict[str, Value | int] = {
            "control": 0,
            "status": Cat(self._busy, self.i_error != 0, self.i_aborting | self.o_abort,
                          self._refused),
            "error": self.i_error | self.i_read_error << 8 | self.i_write_error << 16,
            "failed": self.i_failed,
            **{name: getattr(self.o_run.p, name) for name in RUN_REGISTERS},
            "identity": IDENTITY, "version": VERSION,
            "configuration": configuration & 0xFFFF_FFFF, "configuration_high": configuration >> 32,
            "word_bytes": p.word_bytes, "max_tokens": p.max_tokens,
            "max_context": p.max_context, "max_vocabulary": p.max_vocabulary,
            "base": self.o_base[:32], "base_high": self.o_base[32:],
            "timeout": self.o_timeout, "patience": self.o_patience,
            "interrupt_enable": self._enabled, "interrupt_status": self._raised,
            "token": Cat(self._token, self._tokens), "scratch": self._scratch,
            "ports": p.ports, "spacing": self.o_spacing,
        }
        return {REGISTERS[name].address: word for name, word in by_name.items()}

    def _read(self, m: Module) -> None:
        axi = self.axi
        value, known = Signal(32), Signal()
        high, kept = Signal(WIDTH - 32), Signal(WIDTH - 32)
        words = self._words()
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


def _store(m: Module, register: Value, axi, lowest: int) -> None:
    """Write the bytes that are strobed, as far as the register has them: from bit ``lowest`` on."""
    for bit in range(lowest - lowest % 8, lowest + len(register), 8):
        first, end = max(bit, lowest), min(bit + 8, lowest + len(register))
        with m.If(axi.wstrb[bit // 8]):
            m.d.sync += register[first - lowest:end - lowest].eq(axi.wdata[first:end])
