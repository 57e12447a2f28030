"""Dot products of INT4 weights on DSP blocks: what lookups of ternary digits are compared with."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.shifting import delay

__all__ = ["PackedDots"]


class PackedDots(Component):
    """The sums of ``length`` products of INT4 weights and int8 activations, of ``rows`` rows.

    Two rows share a multiplier: ``(w1 * 2^S + w0) * x`` has both products, and their sums stay
    apart as long as those of ``w0`` fit S bits. The products of a pair of rows are added from one
    multiplier to the next, each a cycle later, as a column of DSP blocks does. A beat per cycle; it
    never stops.

    Parameters
    ----------
    rows : int
        Rows of weights, an even number.
    length : int
        Products of a row.

    Members
    -------
    i_weights : ``In(ArrayLayout(ArrayLayout(signed(4), length), rows))``
    i_activations : ``In(ArrayLayout(signed(8), length))``
        A beat, in any cycle.
    o : ``Out(ArrayLayout(signed(S), rows))``
        Its sums, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        ``length`` and 2.
    """

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self.latency = length + 2
        self.sum_width = 12 + (length - 1).bit_length()   # of products of up to -8 * -128
        super().__init__({
            "i_weights": In(data.ArrayLayout(data.ArrayLayout(signed(4), length), rows)),
            "i_activations": In(data.ArrayLayout(signed(8), length)),
            "o": Out(data.ArrayLayout(signed(self.sum_width), rows)),
        })

    def elaborate(self, platform):
        m = Module()
        later = [delay(m, self.i_activations[place], place + 1, f"x_{place}")
                 for place in range(self.length)]
        for row in range(0, self.rows, 2):
            both = self._sums(m, row, later)
            low = both[:self.sum_width].as_signed()
            m.d.sync += [self.o[row].eq(low),
                         self.o[row + 1].eq(both[self.sum_width:].as_signed() + (low < 0))]
        return m

    def _sums(self, m: Module, row: int, later: list[Value]) -> Value:
        """The sums of a pair of rows, in one number."""
        so_far: Value | None = None
        for place in range(self.length):
            low, high = (delay(m, self.i_weights[row + one][place], place, f"w_{row + one}_{place}")
                         for one in (0, 1))
            packed = Signal(signed(4 + self.sum_width + 1), name=f"packed_{row}_{place}",
                            reset_less=True)
            total = Signal(signed(2 * self.sum_width), name=f"total_{row}_{place}",
                           reset_less=True)
            m.d.sync += packed.eq((high.as_signed() << self.sum_width) + low.as_signed())
            product = packed * later[place].as_signed()
            m.d.sync += total.eq(product if so_far is None else so_far + product)
            so_far = total
        assert so_far is not None
        return so_far
