"""Two rows in memory: one is read in any order while the next one comes in."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .row_fork import row_layout

__all__ = ["RowBanks"]


class RowBanks(Component):
    """A double buffer of rows, with several readers.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a beat's values.
    max_beats : int
        Most beats of a row, at least 2. In a longer row this many count as a row, so that it cannot
        wait for a place without an end.
    readers : int
        Beats read per cycle, each from a copy of the memory.

    Members
    -------
    i : ``In(stream.Signature(row_layout(shape)))``
        Rows. It is ready while a bank is free, and depends on registers only.
    full : ``Out(1)``
        There is a row to be read. It depends on registers only.
    beats : ``Out(range(max_beats + 1))``
        Its beats, while ``full``.
    release : ``In(1)``
        The row is not needed after this cycle. It may be high only while ``full``.
    addresses : ``In(ArrayLayout(range(max_beats), readers))``
        Which beat of the row each reader wants.
    values : ``Out(ArrayLayout(shape, readers))``
        The values of these beats, one cycle later.

    Raises
    ------
    ValueError
        ``max_beats`` is below 2.
    """

    def __init__(self, shape: ShapeLike, max_beats: int, readers: int) -> None:
        if max_beats < 2:
            raise ValueError(f"Banks hold rows of at least 2 beats, not {max_beats!r}")
        self.shape = shape
        self.max_beats = max_beats
        self.readers = readers
        super().__init__({
            "i": In(stream.Signature(row_layout(shape))),
            "full": Out(1), "beats": Out(range(max_beats + 1)), "release": In(1),
            "addresses": In(data.ArrayLayout(range(max_beats), readers)),
            "values": Out(data.ArrayLayout(shape, readers)),
        })

    def elaborate(self, platform):
        m = Module()

        banks_full = Signal(2)
        # The bank that is read stands in two registers, of which one only drives the addresses of
        # the memories: hundreds of LUTs. They differ, so that no tool makes one of them.
        write_bank, read_bank, other_bank = Signal(), Signal(), Signal(init=1)
        number = Signal(range(self.max_beats))
        beats = Signal(data.ArrayLayout(range(self.max_beats + 1), 2), reset_less=True)
        write = Signal()
        m.d.comb += [
            self.i.ready.eq(~banks_full.bit_select(write_bank, 1)),
            write.eq(self.i.valid & self.i.ready),
            self.full.eq(Mux(other_bank, banks_full[0], banks_full[1])),
            self.beats.eq(Mux(other_bank, beats[0], beats[1])),
        ]
        with m.If(write):
            m.d.sync += number.eq(number + 1)
            with m.If(self.i.p.last | (number == self.max_beats - 1)):
                m.d.sync += [
                    number.eq(0),
                    write_bank.eq(~write_bank),
                    banks_full.bit_select(write_bank, 1).eq(1),
                    beats[write_bank].eq(number + 1),
                ]
        with m.If(self.release):
            m.d.sync += [banks_full.bit_select(~other_bank, 1).eq(0),
                         other_bank.eq(~other_bank), read_bank.eq(other_bank)]

        # The bank is the highest address bit.
        for reader in range(self.readers):
            m.submodules[f"memory_{reader}"] = memory = Memory(
                shape=self.shape, depth=2 << (self.max_beats - 1).bit_length(), init=[])
            writer, port = memory.write_port(), memory.read_port()
            m.d.comb += [
                writer.addr.eq(Cat(number, write_bank)),
                writer.data.eq(self.i.p.values),
                writer.en.eq(write),
                port.addr.eq(Cat(self.addresses[reader], read_bank)),
                self.values[reader].eq(port.data),
            ]
        return m
