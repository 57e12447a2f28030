"""What takes the accelerator's place on a board of which the rest is to be tried first."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hw.component import Component
from ...hw.memory.axi import read_signature, write_signature
from ..accelerator_parameters import AcceleratorParameters
from ..control import Control, control_signature
from ..runs import RunError

__all__ = ["NoAccelerator"]


class NoAccelerator(Component):
    """The registers of an ``Accelerator``, and none of its core: every run fails at once.

    Parameters and members are those of ``Accelerator``. A run ends with ``RunError.OPERATION``, and
    memory is never accessed.
    """

    def __init__(self, parameters: AcceleratorParameters, port_address_width: int) -> None:
        port = {"address_width": port_address_width, "word_bytes": parameters.word_bytes}
        self._control = Control(parameters, port_address_width)
        super().__init__({
            "control": In(control_signature()),
            "read": Out(read_signature(**port)), "write": Out(write_signature(**port)),
            "interrupt": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.control = control = self._control
        connect(m, flipped(self.control), control.axi)
        failed = Signal()
        with m.If(control.o_run.valid):
            m.d.sync += failed.eq(1)
        with m.If(control.o_abort):
            m.d.sync += failed.eq(0)
        m.d.comb += [
            control.o_run.ready.eq(1), self.interrupt.eq(control.interrupt),
            control.i_error.eq(failed * RunError.OPERATION),
        ]
        return m
