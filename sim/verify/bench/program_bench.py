"""The accelerator on a memory, as one component that a bench can drive."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out, connect, flipped

from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.core import Core
from ....hw.component import Component
from ....hw.memory.axi import COUNT_WIDTH
from ....hw.memory.read_master import ReadMaster
from ...descriptions.ddr_timing import DdrTiming
from .ddr import DdrModel

__all__ = ["ProgramBench"]


class ProgramBench(Component):
    """A ``Core`` and a ``DdrModel``; memory is loaded and looked at between runs.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Of the core.
    depth : int
        Words of the memory.
    timing : DdrTiming
        Of the memory.

    Members
    -------
    i_load
        ``DdrModel.i_load``.
    i_run
        ``Core.i``.
    i_dump, o_dump
        Requests for words, and the words: only while no run is under way.
    dumps : ``In(1)``
        The port belongs to ``i_dump``.
    o_busy, o_error, o_failed, o_counts, clear
        Those of the core.
    """

    def __init__(self, parameters: AcceleratorParameters, depth: int, timing: DdrTiming) -> None:
        port: dict[str, Any] = {
            "word_bytes": parameters.word_bytes, "address_width": parameters.address_width,
        }
        self.parameters = parameters
        self.core = Core(parameters)
        self.memory = DdrModel(depth=depth, timing=timing, **port)
        self.dump = ReadMaster(max_burst=16, outstanding=4, count_width=COUNT_WIDTH, **port)
        core = self.core.signature.members
        super().__init__({
            "i_load": self.memory.signature.members["i_load"],
            "i_run": core["i"],
            "i_dump": self.dump.signature.members["i_request"],
            "o_dump": self.dump.signature.members["o"],
            "dumps": In(1),
            **{name: core[name] for name in ("o_busy", "o_error", "o_port_errors", "o_failed",
                                             "o_counts", "clear")},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.core, m.submodules.memory, m.submodules.dump = core, memory, dump = (
            self.core, self.memory, self.dump)
        for outer, inner in ((self.i_load, memory.i_load), (self.i_run, core.i),
                             (self.i_dump, dump.i_request), (self.o_dump, dump.o)):
            connect(m, flipped(outer), inner)
        connect(m, core.write, memory.write)
        m.d.comb += core.clear.eq(self.clear)
        for name in ("o_busy", "o_error", "o_port_errors", "o_failed", "o_counts"):
            m.d.comb += getattr(self, name).eq(getattr(core, name))
        for reader, owns in ((core.read, ~self.dumps), (dump.axi, self.dumps)):
            for name, member in memory.read.signature.members.items():
                if member.flow == Out:
                    m.d.comb += getattr(reader, name).eq(getattr(memory.read, name))
            with m.If(owns):
                for name, member in memory.read.signature.members.items():
                    if member.flow == In:
                        m.d.comb += getattr(memory.read, name).eq(getattr(reader, name))
            with m.Else():
                m.d.comb += [reader.arready.eq(0), reader.rvalid.eq(0)]
        return m
