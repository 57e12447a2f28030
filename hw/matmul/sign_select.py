"""The matmul engine without tables: each ternary weight keeps, negates or drops an activation."""

from __future__ import annotations

from itertools import zip_longest

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .adder_tree import SumTree
from .engine import Datapath, MatmulEngine
from .engine_parameters import TlmmParameters
from .lookup_tables import index_layout
from .table_builder import group_layout

__all__ = ["SelectTree", "SignSelect", "SignSelectDatapath", "TritDecoder", "trit_layout"]


def trit_layout() -> data.StructLayout:
    """A trit as what it does to an activation: 0 is neither, -1 both."""
    return data.StructLayout({"nonzero": 1, "negative": 1})


class TritDecoder(Component):
    """The trits of every index of a weight beat, one cycle later.

    A magnitude that no trits have decodes to zeros. Each index is looked up in a read-only table.

    Members
    -------
    i : ``In(index_layout(parameters))``
    o : ``Out(ArrayLayout(ArrayLayout(trit_layout(), T * G), C))``
        The trits of each column, in the order of K.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        column = data.ArrayLayout(trit_layout(), parameters.pass_length)
        super().__init__({
            "i": In(index_layout(parameters)),
            "o": Out(data.ArrayLayout(column, parameters.columns)),
        })

    def elaborate(self, platform):
        m = Module()
        size, entries = self.parameters.group_size, self.parameters.entries
        magnitudes = range(1 << (self.parameters.index_width - 1))
        positive = [value if value < entries else 0 for value in magnitudes]
        values = positive + [-value for value in positive]
        m.submodules.table = memory = Memory(
            shape=data.ArrayLayout(trit_layout(), size), depth=len(values),
            init=[[{"nonzero": digit != 1, "negative": digit == 0}
                   for digit in ((value + entries - 1) // 3 ** place % 3 for place in range(size))]
                  for value in values])
        for column in range(self.parameters.columns):
            trits = []
            for number in range(self.parameters.tables):
                read = memory.read_port(domain="comb")
                m.d.comb += read.addr.eq(self.i[column][number])
                trits.append(read.data.as_value())
            decoded = Signal(self.o[column].shape(), name=f"trits_{column}", reset_less=True)
            m.d.sync += decoded.eq(Cat(trits))
            m.d.comb += self.o[column].eq(decoded)
        return m


class SelectTree(SumTree):
    """The sum of ``count`` activations of ``width`` bits, at least 2, times one trit each.

    -a is ~a + 1. So a trit inverts the bits or clears them, a LUT per bit, and the + 1 of
    each negation goes into the carry input of some adder of the tree, which is free. The tree has
    one adder, hence one carry input, less than addends; therefore the last + 1 is an addend of
    its own. The first adders stand behind the selection without a register between.

    Members
    -------
    i_trits : ``In(ArrayLayout(trit_layout(), count))``
        The trits.
    """

    def __init__(self, count: int, width: int) -> None:
        self.check(count, width)   # before members are made of it
        super().__init__(count, width, terms=count + 1,
                         i_trits=In(data.ArrayLayout(trit_layout(), count)))

    def elaborate(self, platform):
        m = Module()

        terms: list[Value] = []
        for activation, trit in zip(self.i, self.i_trits, strict=True):
            inverted = Mux(trit.negative, ~activation, activation)
            terms.append(Mux(trit.nonzero, inverted, 0).as_signed())
        carries: list[Value] = [trit.negative for trit in self.i_trits]
        terms.append(Cat(carries.pop(), 0).as_signed())

        for level in range(1, self.latency + 1):
            pairs = list(zip_longest(terms[0::2], terms[1::2]))
            sums = [Signal(signed(self.width + level), name=f"sum_{level}_{lane}", reset_less=True)
                    for lane in range(len(pairs))]
            for total, (left, right) in zip(sums, pairs, strict=True):
                # An odd term out waits a stage, so that all terms of a level are of one beat.
                both = left if right is None else left + right
                carried = right is not None and carries
                m.d.sync += total.eq(both + carries.pop() if carried else both)
            later = Signal(len(carries), name=f"carries_{level}", reset_less=True)
            m.d.sync += later.eq(Cat(carries))
            terms, carries = [*sums], list(later)
        m.d.comb += self.o.eq(terms[0])

        return m


class SignSelectDatapath(Datapath):
    """The datapath of ``SignSelect``.

    The activations that are in use, and those of the next pass, are registers.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        super().__init__(parameters, lambda: SelectTree(parameters.pass_length,
                                                        parameters.activation_width))

    def elaborate(self, platform):
        m = Module()

        # Keep: the next pass moves up when the one in use is released.
        waits = Signal()
        next_groups = Signal(group_layout(self.parameters), reset_less=True)
        groups = Signal(group_layout(self.parameters), reset_less=True)
        moves = Signal()
        m.d.comb += [
            self.i.ready.eq(~waits),
            moves.eq(waits & (~self.full | self.release)),
        ]
        with m.If(self.release):
            m.d.sync += self.full.eq(0)
        with m.If(moves):
            m.d.sync += [self.full.eq(1), groups.eq(next_groups), waits.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [waits.eq(1), next_groups.eq(self.i.p)]

        # Decode the trits; the activations keep step.
        m.submodules.decoder = decoder = TritDecoder(self.parameters)
        m.d.comb += decoder.i.eq(self.indices)
        decoded_groups = Signal(group_layout(self.parameters), reset_less=True)
        m.d.sync += decoded_groups.eq(groups)

        # Select and add: one tree per column.
        for column, tree in enumerate(self._trees):
            m.submodules[f"tree_{column}"] = tree
            m.d.comb += [
                Cat(tree.i).eq(decoded_groups),
                tree.i_trits.eq(decoder.o[column]),
                self.sums[column].eq(tree.o),
            ]

        return m


class SignSelect(MatmulEngine):
    """The engine that ``Tlmm`` is compared with: the same streams, the same sums, no tables.

    A weight beat multiplies the T * G activations of its pass for C output rows directly. No
    tables have to be built, so a pass takes ``max(blocks, 2)`` cycles when nothing stalls;
    ``hw.matmul.engine_parameters.sign_select_cycles`` counts a whole run exactly. An output beat
    leaves ``parameters.sign_select_latency`` cycles after the weight beat that completes it.

    Sources
    -------
    bitnet-kv260 (github.com/MerlijnW70/bitnet-kv260) for XOR, mask, and counting the negations
    apart; here they are the adders' carry inputs.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.

    Members
    -------
    They are the same as those of ``Tlmm``.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters   # before the check, for __repr__
        if not isinstance(parameters, TlmmParameters):
            raise TypeError(f"A sign-select engine takes TlmmParameters, not {parameters!r}")
        super().__init__(parameters, SignSelectDatapath(parameters))
