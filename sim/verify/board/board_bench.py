"""The accelerator and its memory, with the registers outside."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out, connect, flipped

from ....fpga.accelerator import Accelerator
from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.control import control_signature
from ....hw.component import Component
from ...descriptions.ddr_timing import DdrTiming
from ..bench.ddr import DdrModel

__all__ = ["BoardBench", "memory_name"]


class BoardBench(Component):
    """An ``Accelerator`` and a ``DdrModel`` at each of its memory ports.

    Of several memories, number i has the addresses from i times its size on, and is slower than the
    first one: by ``skew * i`` cycles of latency, and its refreshes come at other times.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Of the accelerator.
    depth : int
        Words of a memory, whole or parts: together they begin at address 0.
    timing : DdrTiming
        Of the memory at the first port.
    skew : int
        Cycles.

    Members
    -------
    control : ``In(control_signature())``
    raised : ``Out(1)``
        The accelerator's interrupt.
    """

    def __init__(self, parameters: AcceleratorParameters, depth: int, timing: DdrTiming,
                 skew: int = 0) -> None:
        self._accelerator = accelerator = Accelerator(parameters)
        ports = parameters.ports
        several = ports > 1
        self._reads = list(accelerator.read) if several else [accelerator.read]
        self._writes = list(accelerator.write) if several else [accelerator.write]
        self._memories = [DdrModel(
            depth=depth, timing=_skewed(timing, number, skew),
            word_bytes=parameters.word_bytes // ports,
            address_width=accelerator.address_width) for number in range(ports)]
        super().__init__({"control": In(control_signature()), "raised": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self._accelerator
        connect(m, flipped(self.control), accelerator.control)
        for number, memory in enumerate(self._memories):
            m.submodules[memory_name(number)] = memory
            begin = number * memory.depth * memory.word_bytes
            for master, slave, channel in ((self._reads[number], memory.read, "ar"),
                                           (self._writes[number], memory.write, "aw")):
                _connect_behind(m, master, slave, f"{channel}addr", begin)
        m.d.comb += self.raised.eq(accelerator.interrupt)
        return m


def memory_name(number: int) -> str:
    """The submodule that is the memory at a port."""
    return f"memory_{number}"


def _skewed(timing: DdrTiming, number: int, skew: int) -> DdrTiming:
    """Of the memory at port ``number``."""
    if not skew * number:
        return timing
    interval = timing.refresh_interval + 37 * number if timing.refresh_interval else 0
    return replace(timing, latency=timing.latency + skew * number, refresh_interval=interval)


def _connect_behind(m: Module, master, slave, address: str, begin: int) -> None:
    """Connect a master to a memory that has the addresses from ``begin`` on."""
    for name, member in master.signature.members.items():
        here, there = getattr(master, name), getattr(slave, name)
        if name == address:
            m.d.comb += there.eq(here - begin)
        else:
            m.d.comb += there.eq(here) if member.flow == Out else here.eq(there)
