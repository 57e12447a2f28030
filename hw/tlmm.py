"""Table-lookup matrix multiplication (TLMM): int8 activations times ternary weights, exact."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect

from .accumulators import Accumulators
from .adder_tree import AdderTree
from .lookup_tables import LookupTables, index_layout
from .parameters import TlmmParameters
from .sequencer import Sequencer, job_layout
from .table_builder import TableBuilder, group_layout

__all__ = ["Tlmm", "output_layout"]


def output_layout(parameters: TlmmParameters) -> data.StructLayout:
    """C sums, and whether they are the last ones of their job."""
    return Accumulators.output_layout(parameters.columns, parameters.accumulator_width)


class Tlmm(wiring.Component):
    """Multiply vectors of signed activations by ternary matrices, by looking sums up in tables.

    A job is one activation vector of length K times one [M, K] matrix. It is cut into
    ``passes = ceil(K / (T * G))`` and ``blocks = ceil(M / C)``. For each pass the engine takes in
    T groups of G activations and computes, for each group, a table of all 3^G sums that G ternary
    weights can select from it. G weights then are one index, and each weight beat of the pass
    looks up, for C output rows, one entry per table; an adder tree sums the T entries and an
    accumulator per output row sums the passes. Exact integers throughout: the accumulators are
    wide enough for any activations.

    Streams
    -------
    Each job's beats must come in this order; the streams are independent of one another, and each
    of them may stall at any time, for as long as it likes.

    - ``i_job``, one beat: the job's ``passes`` and ``blocks``. 0 counts as 1; more than
      ``max_passes`` or ``max_blocks`` give undefined sums. A job may come while another runs.
    - ``i_activations``, one beat per pass: ``tables`` groups of ``group_size`` activations, in the
      order of K, zero past K (or the weights are zero there).
    - ``i_weights``, one beat per pass and block, blocks counting faster: for each of C rows,
      row after row, one index per table: ``sum((trit_i + 1) * 3^i for i in range(G))``.
      For G = 5 the index is the byte of the base-3 storage format. An index of 3^G or more
      contributes 0. Rows past M may hold anything.
    - ``o``, one beat per block, while the last pass is looked up: ``sums``, C accumulators;
      ``last`` in the last beat of a job.

    Once valid, ``o`` holds its payload until it is taken. No output, ``ready`` included, depends
    combinationally on any input.

    Throughput and latency
    ----------------------
    The tables are double-buffered: while one pass is looked up, the tables of the next one are
    built, across jobs too. A pass thus takes ``max(blocks, 3^G)`` cycles when nothing stalls, and
    T * G * C multiply-accumulates per cycle where blocks >= 3^G and nothing is padded. An output
    beat leaves ``parameters.latency`` cycles after the weight beat that completes it.
    ``parameters.cycles`` counts a whole run exactly.

    Back-pressure
    -------------
    Lookup, adder tree and accumulation never stop. Their sums go to a queue, and a weight beat of
    a last pass is only accepted when the queue has a place that is not spoken for. The queue
    is just deep enough for one output beat per cycle. This way no clock enable reaches every
    pipeline register, and no path leads from ``o.ready`` to ``i_weights.ready``.

    A reset returns the engine to idle and drops the jobs in it.

    Sources
    -------
    TeLLMe v2 (arXiv 2510.15926) for tables built online from activations on an FPGA; T-MAC
    (arXiv 2407.00088) for table lookup as matrix multiplication. Unlike TeLLMe's, the
    tables need one adder each (see ``table_builder.walk``) and are built beside the lookups.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.

    Members
    -------
    i_job : ``In(stream.Signature(job_layout(parameters)))``
    i_activations : ``In(stream.Signature(group_layout(parameters)))``
    i_weights : ``In(stream.Signature(index_layout(parameters)))``
    o : ``Out(stream.Signature(output_layout(parameters)))``
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        if not isinstance(parameters, TlmmParameters):
            raise TypeError(f"A TLMM engine takes TlmmParameters, not {parameters!r}")
        super().__init__({
            "i_job": In(stream.Signature(job_layout(parameters))),
            "i_activations": In(stream.Signature(group_layout(parameters))),
            "i_weights": In(stream.Signature(index_layout(parameters))),
            "o": Out(stream.Signature(output_layout(parameters))),
        })

    def __repr__(self) -> str:
        return f"Tlmm({self.parameters!r})"

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters

        # Build: activations to tables.
        m.submodules.builder = builder = TableBuilder(parameters)
        m.submodules.tables = tables = LookupTables(parameters)
        connect(m, wiring.flipped(self.i_activations), builder.i)
        connect(m, builder.o, tables.i)

        # Admit: a weight beat enters when its tables are complete and its sums will have a place.
        m.submodules.sequencer = sequencer = Sequencer(parameters)
        connect(m, wiring.flipped(self.i_job), sequencer.i)
        queue_depth = parameters.latency + 1
        queue_reserved = Signal(range(queue_depth + 1))
        emit = Signal()
        accept = Signal()
        m.d.comb += [
            emit.eq(sequencer.last_pass),
            self.i_weights.ready.eq(sequencer.active & tables.full
                                    & ~(emit & (queue_reserved == queue_depth))),
            accept.eq(self.i_weights.valid & self.i_weights.ready),
            sequencer.advance.eq(accept),
            tables.release.eq(accept & sequencer.last_block),
        ]
        m.d.sync += queue_reserved.eq(
            queue_reserved + (accept & emit) - (self.o.valid & self.o.ready))

        # Look up and add: one tree per column. The control word travels beside, and arrives at
        # the accumulators one cycle ahead of the sums.
        trees = []
        m.d.comb += tables.indices.eq(self.i_weights.p)
        for column in range(parameters.columns):
            tree = AdderTree(parameters.tables, parameters.entry_width)
            m.submodules[f"tree_{column}"] = tree
            m.d.comb += tree.i.eq(tables.entries[column])
            trees.append(tree)

        m.submodules.accumulators = accumulators = Accumulators(
            depth=parameters.max_blocks, columns=parameters.columns,
            addend_width=len(trees[0].o), width=parameters.accumulator_width)
        control = Signal(Accumulators.control_layout(parameters.max_blocks))
        m.d.comb += [
            control.valid.eq(accept),
            control.first.eq(sequencer.first_pass),
            control.emit.eq(emit),
            control.last.eq(sequencer.last_block),
            control.row.eq(sequencer.block),
        ]
        for level in range(parameters.adder_levels):
            delayed = Signal(control.shape(), name=f"control_{level + 1}")
            m.d.sync += delayed.eq(control)
            control = delayed

        # Accumulate, and queue what the last pass completes.
        m.d.comb += accumulators.i_control.eq(control)
        for column, tree in enumerate(trees):
            m.d.comb += accumulators.i_addends[column].eq(tree.o)
        m.submodules.queue = queue = SyncFIFO(
            width=output_layout(parameters).size, depth=queue_depth)
        m.d.comb += [
            queue.w_data.eq(accumulators.o.p),
            queue.w_en.eq(accumulators.o.valid),
            self.o.p.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]

        return m
