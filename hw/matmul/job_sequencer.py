"""A counter of the beats of a job."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .engine_parameters import TlmmParameters

__all__ = ["JobSequencer", "matmul_job_layout"]


def matmul_job_layout(parameters: TlmmParameters) -> data.StructLayout:
    """One job: its number of passes and of blocks in a pass. 0 counts as 1."""
    return data.StructLayout({
        "passes": range(parameters.max_passes + 1),
        "blocks": range(parameters.max_blocks + 1),
    })


class JobSequencer(Component):
    """Say of each beat of a job where in the job it stands: passes outside, blocks inside.

    It holds the job in progress and the one after it, so that jobs follow each other without a gap.
    All outputs depend on registers only.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.

    Members
    -------
    i : ``In(stream.Signature(matmul_job_layout(parameters)))``
        Jobs.
    active : ``Out(1)``
        A job is in progress; the outputs below describe its current beat.
    advance : ``In(1)``
        Go on to the next beat, possibly of the next job. It may be high only while ``active``.
    first_pass, last_pass, last_block : ``Out(1)``
        The beat is in the job's first pass; in its last pass; the last one of its pass.
    block : ``Out(range(max_blocks))``
        Number of the beat in its pass.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i": In(stream.Signature(matmul_job_layout(parameters))),
            "active": Out(1),
            "advance": In(1),
            "first_pass": Out(1),
            "last_pass": Out(1),
            "last_block": Out(1),
            "block": Out(range(parameters.max_blocks)),
        })

    def elaborate(self, platform):
        m = Module()

        queued = Signal()
        queued_job = Signal(matmul_job_layout(self.parameters))
        job = Signal(matmul_job_layout(self.parameters))
        pass_number = Signal(range(self.parameters.max_passes))
        m.d.comb += [
            self.first_pass.eq(pass_number == 0),
            self.i.ready.eq(~queued),
        ]

        # What the next beat will be the last of is found while this one waits.
        finished = Signal()
        m.d.comb += finished.eq(self.advance & self.last_block & self.last_pass)
        with m.If(self.advance):
            m.d.sync += [self.block.eq(self.block + 1),
                         self.last_block.eq(self.block + 2 >= job.blocks)]
            with m.If(self.last_block):
                m.d.sync += [
                    self.block.eq(0), self.last_block.eq(job.blocks <= 1),
                    pass_number.eq(pass_number + 1),
                    self.last_pass.eq(pass_number + 2 >= job.passes),
                ]

        with m.If(~self.active | finished):
            m.d.sync += [
                self.active.eq(queued),
                job.eq(queued_job),
                pass_number.eq(0),
                self.last_block.eq(queued_job.blocks <= 1),
                self.last_pass.eq(queued_job.passes <= 1),
                queued.eq(0),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [queued.eq(1), queued_job.eq(self.i.p)]

        return m
