"""The accelerator as it stands in a system: registers, core, and one memory port."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.component import Component
from ..hw.memory.axi import read_signature, write_signature
from ..hw.memory.port_drain import PortDrain
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

    Members
    -------
    control : ``In(control_signature())``
        Registers: see ``Control``.
    read, write : ``Out(read_signature(...))``, ``Out(write_signature(...))``
        The AXI4 memory port.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = self.parameters = parameters
        port = {"address_width": p.address_width, "word_bytes": p.word_bytes}
        self._core, self._control, self._drain = Core(p), Control(), PortDrain(**port)
        super().__init__({
            "control": In(control_signature()),
            "read": Out(read_signature(**port)), "write": Out(write_signature(**port)),
        })

    def elaborate(self, platform):
        m = Module()
        core, control, drain = self._core, self._control, self._drain
        m.submodules.core = ResetInserter(drain.aborting)(core)
        m.submodules.control, m.submodules.drain = control, drain
        connect(m, flipped(self.control), control.axi)
        connect(m, control.o_run, core.i)
        connect(m, core.read, drain.i_read)
        connect(m, core.write, drain.i_write)
        connect(m, drain.o_read, flipped(self.read))
        connect(m, drain.o_write, flipped(self.write))
        m.d.comb += [
            drain.abort.eq(control.o_abort), core.clear.eq(control.o_clear),
            control.i_aborting.eq(drain.aborting), control.i_busy.eq(core.o_busy),
            control.i_error.eq(core.o_error), control.i_failed.eq(core.o_failed.as_value()[:32]),
            control.i_read_error.eq(core.o_port_errors.read),
            control.i_write_error.eq(core.o_port_errors.write),
            control.i_counts.eq(core.o_counts),
        ]
        return m
