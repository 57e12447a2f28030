"""The accelerator and its memory, with the registers outside."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out, connect, flipped

from ....fpga.accelerator import Accelerator
from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.control import control_signature
from ....hw.component import Component
from ...descriptions.ddr_timing import DdrTiming
from ..bench.ddr import DdrModel

__all__ = ["BoardBench"]


class BoardBench(Component):
    """An ``Accelerator`` and a ``DdrModel`` at its memory port.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Of the accelerator.
    depth : int
        Words of the memory, from address 0 on.
    timing : DdrTiming
        Of the memory.

    Members
    -------
    control : ``In(control_signature())``
    raised : ``Out(1)``
        The accelerator's interrupt.
    """

    def __init__(self, parameters: AcceleratorParameters, depth: int, timing: DdrTiming) -> None:
        self._accelerator = Accelerator(parameters)
        self._memory = DdrModel(
            depth=depth, timing=timing, word_bytes=parameters.word_bytes,
            address_width=len(self._accelerator.read.araddr))
        super().__init__({"control": In(control_signature()), "raised": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator, m.submodules.memory = accelerator, memory = (
            self._accelerator, self._memory)
        connect(m, flipped(self.control), accelerator.control)
        connect(m, accelerator.read, memory.read)
        connect(m, accelerator.write, memory.write)
        m.d.comb += self.raised.eq(accelerator.interrupt)
        return m
