"""Double-buffered lookup tables with many readers."""

from __future__ import annotations

from itertools import product

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .engine_parameters import TlmmParameters
from .table_builder import entry_layout

__all__ = ["READERS", "LookupTables", "index_layout"]

# A LUT RAM of UltraScale+ (RAM64M8) has eight LUTs with an address each: the one that is written
# through, and seven that are read. Yosys maps memories of many more ports badly or not at all.
READERS = 7


def index_layout(parameters: TlmmParameters) -> data.ArrayLayout:
    """The weight indices of one beat: for each of C columns, one per table.

    An index is ``sum(trit_i * 3^i for i in range(G))`` as a magnitude, and its sign on top.
    """
    column = data.ArrayLayout(parameters.index_width, parameters.tables)
    return data.ArrayLayout(column, parameters.columns)


class LookupTables(Component):
    """T tables, each in two banks: while C columns read one bank, the other one is filled.

    A table is kept once for every ``READERS`` columns, in a memory with a write port and as many
    asynchronous read ports, which maps to LUT RAM. The bank is the top address bit: two banks of
    14 entries (G = 3) fill the 32 words in which one LUT RAM of a Xilinx device keeps two bits, so
    the second bank is free there. Block RAM would give two readers per copy where C are needed.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.

    Members
    -------
    i : ``In(stream.Signature(entry_layout(parameters)))``
        Entries of the next pass. It is ready while the bank that is filled is free, and depends on
        registers only.
    full : ``Out(1)``
        The bank that is read holds a whole pass. It depends on registers only.
    release : ``In(1)``
        The bank that is read is not needed after this cycle. It may be high only while ``full``.
    indices : ``In(index_layout(parameters))``
        Which entry each column reads from each table.
    entries : ``Out(ArrayLayout(ArrayLayout(signed(entry_width), T), C))``
        The entries, one cycle later. A magnitude of ``parameters.entries`` or more reads 0: those
        words are never written, and a reset leaves them alone.
    negative : ``Out(ArrayLayout(T, C))``
        Which of the entries stand for their negatives.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        column = data.ArrayLayout(signed(parameters.entry_width), parameters.tables)
        super().__init__({
            "i": In(stream.Signature(entry_layout(parameters))),
            "full": Out(1),
            "release": In(1),
            "indices": In(index_layout(parameters)),
            "entries": Out(data.ArrayLayout(column, parameters.columns)),
            "negative": Out(data.ArrayLayout(parameters.tables, parameters.columns)),
        })

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters

        banks_full = Signal(2)
        write_bank = Signal()
        read_bank = Signal()
        has_room = Signal(init=1)   # in the bank that is written: no path begins at its number
        ends = Signal()
        m.d.comb += [
            self.i.ready.eq(has_room),
            self.full.eq(banks_full.bit_select(read_bank, 1)),
            ends.eq(self.i.valid & self.i.ready & self.i.p.last),
        ]
        m.d.sync += has_room.eq(Mux(
            ends,
            ~banks_full.bit_select(~write_bank, 1) | (self.release & (read_bank != write_bank)),
            has_room | (self.release & (read_bank == write_bank))))
        with m.If(ends):
            m.d.sync += banks_full.bit_select(write_bank, 1).eq(1)
            m.d.sync += write_bank.eq(~write_bank)
        with m.If(self.release):
            m.d.sync += banks_full.bit_select(read_bank, 1).eq(0)
            m.d.sync += read_bank.eq(~read_bank)

        for column in range(parameters.columns):
            negative = Signal(parameters.tables, name=f"negative_{column}", reset_less=True)
            m.d.sync += negative.eq(Cat(index[-1] for index in self.indices[column]))
            m.d.comb += self.negative[column].eq(negative)

        copies = product(range(parameters.tables), range(0, parameters.columns, READERS))
        for table, first in copies:
            m.submodules[f"table_{table}_{first}"] = memory = Memory(
                shape=signed(parameters.entry_width), depth=1 << parameters.index_width, init=[])
            write = memory.write_port()
            m.d.comb += [
                write.addr.eq(Cat(self.i.p.index, write_bank)),
                write.data.eq(self.i.p.entries[table]),
                write.en.eq(self.i.valid & self.i.ready),
            ]
            for column in range(first, min(first + READERS, parameters.columns)):
                read = memory.read_port(domain="comb")
                entry = Signal(memory.shape, name=f"entry_{column}_{table}", reset_less=True)
                m.d.comb += read.addr.eq(Cat(self.indices[column][table][:-1], read_bank))
                m.d.sync += entry.eq(read.data)
                m.d.comb += self.entries[column][table].eq(entry)

        return m
