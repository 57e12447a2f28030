"""Jobs that an engine does several times: once for each group of scales."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .engine_parameters import TlmmParameters
from .job_sequencer import matmul_job_layout

__all__ = ["JobRepeater"]


class JobRepeater(Component):
    """Give every job ``i_times`` times. It adds no cycle.

    Parameters
    ----------
    parameters : TlmmParameters
        The engine.

    Members
    -------
    i_times : ``In(range(max_k + 1))``
        How often; 0 counts as 1. Constant while there are jobs.
    i : ``In(stream.Signature(matmul_job_layout(parameters)))``
        Jobs. ``i.ready`` depends on ``o.ready``.
    o : ``Out(stream.Signature(matmul_job_layout(parameters)))``
        Jobs. They depend on ``i``.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        job = stream.Signature(matmul_job_layout(parameters))
        super().__init__({
            "i_times": In(range(parameters.max_k + 1)), "i": In(job), "o": Out(job)})

    def elaborate(self, platform):
        m = Module()
        given, last = Signal.like(self.i_times), Signal()
        m.d.comb += [
            last.eq(given + 1 >= self.i_times),
            self.o.p.eq(self.i.p), self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += given.eq(Mux(last, 0, given + 1))
        return m
