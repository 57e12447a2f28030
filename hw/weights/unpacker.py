"""Bytes from memory become the indices of the table-lookup engine."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..matmul.lookup_tables import index_layout
from ..matmul.weight_codes import ESCAPE, PAIRS, pair_trits, sign_magnitude
from ..memory.axi import word_layout
from .weight_layout import WeightLayout

__all__ = ["Unpacker"]


class Unpacker(Component):
    """Turn the memory image of a ternary matrix into its weight beats.

    Every byte holds five trits, as ``weight_codes`` says; where they lie says ``WeightLayout``.
    Exact. A byte that no encoder writes is reported. Its group reads as an index that the engine
    takes for 0 (G = 3, 5), or its five trits as zeros.

    Throughput: one word per cycle while ``o`` is taken, so ``layout.frame_words`` cycles for the
    beats of a frame. Latency: a beat is valid in the cycle after its last own word was taken.

    Cost: registers for the beat that is offered, for all but one of a beat's own words, and for the
    rests of the beats of a frame. For G = 3, about ten LUTs for each byte of a word, for G = 5
    none; otherwise a lookup in a 243-word read-only table for each byte and one in a 3^G-word table
    for each index of a beat.

    Parameters
    ----------
    layout : WeightLayout
        Engine, width of the words, and the order of the trits.

    Members
    -------
    i : ``In(stream.Signature(word_layout(word_bytes)))``
        Words of an image; ``last`` marks its last word, after which another image may follow.
        ``i.ready`` depends on ``o.ready``, not on ``i.valid``.
    o : ``Out(stream.Signature(index_layout(parameters)))``
        Weight beats. ``o.valid`` and the payload are registers.
    invalid : ``Out(1)``
        High for one cycle after a word was taken with a byte that no encoder writes.
    """

    def __init__(self, layout: WeightLayout) -> None:
        if not isinstance(layout, WeightLayout):
            raise TypeError(f"An unpacker takes a WeightLayout, not {layout!r}")
        self.layout = layout
        super().__init__({
            "i": In(stream.Signature(word_layout(layout.word_bytes))),
            "o": Out(stream.Signature(index_layout(layout.parameters))),
            "invalid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self.layout

        free, taken = Signal(), Signal()
        m.d.comb += [free.eq(~self.o.valid | self.o.ready), taken.eq(self.i.valid & self.i.ready)]
        m.d.sync += self.invalid.eq(taken & Cat(map(self._is_invalid, self.i.p.data)).any())

        # Where in its frame the next word stands.
        shared = Signal(range(layout.shared_words + 1))
        own = Signal(range(layout.whole_words))
        beat = Signal(range(layout.frame_beats))
        none_shared = layout.shared_words == 0
        one_own = layout.whole_words == 1
        is_own = Signal(init=none_shared)   # all shared words of the frame have come
        completes = Signal(init=none_shared and one_own)   # the word is a beat's last one
        # What thousands of registers of a beat look at: not ``is_own``, and not ``completes``.
        shares = Signal(init=not none_shared)
        collects = Signal(init=not (none_shared and one_own))
        will_complete = Signal()
        m.d.comb += self.i.ready.eq(~completes | free)
        with m.If(taken):
            m.d.sync += [completes.eq(will_complete), collects.eq(~will_complete)]
            with m.If(self.i.p.last):
                m.d.sync += [shared.eq(0), is_own.eq(none_shared), shares.eq(not none_shared),
                             own.eq(0), beat.eq(0)]
                m.d.comb += will_complete.eq(none_shared and one_own)
            with m.Elif(~is_own):
                last_shared = shared == layout.shared_words - 1
                m.d.sync += [shared.eq(shared + 1), is_own.eq(last_shared),
                             shares.eq(~last_shared)]
                m.d.comb += will_complete.eq(last_shared & one_own)
            with m.Elif(~completes):
                m.d.sync += own.eq(own + 1)
                m.d.comb += will_complete.eq(own == layout.whole_words - 2)
            with m.Else():
                m.d.sync += [own.eq(0), beat.eq(beat + 1)]
                m.d.comb += will_complete.eq(one_own)
                with m.If(beat == layout.frame_beats - 1):
                    m.d.sync += [shared.eq(0), is_own.eq(none_shared),
                                 shares.eq(not none_shared), beat.eq(0)]
                    m.d.comb += will_complete.eq(none_shared and one_own)

        # Collect: a beat's own words one by one, its rest from every shared word.
        cells = self._cells(m)
        own_cells: list[Value] = []
        for number in range(layout.whole_words - 1):
            word = Signal(data.ArrayLayout(self._cell_width, layout.word_cells),
                          name=f"own_{number}", reset_less=True)
            with m.If(self.i.valid & is_own & (own == number)):   # it is taken: it completes none
                m.d.sync += word.eq(Cat(cells))
            own_cells += list(word)
        own_cells += cells[:layout.beat_cells - layout.rest_cells - len(own_cells)]

        rests = [Signal(data.ArrayLayout(self._cell_width, layout.rest_cells),
                        name=f"rest_{number}", reset_less=True)
                 for number in range(layout.frame_beats)]
        # What a rest becomes follows from a register; only its enable waits for ``o.ready``.
        size = layout.piece_cells
        for number in range(layout.shared_words):
            first, end = number * size, min((number + 1) * size, layout.rest_cells)
            fills = self.i.valid & ~is_own & (shared == number)
            shifts = self.i.valid & is_own & completes & free
            for place, rest in enumerate(rests):
                value: Value = Cat(cells[place * size:place * size + end - first])
                changes = fills
                if place + 1 < len(rests):
                    later = rests[place + 1]
                    value = Mux(shares, value,
                                Cat(later[first + offset] for offset in range(end - first)))
                    changes = fills | shifts
                with m.If(changes):
                    m.d.sync += Cat(rest[first + offset] for offset in range(end - first)).eq(value)

        # Offer: whole groups as indices.
        with m.If(free):
            m.d.sync += self.o.valid.eq(self.i.valid & ~collects)
            with m.If(self.i.valid & ~collects):
                m.d.sync += self.o.p.eq(self._indices(m, own_cells + list(rests[0])))

        return m

    @property
    def _cell_width(self) -> int:
        return 2 if self.layout.cell_trits == 1 else self.layout.parameters.index_width

    def _index(self, byte: Value) -> Value:
        """The index that a byte holds, for G = 3 and 5."""
        if self.layout.cell_trits == 5:
            return byte
        return Cat(Mux(_escapes(byte), byte[:4], byte[3:7]), byte[7])

    def _is_invalid(self, byte: Value) -> Value:
        if self.layout.cell_trits == 1:
            return byte >= 3 ** 5
        index = self._index(byte)
        negative, magnitude = index[-1], index[:-1]
        return (magnitude >= self.layout.parameters.entries) | (negative & ~magnitude.any())

    def _cells(self, m: Module) -> list[Value]:
        """The cells of the word that is offered."""
        if self.layout.cell_trits == 5:
            return list(self.i.p.data)
        if self.layout.cell_trits == 3:
            return self._groups(m)
        table = [value if value < 3 ** 5 else 3 ** 5 // 2 for value in range(256)]
        m.submodules.digits = memory = Memory(
            shape=data.ArrayLayout(2, 5), depth=256,
            init=[[value // 3 ** place % 3 for place in range(5)] for value in table])
        cells: list[Value] = []
        for byte in self.i.p.data:
            read = memory.read_port(domain="comb")
            m.d.comb += read.addr.eq(byte)
            cells += list(read.data)
        return cells

    def _groups(self, m: Module) -> list[Value]:
        """The indices in the bytes, and after those of each three bytes the two of their pairs."""
        trits = [(int(first), int(second)) for first, second in pair_trits(np.arange(PAIRS))]
        width = self.layout.parameters.index_width
        # A pair is 8, or three bits; a trit is two bits, one more than itself.
        m.submodules.trits = split = Memory(
            shape=data.ArrayLayout(2, 2), depth=16,
            init=[[trit + 1 for trit in trits[min(pair, PAIRS - 1)]] for pair in range(16)])
        m.submodules.groups = join = Memory(
            shape=width, depth=64,
            init=[int(sign_magnitude(np.array(first + 3 * second + 9 * (number // 16 - 1)), width))
                  for number in range(64)
                  for first, second in [trits[min(number % 16, PAIRS - 1)]]])

        def pair(byte: Value) -> Value:
            return Cat(byte[:3], _escapes(byte))

        def group(byte: Value, trit: Value) -> Value:
            read = join.read_port(domain="comb")
            m.d.comb += read.addr.eq(Cat(pair(byte), trit))
            return read.data

        cells: list[Value] = []
        for first in range(0, self.layout.word_bytes, 3):
            three = self.i.p.data[first:first + 3]
            cells += [self._index(byte) for byte in three]
            if len(three) > 1:
                read = split.read_port(domain="comb")
                m.d.comb += read.addr.eq(pair(three[1]))
                cells += [group(byte, read.data[trit]) for trit, byte in enumerate(three[::2])]
        return cells

    def _indices(self, m: Module, cells: list[Value]) -> Value:
        """The indices of a beat's cells. A table, because carries would cost more than lookups."""
        if self.layout.cell_trits > 1:
            return Cat(cells)
        size = self.layout.parameters.group_size
        width = self.layout.parameters.index_width
        m.submodules.indices = memory = Memory(
            shape=width, depth=4 ** size,
            init=[_trits_index(value, size, width) for value in range(4 ** size)])
        reads = []
        for first in range(0, len(cells), size):
            read = memory.read_port(domain="comb")
            m.d.comb += read.addr.eq(Cat(cells[first:first + size]))
            reads.append(read.data)
        return Cat(reads)


def _escapes(byte: Value) -> Value:
    """The pair of a byte of G = 3 is the last one, and its index lies lower."""
    return (byte & ESCAPE) == ESCAPE


def _trits_index(digits: int, size: int, width: int) -> int:
    """The index of ``size`` digits of two bits, each one more than its trit."""
    value = sum(((digits >> 2 * place & 3) - 1) * 3 ** place for place in range(size))
    return int(sign_magnitude(np.array(value), width)) % (1 << width)
