"""The accelerator as it stands in a system: registers, core, and one memory port."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter, Value
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.component import Component
from ..hw.memory.axi import read_signature, write_signature
from ..hw.memory.port_drain import PortDrain
from ..hw.memory.striped_port import StripedPort
from .accelerator_parameters import AcceleratorParameters
from .control import Control, control_signature
from .core import Core

__all__ = ["Accelerator"]


class Accelerator(Component):
    """A ``Core`` that a host controls, and whose runs it can abort at any time.

    Parameters
    ----------
    parameters : AcceleratorParameters
        The sizes of the accelerator.
    port_address_width : int
        Bits of a byte address of the memory port: those of the system.
    core : Core or None
        The core of these parameters; None makes one.

    Members
    -------
    control : ``In(control_signature())``
        Registers: see ``registers.REGISTERS``.
    read, write : ``Out(read_signature(...))``, ``Out(write_signature(...))``
        The AXI4 memory port. The image lies from the address in the register ``base`` on. With
        several ``ports``, an array of so many: port i has part i of every word, from ``base`` and
        i times the register ``spacing`` on.
    interrupt : ``Out(1)``
        A cause that the host enabled is set.
    """

    def __init__(self, parameters: AcceleratorParameters, port_address_width: int = 40,
                 core: Core | None = None) -> None:
        p = self.parameters = parameters
        if port_address_width < p.address_width:
            raise ValueError(f"port_address_width = {port_address_width} is less than the "
                             f"{p.address_width} bits of an address in the image")
        self.address_width = port_address_width
        wide = {"address_width": port_address_width, "word_bytes": p.word_bytes}
        read, write = Out(read_signature(**wide)), Out(write_signature(**wide))
        self._stripes = None
        if p.ports > 1:
            wide["address_width"] = p.address_width
            self._stripes = StripedPort(**wide, ports=p.ports,
                                        port_address_width=port_address_width)
            outer = self._stripes.signature.members
            read, write = outer["o_read"], outer["o_write"]
        self._core, self._drain = core or Core(p), PortDrain(**wide)
        self._control = Control(p, port_address_width)
        super().__init__({
            "control": In(control_signature()), "read": read, "write": write, "interrupt": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        core, control, drain = self._core, self._control, self._drain
        m.submodules.core = ResetInserter(drain.aborting)(core)
        m.submodules.control, m.submodules.drain = control, drain
        connect(m, flipped(self.control), control.axi)
        connect(m, control.o_run, core.i)
        if self._stripes is None:
            _move(m, core.read, drain.i_read, "ar", control.o_base)
            _move(m, core.write, drain.i_write, "aw", control.o_base)
            connect(m, drain.o_read, flipped(self.read))
            connect(m, drain.o_write, flipped(self.write))
        else:
            self._stripe(m, self._stripes)
        m.d.comb += [
            drain.abort.eq(control.o_abort), core.clear.eq(control.o_clear),
            control.i_aborting.eq(drain.aborting), control.i_busy.eq(core.o_busy),
            control.i_error.eq(core.o_error), control.i_failed.eq(core.o_failed.as_value()[:32]),
            control.i_read_error.eq(core.o_port_errors.read),
            control.i_write_error.eq(core.o_port_errors.write),
            control.i_counts.eq(core.o_counts),
            control.i_token.eq(core.o_token), control.i_written.eq(core.o_written),
            core.i_timeout.eq(control.o_timeout), core.i_patience.eq(control.o_patience),
            self.interrupt.eq(control.interrupt),
        ]
        return m

    def _stripe(self, m: Module, stripes: StripedPort) -> None:
        """Put several ports in the place of one."""
        m.submodules.stripes = stripes
        connect(m, self._core.read, self._drain.i_read)
        connect(m, self._core.write, self._drain.i_write)
        connect(m, self._drain.o_read, stripes.i_read)
        connect(m, self._drain.o_write, stripes.i_write)
        for number in range(stripes.ports):
            connect(m, stripes.o_read[number], flipped(self.read[number]))
            connect(m, stripes.o_write[number], flipped(self.write[number]))
        m.d.comb += [stripes.i_base.eq(self._control.o_base),
                     stripes.i_spacing.eq(self._control.o_spacing)]


def _move(m: Module, inner, outer, channel: str, base: Value) -> None:
    """Connect a master to the memory port, ``base`` bytes further on."""
    address = f"{channel}addr"
    for name, member in inner.signature.members.items():
        here, there = getattr(inner, name), getattr(outer, name)
        if name == address:
            m.d.comb += there.eq(base + here)
        else:
            m.d.comb += there.eq(here) if member.flow == Out else here.eq(there)
