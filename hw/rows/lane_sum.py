"""The sum of a row, or of its squares, in the written order of ``numerics``."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
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
    starts per cycle, as soon as both lanes hold what they should. With a latency of 3 or more, this
    is, after the first half of the additions, when the other lane's sum arrives.
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
    the same cycle, so that they can be LUT RAM, where registers would need multiplexers. Whose sum
    is added to next is known a cycle ahead, and so are the operands of the one more adder.

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
        group, next_group = Signal(range(groups)), Signal(range(groups))
        held, next_held = Signal(groups), Signal(groups)
        p_held = Signal(groups)
        bank = Signal()
        m.d.comb += [p_held.eq(held | 1 << group), next_group.eq(group), next_held.eq(held)]
        with m.If(p_valid):
            m.d.comb += [next_group.eq(Mux(p_last, 0, group + 1)),
                         next_held.eq(Mux(p_last, 0, p_held))]
            m.d.sync += bank.eq(bank ^ p_last)
        m.d.sync += [group.eq(next_group), held.eq(next_held)]

        # Sums arrive (s), and may be added to in that very cycle.
        until_sum = FloatAdd.latency - 1
        before_valid = delay_pulse(m, p_valid, until_sum, "before_valid")
        before_group = delay(m, group, until_sum, "before_group")
        s_valid = delay_pulse(m, before_valid, 1, "s_valid")
        s_group = delay(m, before_group, 1, "s_group")
        s_bank = delay(m, bank, FloatAdd.latency, "s_bank")
        s_held = delay(m, p_held, FloatAdd.latency, "s_held")
        s_last = delay(m, p_last, FloatAdd.latency, "s_last")
        holds_sum, sum_comes = Signal(), Signal()   # of the group in this cycle
        m.d.sync += [
            holds_sum.eq(next_held.bit_select(next_group, 1)),
            sum_comes.eq(before_valid & (before_group == next_group)),
        ]
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
            latest = Mux(sum_comes, add.o.as_value(), stored.data)
            m.d.comb += [
                add.i_a.eq(Mux(holds_sum, latest, 0)),
                add.i_b.eq(value),
                stored.addr.eq(Cat(group, bank)),
                write.addr.eq(Cat(s_group, s_bank)), write.data.eq(add.o), write.en.eq(s_valid),
            ]
            memories.append(memory)

        row_held = Signal(groups, reset_less=True)
        row_bank = Signal(reset_less=True)
        ends = Signal()
        m.d.comb += ends.eq(s_valid & s_last)
        with m.If(ends):
            m.d.sync += [row_held.eq(s_held), row_bank.eq(s_bank)]
        self._sum_lanes(m, ends, memories, row_held, row_bank)
        return m

    def _sum_lanes(self, m: Module, start: Signal, memories: list[Memory], held: Signal,
                   bank: Signal) -> None:
        """From ``start`` on, when the row's last sums are written, one adder adds by the schedule.

        In a cycle each, an addition's lanes are chosen (c), their sums are read (r), and added. The
        first half of the additions reads the row's bank of ``memories``; the others read what was
        added before, of which the other lane's came out of the adder in this very cycle.
        """
        end = 2 + self._schedule[-1][0] + FloatAdd.latency
        cycle = Signal(range(end))
        active, runs = Signal(), Signal()
        c_adds = Signal()
        c_in_row = Signal(reset_less=True)
        c_lane, c_other = (Signal(range(LANES), name=name, reset_less=True)
                           for name in ("c_lane", "c_other"))
        m.d.comb += runs.eq(start | active)
        m.d.sync += [c_adds.eq(0), c_in_row.eq(cycle < LANES // 2), self.o_valid.eq(0)]
        with m.If(runs):
            m.d.sync += [active.eq(1), cycle.eq(cycle + 1)]
            with m.Switch(cycle):
                for number, one, another in self._schedule:
                    with m.Case(number):
                        m.d.sync += [c_adds.eq(1), c_lane.eq(one), c_other.eq(another)]
        with m.If(cycle == end - 1):
            m.d.sync += [active.eq(0), cycle.eq(0), self.o_valid.eq(1)]

        m.submodules.add_lanes = add = FloatAdd(FLOAT32)
        m.submodules.tree = tree = Memory(shape=FLOAT32.width, depth=LANES // 2, init=[])
        write, of_tree = tree.write_port(), tree.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(delay(m, c_lane, 1 + FloatAdd.latency, "added_lane")),
            write.data.eq(add.o),
            write.en.eq(delay_pulse(m, c_adds, 1 + FloatAdd.latency, "added")),
            of_tree.addr.eq(c_lane),
        ]
        place_bits = (self.lanes - 1).bit_length()
        for operand, lane, added in ((add.i_a, c_lane, of_tree.data), (add.i_b, c_other, add.o)):
            group = lane[place_bits:]
            reads = []
            for memory in memories:
                read = memory.read_port(domain="comb")
                m.d.comb += read.addr.eq(Cat(group, bank))
                reads.append(read.data)
            of_row = Mux(held.bit_select(group, 1), Array(reads)[lane[:place_bits]], 0)
            r_operand = Signal(FLOAT32.width, reset_less=True)
            m.d.sync += r_operand.eq(Mux(c_in_row, of_row, Value.cast(added)))
            m.d.comb += operand.eq(r_operand)
        m.d.comb += self.o.eq(add.o)
