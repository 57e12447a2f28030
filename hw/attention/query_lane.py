"""What one query needs of its own: its codes and weights, its products, dots and sums."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.shifting import delay
from ..matmul.accumulators import Accumulators
from ..matmul.adder_tree import AdderTree
from .attention_parameters import BANKS, TILE, AttentionParameters

__all__ = ["QueryLane", "word_control_layout"]

_WEIGHT_WIDTH = 16
_CODE_WIDTH = 8


def word_control_layout(parameters: AttentionParameters) -> data.StructLayout:
    """What a word of codes is: of keys or ``values``, ``row`` and ``chunk`` in its tile, banks."""
    return data.StructLayout({
        "valid": 1, "values": 1, "bank": range(BANKS), "pass_bank": 1,
        "row": range(parameters.rows), "chunk": range(parameters.max_chunks),
        "first_chunk": 1, "last_chunk": 1, "last_row": 1,
    })


class QueryLane(Component):
    """Multiply the words of a tile by one query's codes, or by its softmax weights.

    A word of keys gives products with the query's codes of the same chunk; they are summed over the
    chunk, and over the chunks of a head: a dot product per token. A word of values gives products
    with its tokens' weights; they are summed over the tokens of the tile: a sum per element. Both
    multiply a word per cycle, and never stop; what does not concern them they do not keep. All
    results are exact and are kept in memories, from which the float stages read them: dots and
    weights of ``BANKS`` tiles, codes of two passes, sums of two tiles. Nothing here is a stream:
    who writes and reads knows when (``words.Words``).

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i_codes : ``In(...)``
        Store ``lanes`` codes of a query at beat ``beat`` of bank ``bank``, if ``valid``.
    i_weight : ``In(...)``
        Store the int16 weight of token ``token``.
    i_count : ``In(...)``
        Set how many tokens of a bank's tile the query sees: weights past them count as 0.
    i_control, i_word : ``In(...)``
        A word, and what it is.
    i_dot : ``In(...)``, o_dot : ``Out(signed(dot_width))``
        The dot product of ``token``, ``read_latency`` cycles later.
    i_sum : ``In(...)``, o_sums : ``Out(ArrayLayout(signed(sum_width), lanes))``
        Beat ``beat`` of the sums, ``read_latency`` cycles later.

    Attributes
    ----------
    read_latency : int
        2.
    dot_latency, sum_latency : int
        Cycles from the last word of a row, or of a tile, until its dots, or sums, can be asked for.
    """

    read_latency = 2

    def __init__(self, parameters: AttentionParameters) -> None:
        p = self.parameters = parameters
        of_tile = {"valid": 1, "bank": range(BANKS)}
        beats = range(p.max_head_dim // p.lanes)
        self._chunk_tree = AdderTree(p.chunk, 2 * _CODE_WIDTH)
        self._token_tree = AdderTree(p.word_tokens, _CODE_WIDTH + _WEIGHT_WIDTH)
        self.dot_latency = p.factor_cycles + 1 + self._chunk_tree.latency + 2
        self.sum_latency = p.factor_cycles + 1 + self._token_tree.latency + 1
        super().__init__({
            "i_codes": In(data.StructLayout({
                "valid": 1, "bank": 1, "beat": beats,
                "codes": data.ArrayLayout(_CODE_WIDTH, p.lanes)})),
            "i_weight": In(data.StructLayout(of_tile | {
                "token": range(TILE), "weight": _WEIGHT_WIDTH})),
            "i_count": In(data.StructLayout(of_tile | {"count": range(TILE + 1)})),
            "i_control": In(word_control_layout(p)),
            "i_word": In(data.ArrayLayout(_CODE_WIDTH, p.word_bytes)),
            "i_dot": In(data.StructLayout({"bank": range(BANKS), "token": range(TILE)})),
            "o_dot": Out(signed(p.dot_width)),
            "i_sum": In(data.StructLayout({"bank": 1, "beat": beats})),
            "o_sums": Out(data.ArrayLayout(signed(p.sum_width), p.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        codes, weights = self._operands(m)

        # Multiply (x). Keys and values have multipliers of their own: a choice between two factors
        # in front of shared ones would take 16 LUTs for each, and DSP blocks are left over.
        factor_cycles = self.parameters.factor_cycles
        x_word = delay(m, self.i_word, factor_cycles, "x_word")
        key_products, value_products = [], []
        for place in range(self.parameters.word_bytes):
            token, element = divmod(place, self.parameters.chunk)
            for kind, factor, products in (("key", codes[element], key_products),
                                           ("value", weights[token], value_products)):
                product = Signal(signed(len(factor) + _CODE_WIDTH), name=f"{kind}_product_{place}",
                                 reset_less=True)
                m.d.sync += product.eq(factor * x_word[place].as_signed())
                products.append(product)
        self._dots(m, delay(m, self.i_control, factor_cycles + 1, "control"), key_products)
        self._sums(m, value_products)
        return m

    def _operands(self, m: Module) -> tuple[list, list]:
        """The codes of the word's chunk and its tokens' weights, ``factor_cycles`` after it."""
        p, control = self.parameters, self.i_control

        m.submodules.codes = codes = Memory(
            shape=data.ArrayLayout(_CODE_WIDTH, p.chunk), init=[],
            depth=2 << (p.max_chunks - 1).bit_length())
        write, read = codes.write_port(granularity=p.lanes), codes.read_port()
        beats = p.chunk // p.lanes
        below = beats.bit_length() - 1
        m.d.comb += [
            write.addr.eq(Cat(self.i_codes.beat[below:], self.i_codes.bank)),
            write.data.eq(Cat([self.i_codes.codes] * beats)),
            write.en.eq(self.i_codes.valid << self.i_codes.beat[:below]),
            read.addr.eq(Cat(control.chunk, control.pass_bank)),
        ]

        m.submodules.weights = weights = Memory(
            shape=data.ArrayLayout(_WEIGHT_WIDTH, p.word_tokens), init=[],
            depth=BANKS * p.rows)
        write_weight, read_weights = weights.write_port(granularity=1), weights.read_port()
        token = self.i_weight.token
        low = p.word_tokens.bit_length() - 1
        m.d.comb += [
            write_weight.addr.eq(Cat(token[low:], self.i_weight.bank)),
            write_weight.data.eq(Cat([self.i_weight.weight] * p.word_tokens)),
            write_weight.en.eq(self.i_weight.valid << token[:low]),
            read_weights.addr.eq(Cat(control.row, control.bank)),
        ]
        counts = Signal(data.ArrayLayout(range(TILE + 1), BANKS))
        with m.If(self.i_count.valid):
            m.d.sync += counts[self.i_count.bank].eq(self.i_count.count)
        masked = []
        for number in range(p.word_tokens):
            seen = Signal(name=f"seen_{number}", reset_less=True)
            m.d.sync += seen.eq(control.row * p.word_tokens + number < counts[control.bank])
            masked.append(Mux(seen, read_weights.data[number].as_signed(), 0))
        code_factors, weight_factors = (
            [delay(m, factor, p.factor_cycles - 1, f"{name}_{number}")
             for number, factor in enumerate(factors)]
            for name, factors in (("code", [code.as_signed() for code in read.data]),
                                  ("weight", masked)))
        return code_factors, weight_factors

    def _dots(self, m: Module, control, products: list) -> None:
        p, tokens = self.parameters, self.parameters.word_tokens
        trees = [self._chunk_tree, *(AdderTree(p.chunk, 2 * _CODE_WIDTH)
                                     for _ in range(tokens - 1))]
        d_control = delay(m, control, self._chunk_tree.latency, "d_control")
        dots = Signal(data.ArrayLayout(signed(p.dot_width), tokens), reset_less=True)
        for number, tree in enumerate(trees):
            m.submodules[f"chunk_tree_{number}"] = tree
            for element in range(p.chunk):
                m.d.comb += tree.i[element].eq(products[number * p.chunk + element])
            with m.If(d_control.valid):
                m.d.sync += dots[number].eq(Mux(d_control.first_chunk, 0, dots[number]) + tree.o)

        m.submodules.dots = memory = Memory(
            shape=dots.shape(), depth=BANKS * p.rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        w_control = delay(m, d_control, 1, "w_control")
        low = tokens.bit_length() - 1
        m.d.comb += [
            write.addr.eq(Cat(w_control.row, w_control.bank)),
            write.data.eq(dots),
            write.en.eq(w_control.valid & ~w_control.values & w_control.last_chunk),
            read.addr.eq(Cat(self.i_dot.token[low:], self.i_dot.bank)),
        ]
        chosen = Signal(signed(p.dot_width), reset_less=True)
        m.d.sync += chosen.eq(read.data[delay(m, self.i_dot.token[:low], 1, "dot_place")])
        m.d.comb += self.o_dot.eq(chosen)

    def _sums(self, m: Module, products: list) -> None:
        p = self.parameters
        trees = [self._token_tree, *(AdderTree(p.word_tokens, _CODE_WIDTH + _WEIGHT_WIDTH)
                                     for _ in range(p.chunk - 1))]
        m.submodules.accumulators = accumulators = Accumulators(
            depth=p.max_chunks, columns=p.chunk, addend_width=len(trees[0].o), width=p.sum_width)
        # The control goes one cycle ahead of the addends.
        a_latency = p.factor_cycles + self._token_tree.latency
        a_control = delay(m, self.i_control, a_latency, "a_control")
        for element, tree in enumerate(trees):
            m.submodules[f"token_tree_{element}"] = tree
            m.d.comb += [tree.i[token].eq(products[token * p.chunk + element])
                         for token in range(p.word_tokens)]
            m.d.comb += accumulators.i_addends[element].eq(tree.o)
        m.d.comb += [
            accumulators.i_control.valid.eq(a_control.valid & a_control.values),
            accumulators.i_control.first.eq(a_control.row == 0),
            accumulators.i_control.emit.eq(a_control.last_row),
            accumulators.i_control.row.eq(a_control.chunk),
        ]

        chunk_bits = (p.max_chunks - 1).bit_length()
        m.submodules.sums = memory = Memory(
            shape=accumulators.o.p.sums.shape(), depth=2 << chunk_bits, init=[])
        write, read = memory.write_port(), memory.read_port()
        e_control = delay(m, a_control, 1, "e_control")
        beats = p.chunk // p.lanes
        below = beats.bit_length() - 1
        m.d.comb += [
            write.addr.eq(Cat(e_control.chunk, e_control.bank[0])),
            write.data.eq(accumulators.o.p.sums),
            write.en.eq(accumulators.o.valid),
            read.addr.eq(Cat(self.i_sum.beat[below:], self.i_sum.bank)),
        ]
        place = delay(m, self.i_sum.beat[:below], 1, "sum_place")
        chosen = Signal(self.o_sums.shape(), reset_less=True)
        groups = [Cat(read.data[number * p.lanes + lane] for lane in range(p.lanes))
                  for number in range(beats)]
        m.d.sync += chosen.eq(Cat(*groups).word_select(place, p.lanes * p.sum_width))
        m.d.comb += self.o_sums.eq(chosen)
