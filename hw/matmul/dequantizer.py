"""The float32 outputs that the sums of a matmul become."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay
from ..rows.elementwise import lanes_layout
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from ..streams.queue import BlockRamQueue, queue_behind
from .engine_parameters import TlmmParameters
from .tlmm import output_layout

__all__ = ["Dequantizer", "scaling_layout"]


def scaling_layout(parameters: TlmmParameters) -> data.StructLayout:
    """How the sums of one job are scaled.

    Even blocks of C sums by ``scale_even``, odd ones by ``scale_odd``, the scales of one weight or
    of two that are interleaved block by block. Rows of ``row_blocks`` blocks end with ``last``.
    """
    return data.StructLayout({
        "scale_even": FLOAT32.layout, "scale_odd": FLOAT32.layout,
        "row_blocks": range(parameters.max_blocks + 1),
    })


class Dequantizer(Component):
    """``numerics.scale_sum`` of every sum of ``Tlmm``, bit for bit, ``lanes`` per cycle.

    ``(float32(sum) * scale_x) * scale_w``. The engine gives the C sums of a block in one beat, and
    all blocks of a job in a row, in its last pass; a queue holds them while they leave, so that the
    engine goes on with its next pass.

    Parameters
    ----------
    parameters : TlmmParameters
        The engine.
    lanes : int
        Elements of a beat that leaves; C must be a multiple.
    depth : int
        Blocks that the queue holds.

    Members
    -------
    i : ``In(stream.Signature(output_layout(parameters)))``
        Sums.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        The scale of each job's activations.
    i_scaling : ``In(stream.Signature(scaling_layout(parameters)))``
        One for each job.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        Outputs.

    Raises
    ------
    ValueError
        ``lanes`` does not divide C.
    """

    _latency = IntegerToFloat.latency + 2 * FloatMultiply.latency

    def __init__(self, parameters: TlmmParameters, *, lanes: int, depth: int) -> None:
        if parameters.columns % lanes:
            raise ValueError(f"{parameters.columns} sums are not a multiple of {lanes} lanes")
        self.parameters = parameters
        self.lanes = lanes
        self.depth = depth
        super().__init__({
            "i": In(stream.Signature(output_layout(parameters))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "i_scaling": In(stream.Signature(scaling_layout(parameters))),
            "o": Out(stream.Signature(row_layout(lanes_layout(lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        beats = self.parameters.columns // self.lanes
        m.submodules.blocks = blocks = BlockRamQueue(self.i.p.shape(), self.depth)
        wiring.connect(m, wiring.flipped(self.i), blocks.i)
        scalings = queue_behind(m, "scalings", self.i_scaling)
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), self._latency)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        block, scaling = blocks.o.p, scalings.o.p

        # Walk through the beats of a block, the blocks of a row, the rows of a job.
        part = Signal(range(beats))
        odd = Signal()
        in_row = Signal(scaling.row_blocks.shape())
        block_ends, row_ends, job_ends = Signal(), Signal(), Signal()
        m.d.comb += [
            queue.enter.eq(blocks.o.valid & scalings.o.valid & self.i_scale.valid & queue.ready),
            block_ends.eq(queue.enter & (part == beats - 1)),
            row_ends.eq(in_row + 1 == scaling.row_blocks),
            job_ends.eq(block_ends & block.last),
            blocks.o.ready.eq(block_ends), scalings.o.ready.eq(job_ends),
            self.i_scale.ready.eq(job_ends),
        ]
        with m.If(queue.enter):
            m.d.sync += part.eq(part + 1)
        with m.If(block_ends):
            m.d.sync += [part.eq(0), odd.eq(~odd), in_row.eq(in_row + 1)]
            with m.If(row_ends | block.last):
                m.d.sync += in_row.eq(0)
            with m.If(block.last):
                m.d.sync += odd.eq(0)

        width = signed(self.parameters.accumulator_width)
        to_weight = IntegerToFloat.latency + FloatMultiply.latency
        scale_x = delay(m, self.i_scale.p, IntegerToFloat.latency, "scale_x")
        scale_w = Signal(FLOAT32.layout)
        m.d.comb += scale_w.eq(Mux(odd, scaling.scale_odd.as_value(),
                                   scaling.scale_even.as_value()))
        later_w = delay(m, scale_w, to_weight, "scale_w")
        m.d.comb += queue.i.last.eq(
            delay(m, row_ends & (part == beats - 1), self._latency, "last"))
        for lane in range(self.lanes):
            m.submodules[f"to_float_{lane}"] = to_float = IntegerToFloat(FLOAT32, width.width)
            m.submodules[f"by_x_{lane}"] = by_x = FloatMultiply(FLOAT32)
            m.submodules[f"by_w_{lane}"] = by_w = FloatMultiply(FLOAT32)
            total = Signal(width, name=f"total_{lane}")
            with m.Switch(part):
                for number in range(beats):
                    with m.Case(number):
                        m.d.comb += total.eq(block.sums[number * self.lanes + lane])
            m.d.comb += [
                to_float.i.eq(total),
                by_x.i_a.eq(to_float.o), by_x.i_b.eq(scale_x),
                by_w.i_a.eq(by_x.o), by_w.i_b.eq(later_w),
                queue.i.values[lane].eq(by_w.o),
            ]
        return m
