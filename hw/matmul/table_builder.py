"""Lookup tables computed from groups of activations, one entry per cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from .engine_parameters import TlmmParameters

__all__ = ["TableBuilder", "entry_layout", "group_layout", "walk"]


def group_layout(parameters: TlmmParameters) -> data.ArrayLayout:
    """The activations of one pass: T groups of G."""
    activation = signed(parameters.activation_width)
    return data.ArrayLayout(data.ArrayLayout(activation, parameters.group_size), parameters.tables)


def entry_layout(parameters: TlmmParameters) -> data.StructLayout:
    """One entry of each of the T tables, and its index in them."""
    return data.StructLayout({
        "index": range(parameters.entries),
        "last": 1,
        "entries": data.ArrayLayout(signed(parameters.entry_width), parameters.tables),
    })


def walk(group_size: int) -> list[dict[str, int]]:
    """The order in which a table's entries are visited: modular ternary Gray codes.

    Entry ``index`` holds ``sum(trit_i * a_i)``, where ``index = sum(trit_i * 3^i)``, of the trits
    whose highest one that is not 0 is 1: the others are their negatives. The walk starts at the
    entry whose trits are all 0, which needs no computing, and each step turns one ``digit`` from
    -1 to 0, from 0 to 1, or, where it ``wrap``s, from 1 to -1. So each entry is its predecessor
    plus ``a_digit`` or minus ``2 * a_digit``: one addition, without the sums of several
    activations that counting upwards would need for its carries.
    """
    trits = [0] * group_size
    steps = []

    def step(digit: int) -> None:
        wrap = trits[digit] == 1
        steps.append({"index": sum(trit * 3 ** i for i, trit in enumerate(trits)),
                      "digit": digit, "wrap": int(wrap)})
        trits[digit] += -2 if wrap else 1

    for top in range(group_size):
        step(top)
        # All trits below, once round: the ruler sequence is how often 3 divides the count.
        for count in range(1, 3 ** top):
            step(next(i for i in range(top) if count % 3 ** (i + 1)))
    step(0)   # goes nowhere
    return steps


class TableBuilder(Component):
    """Turn the activations of one pass into the T lookup tables of that pass.

    For each beat of ``i``, ``parameters.entries`` beats of ``o`` follow, starting in the next
    cycle: entry by entry in the order of ``walk``, the same entry of all tables at once. Exact: an
    entry is as wide as the largest sum of G activations. The next activations are taken in together
    with the last entry, so that tables follow each other without a gap.

    Each table costs one adder and the registers of its entry and its G activations; the walk
    (a small read-only memory and a counter) is shared by all tables.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.

    Members
    -------
    i : ``In(stream.Signature(group_layout(parameters)))``
        Activations. ``i.ready`` depends on ``o.ready``, not on ``i.valid``.
    o : ``Out(stream.Signature(entry_layout(parameters)))``
        Table entries; ``last`` marks the last one of a pass.
    """

    def __init__(self, parameters: TlmmParameters) -> None:
        self.parameters = parameters
        super().__init__({
            "i": In(stream.Signature(group_layout(parameters))),
            "o": Out(stream.Signature(entry_layout(parameters))),
        })

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters

        # A step is read from the memory while the one before it is done: all tables look at it.
        steps = walk(parameters.group_size)
        layout = data.StructLayout({
            "index": range(parameters.entries),
            "digit": range(parameters.group_size),
            "wrap": 1,
        })
        m.submodules.walk = walk_memory = Memory(shape=layout, depth=len(steps), init=steps)
        read = walk_memory.read_port(domain="comb")
        step: Any = Signal(layout, reset_less=True)   # a View
        last = Signal(reset_less=True)

        groups = Signal(group_layout(parameters), reset_less=True)
        loaded, loads, steps_on = Signal(), Signal(), Signal()
        count = Signal.like(read.addr)
        m.d.comb += [
            self.i.ready.eq(~loaded | (self.o.ready & last)),
            self.o.valid.eq(loaded),
            self.o.p.index.eq(step.index),
            self.o.p.last.eq(last),
            loads.eq(self.i.valid & self.i.ready), steps_on.eq(self.o.valid & self.o.ready),
            # Of registers alone, as ``steps_on`` goes to every bit of every entry.
            read.addr.eq(Mux(last | ~loaded, 0, count + 1)),
        ]
        with m.If(loads | steps_on):
            m.d.sync += [
                count.eq(read.addr), step.eq(read.data), last.eq(read.addr == len(steps) - 1),
            ]
        with m.If(steps_on & last):
            m.d.sync += loaded.eq(0)
        with m.If(loads):
            m.d.sync += [loaded.eq(1), groups.eq(self.i.p)]

        for table in range(parameters.tables):
            entry = Signal(signed(parameters.entry_width), name=f"entry_{table}", reset_less=True)
            activation = groups[table][step.digit]
            # -2a is ~(2a) + 1: the adder's carry input is the + 1.
            addend = Mux(step.wrap, ~(activation << 1), activation)
            with m.If(steps_on):
                m.d.sync += entry.eq(entry + addend + step.wrap)
            with m.If(loads):
                m.d.sync += entry.eq(0)
            m.d.comb += self.o.p.entries[table].eq(entry)

        return m
