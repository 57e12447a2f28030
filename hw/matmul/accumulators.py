"""Running sums in a memory, one row of sums per cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .sign_tree import add_or_subtract

__all__ = ["Accumulators"]


class Accumulators(Component):
    """``depth`` rows of ``columns`` signed accumulators; each cycle adds to one row.

    The memory is read in the cycle before the addends arrive, through a port that is transparent
    for the write port: the row just written may be added to again in the very next cycle.
    Nothing is cleared beforehand: the first addition to a row replaces what it held.

    Parameters
    ----------
    depth : int
        Rows.
    columns : int
        Accumulators in a row.
    addend_width : int
        Bits of an addend.
    width : int
        Bits of an accumulator. Sums that do not fit wrap around.

    Members
    -------
    i_control : ``In(Accumulators.control_layout(depth))``
        What to do with the addends of the next cycle: ``valid`` add them to row ``row``,
        replacing its contents if ``first``; if ``emit``, put the sums out, with ``last`` passed on.
    i_addends : ``In(ArrayLayout(signed(addend_width), columns))``
        The addends of the ``i_control`` of the cycle before.
    i_negative : ``In(columns)``
        Which addends are subtracted instead of added.
    o : ``Out(stream.Signature(Accumulators.output_layout(columns, width), always_ready=True))``
        The sums of an ``emit``, in the cycle of their addends.
    """

    @staticmethod
    def control_layout(depth: int) -> data.StructLayout:
        """Layout of ``i_control``."""
        return data.StructLayout({
            "valid": 1, "first": 1, "emit": 1, "last": 1, "row": range(depth),
        })

    @staticmethod
    def output_layout(columns: int, width: int) -> data.StructLayout:
        """Layout of the payload of ``o``."""
        return data.StructLayout({
            "sums": data.ArrayLayout(signed(width), columns), "last": 1,
        })

    def __init__(self, *, depth: int, columns: int, addend_width: int, width: int) -> None:
        self.depth = depth
        self.columns = columns
        self.width = width
        super().__init__({
            "i_control": In(self.control_layout(depth)),
            "i_addends": In(data.ArrayLayout(signed(addend_width), columns)),
            "i_negative": In(columns),
            "o": Out(stream.Signature(self.output_layout(columns, width), always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.memory = memory = Memory(
            shape=data.ArrayLayout(signed(self.width), self.columns), depth=self.depth, init=[])
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))

        control = Signal(self.control_layout(self.depth))
        m.d.sync += control.eq(self.i_control)
        m.d.comb += read.addr.eq(self.i_control.row)

        for column in range(self.columns):
            before = Mux(control.first, 0, read.data[column])
            m.d.comb += self.o.p.sums[column].eq(
                add_or_subtract(before, self.i_addends[column], self.i_negative[column]))
        m.d.comb += [
            write.addr.eq(control.row),
            write.data.eq(self.o.p.sums),
            write.en.eq(control.valid),
            self.o.p.last.eq(control.last),
            self.o.valid.eq(control.valid & control.emit),
        ]

        return m
