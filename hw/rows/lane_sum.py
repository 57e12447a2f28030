"""The sum of a row, or of its squares, in the written order of ``numerics``."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...numerics import LANES
from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from .elementwise import lanes_layout
from .row_fork import row_layout

__all__ = ["LaneSum", "tree_schedule"]


def tree_schedule(latency: int) -> list[tuple[int, int, int]]:
    """When one adder makes each addition of ``numerics.add_lanes``: (cycle, lane, other lane).

    A lane takes the sum of itself and of the other one, ``latency`` + 1 cycles later. One addition
    starts per cycle, as soon as both lanes hold what they should.
    """
    holds = [0] * LANES   # the cycle from which a lane holds its latest sum
    schedule: list[tuple[int, int, int]] = []
    cycle = 0
    width = LANES // 2
    while width:
        for lane in range(width):
            cycle = max(cycle, holds[lane], holds[lane + width])
            schedule.append((cycle, lane, lane + width))
            holds[lane] = cycle + latency + 1
            cycle += 1
        width //= 2
    return schedule


class LaneSum(Component):
    """``numerics.sum_lanes`` of rows that come ``lanes`` elements per cycle, bit for bit.

    With ``squares``, ``numerics.sum_of_squares``.

    The rule's 16 sums are kept in memories, one for each element of a beat, whose adder serves 16 /
    ``lanes`` of them in turn, and as it returns to one of them not before ``FloatAdd.latency``
    cycles, a beat may come in every cycle. The memories have two banks: at the end of a row one
    more adder sums the row's 16 sums (``tree_schedule``) while the next row comes. They are read in
    the same cycle, so that they can be LUT RAM, where registers would need multiplexers.

    Parameters
    ----------
    lanes : int
        Elements of a beat: 1, 2 or 4.
    squares : bool
        Sum the squares of the elements.

    Members
    -------
    i : ``In(StructLayout({"beat": row_layout(lanes_layout(lanes)), "valid": 1}))``
        A beat of a row, if ``valid``.
    idle : ``Out(1)``
        A row may end. It depends on registers only.
    o : ``Out(FLOAT32.layout)``
        The sum, ``latency`` cycles after the last beat of its row.
    o_valid : ``Out(1)``
        ``o`` is a row's sum, in this cycle.

    Attributes
    ----------
    latency : int
        32; with squares 36.

    Raises
    ------
    ValueError
        ``lanes`` is another number.
    """

    _schedule = tree_schedule(FloatAdd.latency)
    sum_latency = FloatAdd.latency + 2 + _schedule[-1][0] + FloatAdd.latency
    squares_latency = FloatMultiply.latency + sum_latency

    def __init__(self, lanes: int, squares: bool = False) -> None:
        if lanes < 1 or LANES % lanes or LANES // lanes < FloatAdd.latency:
            raise ValueError(f"A lane sum takes 1, 2 or 4 lanes, not {lanes!r}")
        self.lanes = lanes
        self.squares = squares
        self.latency = self.squares_latency if squares else self.sum_latency
        self._square_latency = self.latency - self.sum_latency
        super().__init__({
            "i": In(data.StructLayout({"beat": row_layout(lanes_layout(lanes)), "valid": 1})),
            "idle": Out(1), "o": Out(FLOAT32.layout), "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        groups = LANES // self.lanes

        busy = Signal()
        m.d.comb += self.idle.eq(~busy)
        with m.If(self.i.valid & self.i.beat.last):
            m.d.sync += busy.eq(1)
        with m.If(self.o_valid):
            m.d.sync += busy.eq(0)

        # Addends arrive (p): which of the rule's lanes they go to, and which ones hold a sum.
        p_valid = delay_pulse(m, self.i.valid, self._square_latency, "p_valid")
        p_last = delay(m, self.i.beat.last, self._square_latency, "p_last")
        group = Signal(range(groups))
        held = Signal(groups)
        p_held = Signal(groups)
        m.d.comb += p_held.eq(held | 1 << group)
        with m.If(p_valid):
            m.d.sync += [group.eq(group + 1), held.eq(p_held)]
            with m.If(p_last):
                m.d.sync += [group.eq(0), held.eq(0)]

        # Sums arrive (s), and may be added to in that very cycle.
        bank = Signal()
        with m.If(p_valid & p_last):
            m.d.sync += bank.eq(~bank)
        s_valid = delay_pulse(m, p_valid, FloatAdd.latency, "s_valid")
        s_group = delay(m, group, FloatAdd.latency, "s_group")
        s_bank = delay(m, bank, FloatAdd.latency, "s_bank")
        s_held = delay(m, p_held, FloatAdd.latency, "s_held")
        s_last = delay(m, p_last, FloatAdd.latency, "s_last")
        memories = []
        for lane in range(self.lanes):
            m.submodules[f"add_{lane}"] = add = FloatAdd(FLOAT32)
            value = self.i.beat.values[lane]
            if self.squares:
                m.submodules[f"square_{lane}"] = square = FloatMultiply(FLOAT32)
                m.d.comb += [square.i_a.eq(value), square.i_b.eq(value)]
                value = square.o
            m.submodules[f"sums_{lane}"] = memory = Memory(
                shape=FLOAT32.width, depth=2 * groups, init=[])
            write, stored = memory.write_port(), memory.read_port(domain="comb")
            latest = Mux(s_valid & (s_group == group), add.o.as_value(), stored.data)
            m.d.comb += [
                add.i_a.eq(Mux(held.bit_select(group, 1), latest, 0)),
                add.i_b.eq(value),
                stored.addr.eq(Cat(group, bank)),
                write.addr.eq(Cat(s_group, s_bank)), write.data.eq(add.o), write.en.eq(s_valid),
            ]
            memories.append(memory)

        row_held = Signal(groups, reset_less=True)
        row_bank = Signal(reset_less=True)
        row_done = Signal()
        m.d.sync += row_done.eq(s_valid & s_last)
        with m.If(s_valid & s_last):
            m.d.sync += [row_held.eq(s_held), row_bank.eq(s_bank)]
        self._sum_lanes(m, row_done, memories, row_held, row_bank)
        return m

    def _sum_lanes(self, m: Module, start: Signal, memories: list[Memory], held: Signal,
                   bank: Signal) -> None:
        """After ``start``, go through the schedule with one adder.

        The first half of the additions reads the row's bank of ``memories``, the others what was
        added before.
        """
        end = self._schedule[-1][0] + FloatAdd.latency
        cycle = Signal(range(end + 1))
        active, adds = Signal(), Signal()
        lane, other = Signal(range(LANES)), Signal(range(LANES))
        with m.If(active):
            m.d.sync += cycle.eq(cycle + 1)
            with m.Switch(cycle):
                for number, one, another in self._schedule:
                    with m.Case(number):
                        m.d.comb += [adds.eq(1), lane.eq(one), other.eq(another)]
            with m.If(cycle == end):
                m.d.sync += [active.eq(0), cycle.eq(0)]
        with m.If(start):
            m.d.sync += active.eq(1)

        m.submodules.add_lanes = add = FloatAdd(FLOAT32)
        m.submodules.tree = tree = Memory(shape=FLOAT32.width, depth=LANES // 2, init=[])
        write = tree.write_port()
        m.d.comb += [
            write.addr.eq(delay(m, lane, FloatAdd.latency, "added_lane")),
            write.data.eq(add.o),
            write.en.eq(delay_pulse(m, adds, FloatAdd.latency, "added")),
        ]
        in_row = cycle < LANES // 2
        place_bits = (self.lanes - 1).bit_length()
        for operand, source in ((add.i_a, lane), (add.i_b, other)):
            group = source[place_bits:]
            reads = []
            for memory in memories:
                read = memory.read_port(domain="comb")
                m.d.comb += read.addr.eq(Cat(group, bank))
                reads.append(read.data)
            of_row = Mux(held.bit_select(group, 1), Array(reads)[source[:place_bits]], 0)
            of_tree = tree.read_port(domain="comb")
            m.d.comb += [
                of_tree.addr.eq(source),
                operand.eq(Mux(in_row, of_row, of_tree.data)),
            ]
        m.d.comb += [self.o.eq(add.o), self.o_valid.eq(active & (cycle == end))]
