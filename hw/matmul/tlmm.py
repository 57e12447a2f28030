"""Table-lookup matrix multiplication (TLMM): int8 activations times ternary weights, exact."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from .engine import Datapath, MatmulEngine, output_layout
from .engine_parameters import TlmmParameters
from .lookup_tables import LookupTables
from .sign_tree import SignTree
from .table_builder import TableBuilder

__all__ = ["TableDatapath", "Tlmm", "output_layout"]


class TableDatapath(Datapath):
    """The datapath of ``Tlmm``: tables of a pass, lookups, and an adder tree per column.

    The tables of a pass are complete ``parameters.entries`` cycles after its beat was taken.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        super().__init__(parameters, lambda: SignTree(parameters.tables, parameters.entry_width))

    def elaborate(self, platform):
        m = Module()

        # Build: activations to tables.
        m.submodules.builder = builder = TableBuilder(self.parameters)
        m.submodules.tables = tables = LookupTables(self.parameters)
        connect(m, wiring.flipped(self.i), builder.i)
        connect(m, builder.o, tables.i)
        m.d.comb += [self.full.eq(tables.full), tables.release.eq(self.release)]

        # Look up and add: one tree per column.
        m.d.comb += tables.indices.eq(self.indices)
        for column, tree in enumerate(self._trees):
            m.submodules[f"tree_{column}"] = tree
            m.d.comb += [
                tree.i.eq(tables.entries[column]), tree.i_negative.eq(tables.negative[column]),
                self.sums[column].eq(tree.o), self.negative[column].eq(tree.o_negative),
            ]

        return m


class Tlmm(MatmulEngine):
    """Multiply vectors of signed activations by ternary matrices, by looking sums up in tables.

    A job is one activation vector of length K times one [M, K] matrix. It is cut into
    ``passes = ceil(K / (T * G))`` and ``blocks = ceil(M / C)``. For each pass the engine takes in
    T groups of G activations and computes, for each group, a table of the 3^G sums that G ternary
    weights can select from it, each up to its sign. G weights then are one index, and each weight
    beat of the pass looks up, for C output rows, one entry per table; an adder tree sums the T
    entries or their negatives, and an accumulator per output row sums the passes. Exact integers
    throughout: the accumulators are wide enough for any activations.

    Streams
    -------
    Each job's beats must come in this order; the streams are independent of one another, and each
    of them may stall at any time, for as long as it likes.

    - ``i_job``, one beat: the job's ``passes`` and ``blocks``. 0 counts as 1; more than
      ``max_passes`` or ``max_blocks`` give undefined sums. A job may come while another runs.
    - ``i_activations``, one beat per pass: ``tables`` groups of ``group_size`` activations, in the
      order of K, zero past K (or the weights are zero there).
    - ``i_weights``, one beat per pass and block, blocks counting faster: for each of C rows,
      row after row, one index per table: ``sum(trit_i * 3^i for i in range(G))`` as a magnitude
      with its sign on top. A magnitude that no trits have contributes 0. Rows past M may hold
      anything.
    - ``o``, one beat per block, while the last pass is looked up: ``sums``, C accumulators;
      ``last`` in the last beat of a job.

    Once valid, ``o`` holds its payload until it is taken. No output, ``ready`` included, depends
    combinationally on any input.

    Throughput and latency
    ----------------------
    The tables are double-buffered: while one pass is looked up, the tables of the next one are
    built, across jobs too. A pass thus takes ``max(blocks, entries)`` cycles when nothing
    stalls, where a table has ``entries = (3^G + 1) / 2`` entries, and the engine makes T * G * C
    multiply-accumulates per cycle where blocks >= entries and nothing is padded. An output
    beat leaves ``parameters.latency`` cycles after the weight beat that completes it.
    ``parameters.cycles`` counts a whole run exactly.

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
        self.parameters = parameters   # before the check, for __repr__
        if not isinstance(parameters, TlmmParameters):
            raise TypeError(f"A TLMM engine takes TlmmParameters, not {parameters!r}")
        super().__init__(parameters, TableDatapath(parameters))
