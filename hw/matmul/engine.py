"""What matmul engines share: jobs, admission of weight beats, accumulation, the output queue."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..component import Component
from ..streams.queue import queue_before
from .accumulators import Accumulators
from .adder_tree import SumTree
from .engine_parameters import TlmmParameters
from .job_sequencer import JobSequencer, matmul_job_layout
from .lookup_tables import index_layout
from .table_builder import group_layout

__all__ = ["Datapath", "MatmulEngine", "output_layout"]


def output_layout(parameters: TlmmParameters) -> data.StructLayout:
    """C sums, and whether they are the last ones of their job."""
    return Accumulators.output_layout(parameters.columns, parameters.accumulator_width)


class Datapath(Component):
    """The part of an engine that keeps the activations of a pass and multiplies them.

    It never stops.

    Parameters
    ----------
    parameters : TlmmParameters
        The shape of the engine.
    tree : Callable[[], SumTree]
        Makes the tree that sums what a column multiplies.

    Members
    -------
    i : ``In(stream.Signature(group_layout(parameters)))``
        The activations of the next pass, which the datapath keeps in whatever form it likes.
    full : ``Out(1)``
        A pass is there to be multiplied. It depends on registers only.
    release : ``In(1)``
        That pass is not needed after this cycle. It may be high only while ``full``.
    indices : ``In(index_layout(parameters))``
        The weight beat to multiply it with, in any cycle.
    sums : ``Out(ArrayLayout(signed(...), C))``, negative : ``Out(C)``
        The sum of each column, or the negative of it where ``negative`` says so, ``latency``
        cycles later.

    Attributes
    ----------
    latency : int
        One cycle more than the tree's.
    """

    def __init__(self, parameters: TlmmParameters, tree: Callable[[], SumTree]) -> None:
        self.parameters = parameters
        self._trees = [tree() for _ in range(parameters.columns)]
        self.latency = 1 + self._trees[0].latency
        sums = data.ArrayLayout(self._trees[0].o.shape(), parameters.columns)
        super().__init__({
            "i": In(stream.Signature(group_layout(parameters))), "full": Out(1), "release": In(1),
            "indices": In(index_layout(parameters)), "sums": Out(sums),
            "negative": Out(parameters.columns),
        })


class MatmulEngine(Component):
    """Multiply vectors of signed activations by ternary matrices, exactly, with some datapath.

    ``Tlmm`` says what the streams carry. The datapath, the adders behind it and the accumulation
    never stop. Their sums go to a queue, and a weight beat of a last pass is only accepted when the
    queue has a place that is not spoken for. The queue is just deep enough for one output beat per
    cycle. This way no clock enable reaches every pipeline register, and no path leads from
    ``o.ready`` to ``i_weights.ready``. No output depends combinationally on any input.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.
    datapath : Datapath
        What keeps the activations and multiplies them.

    Members
    -------
    i_job : ``In(stream.Signature(matmul_job_layout(parameters)))``
    i_activations : ``In(stream.Signature(group_layout(parameters)))``
    i_weights : ``In(stream.Signature(index_layout(parameters)))``
    o : ``Out(stream.Signature(output_layout(parameters)))``

    Attributes
    ----------
    latency : int
        Cycles from a weight beat of the last pass to its output beat.
    """

    def __init__(self, parameters: TlmmParameters, datapath: Datapath) -> None:
        self.parameters = parameters
        self.latency = datapath.latency + 1
        self._datapath = datapath
        super().__init__({
            "i_job": In(stream.Signature(matmul_job_layout(parameters))),
            "i_activations": In(stream.Signature(group_layout(parameters))),
            "i_weights": In(stream.Signature(index_layout(parameters))),
            "o": Out(stream.Signature(output_layout(parameters))),
        })

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.parameters!r})"

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        m.submodules.datapath = datapath = self._datapath
        connect(m, wiring.flipped(self.i_activations), datapath.i)

        # Admit: a weight beat enters when its pass is complete and its sums will have a place.
        m.submodules.sequencer = sequencer = JobSequencer(parameters)
        connect(m, wiring.flipped(self.i_job), sequencer.i)
        queue_depth = self.latency + 1
        queue_reserved = Signal(range(queue_depth + 1))
        emit = Signal()
        accept = Signal()
        m.d.comb += [
            emit.eq(sequencer.last_pass),
            self.i_weights.ready.eq(sequencer.active & datapath.full
                                    & ~(emit & (queue_reserved == queue_depth))),
            accept.eq(self.i_weights.valid & self.i_weights.ready),
            sequencer.advance.eq(accept),
            datapath.release.eq(accept & sequencer.last_block),
            datapath.indices.eq(self.i_weights.p),
        ]
        m.d.sync += queue_reserved.eq(
            queue_reserved + (accept & emit) - (self.o.valid & self.o.ready))

        # Multiply. The control word travels beside, and arrives at the accumulators one cycle
        # ahead of the sums.
        m.submodules.accumulators = accumulators = Accumulators(
            depth=parameters.max_blocks, columns=parameters.columns,
            addend_width=len(datapath.sums[0]), width=parameters.accumulator_width)
        control = Signal(Accumulators.control_layout(parameters.max_blocks))
        m.d.comb += [
            control.valid.eq(accept),
            control.first.eq(sequencer.first_pass),
            control.emit.eq(emit),
            control.last.eq(sequencer.last_block),
            control.row.eq(sequencer.block),
        ]
        for stage in range(1, datapath.latency):
            delayed = Signal(control.shape(), name=f"control_{stage}")
            m.d.sync += delayed.eq(control)
            control = delayed

        # Accumulate, and queue what the last pass completes.
        m.d.comb += [
            accumulators.i_control.eq(control), accumulators.i_negative.eq(datapath.negative),
        ]
        for column in range(parameters.columns):
            m.d.comb += accumulators.i_addends[column].eq(datapath.sums[column])
        queue = queue_before(m, "queue", self.o, queue_depth)
        m.d.comb += [queue.i.p.eq(accumulators.o.p), queue.i.valid.eq(accumulators.o.valid)]

        return m
