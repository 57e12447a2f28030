"""The array's arithmetic: products, sums of groups, scales, totals."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from .array_parameters import PRODUCT_WIDTH, SCALE_WIDTH, TOTAL_WIDTH, ArrayParameters, Stationary
from .multiplier import Multiplier, e4m3_parts

__all__ = ["Datapath", "totals_layout", "weights_layout"]

_MARKS = ("valid", "opens", "closes", "first", "last")


def weights_layout(parameters: ArrayParameters) -> data.StructLayout:
    """INT4 codes by row and lane, and the E4M3 code of each row's scale."""
    lanes = data.ArrayLayout(signed(4), parameters.lanes)
    return data.StructLayout({
        "codes": data.ArrayLayout(lanes, parameters.rows),
        "scales": data.ArrayLayout(8, parameters.rows),
    })


def activations_layout(parameters: ArrayParameters) -> data.ArrayLayout:
    """E4M3 codes by token and lane."""
    lanes = data.ArrayLayout(8, parameters.lanes)
    return data.ArrayLayout(lanes, parameters.parallel_tokens)


def totals_layout(parameters: ArrayParameters) -> data.ArrayLayout:
    """Exact totals by token and row."""
    rows = data.ArrayLayout(signed(TOTAL_WIDTH), parameters.rows)
    return data.ArrayLayout(rows, parameters.parallel_tokens)


class Datapath(Component):
    """A pipeline of ``latency`` stages that moves in the cycles in which ``move`` is high.

    Stages: products; sums over lanes; sums over a group; products with the scales; totals.

    Members
    -------
    move : ``In(1)``
        Every stage takes over the one before it, or all stay as they are.
    valid, opens, closes, first, last : ``In(1)``
        There is a beat; it is its group's first or last one; its group is K's first or last one.
    token : ``In(range(parameters.tokens))``
        Which total the group is added to, if weights stay.
    weights, activations
        The beat, see ``weights_layout``. Scales are read where ``closes``.
    o : ``Out(totals_layout(parameters))``
    o_valid : ``Out(1)``
        ``o`` holds complete totals, until the next move.
    """

    latency = 5

    def __init__(self, parameters: ArrayParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "move": In(1), **{mark: In(1) for mark in _MARKS},
            "token": In(range(parameters.tokens)),
            "weights": In(weights_layout(parameters)),
            "activations": In(activations_layout(parameters)),
            "o": Out(totals_layout(parameters)),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.parameters
        marks = {mark: self._delayed(m, getattr(self, mark), mark) for mark in _MARKS}
        token = self._delayed(m, self.token, "token")
        scales = self._scales(m)
        pairs = [(n, r) for n in range(shape.parallel_tokens) for r in range(shape.rows)]
        scaled = {}
        for n, r in pairs:
            scaled[n, r] = self._scaled_group(m, n, r, marks, scales[r])
        before = self._totals_before(m, marks, token, scaled)
        for n, r in pairs:
            total = scaled[n, r] + Mux(marks["first"][4], 0, before[n][r])
            with m.If(self.move):
                m.d.sync += self.o[n][r].eq(total)
        with m.If(self.move):
            m.d.sync += self.o_valid.eq(marks["valid"][4] & marks["closes"][4] & marks["last"][4])
        return m

    def _delayed(self, m: Module, value, name: str) -> list:
        """``value`` of the beat in stage 0 (entering) to 4."""
        stages = [value]
        for stage in range(1, self.latency):
            stages.append(Signal.like(value, name=f"{name}_{stage}"))
            with m.If(self.move):
                m.d.sync += stages[-1].eq(stages[-2])
        return stages

    def _scales(self, m: Module) -> list[Signal]:
        """Each row's scale, in units of 2^-9, beside the group's sum."""
        found = []
        for r in range(self.parameters.rows):
            code = self._delayed(m, self.weights.scales[r], f"scale_code_{r}")[3]
            mantissa, shift = e4m3_parts(code)
            scale = Signal(signed(SCALE_WIDTH), name=f"scale_{r}")
            m.d.comb += scale.eq(mantissa << shift)
            found.append(scale)
        return found

    def _scaled_group(self, m: Module, n: int, r: int, marks: dict, scale: Signal) -> Signal:
        shape = self.parameters
        products: list[Value] = []
        for lane in range(shape.lanes):
            m.submodules[f"multiplier_{n}_{r}_{lane}"] = multiplier = Multiplier()
            product = Signal(signed(PRODUCT_WIDTH), name=f"product_{n}_{r}_{lane}")
            m.d.comb += [multiplier.weight.eq(self.weights.codes[r][lane]),
                         multiplier.activation.eq(self.activations[n][lane])]
            with m.If(self.move):
                m.d.sync += product.eq(multiplier.o)
            products.append(product)
        lanes = Signal(signed(shape.group_width), name=f"lanes_{n}_{r}")
        group = Signal(signed(shape.group_width), name=f"group_{n}_{r}")
        scaled = Signal(signed(shape.group_width + SCALE_WIDTH), name=f"scaled_{n}_{r}")
        with m.If(self.move):
            m.d.sync += [lanes.eq(_balanced_sum(products)), scaled.eq(group * scale)]
        with m.If(self.move & marks["valid"][2]):
            m.d.sync += group.eq(lanes + Mux(marks["opens"][2], 0, group))
        return scaled

    def _totals_before(self, m: Module, marks: dict, token: list, scaled: dict) -> Any:
        """The totals of the groups before, beside ``scaled``, by token and row."""
        shape = self.parameters
        if shape.stationary is Stationary.OUTPUT:
            return self._kept_totals(m, marks, scaled)
        rows = data.ArrayLayout(signed(TOTAL_WIDTH), shape.rows)
        m.submodules.totals = totals = Memory(shape=rows, depth=shape.tokens, init=[])
        write = totals.write_port()
        # Transparent, because a job of one token adds to a total in one beat after another.
        read = totals.read_port(transparent_for=(write,))
        m.d.comb += [read.addr.eq(token[3]), read.en.eq(self.move), write.addr.eq(token[4]),
                     write.en.eq(self.move & marks["valid"][4] & marks["closes"][4])]
        for r in range(shape.rows):
            m.d.comb += write.data[r].eq(
                scaled[0, r] + Mux(marks["first"][4], 0, read.data[r]))
        return [read.data]

    def _kept_totals(self, m: Module, marks: dict, scaled: dict) -> Any:
        kept = Signal(totals_layout(self.parameters))
        with m.If(self.move & marks["valid"][4] & marks["closes"][4]):
            for (n, r), group in scaled.items():
                m.d.sync += kept[n][r].eq(group + Mux(marks["first"][4], 0, kept[n][r]))
        return kept


def _balanced_sum(terms: list[Value]) -> Value:
    """The sum of ``terms``, as a tree."""
    while len(terms) > 1:
        pairs = [a + b for a, b in zip(terms[0::2], terms[1::2], strict=False)]
        terms = [*pairs, *terms[2 * len(pairs):]]
    return terms[0]
