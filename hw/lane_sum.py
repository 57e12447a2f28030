"""The sum of a row, or of its squares, in the written order of ``numerics``."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..numerics import LANES
from .elementwise import lanes_layout
from .floats.add import FloatAdd
from .floats.format import FLOAT32
from .floats.multiply import FloatMultiply
from .floats.shifting import delay, delay_pulse
from .rows import row_layout

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


class LaneSum(wiring.Component):
    """``numerics.sum_lanes`` of rows that come ``lanes`` elements per cycle, bit for bit.

    With ``squares``, ``numerics.sum_of_squares``.

    The rule's 16 sums are kept in registers; an adder per element of a beat serves 16 / ``lanes``
    of them in turn, and as it returns to one of them not before ``FloatAdd.latency`` cycles, a beat
    may come in every cycle. At the end of a row the 16 sums are copied, and one adder sums them
    (``tree_schedule``) while the next row comes.

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
        A row may end. Depends on registers only.
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
        s_valid = delay_pulse(m, p_valid, FloatAdd.latency, "s_valid")
        s_group = delay(m, group, FloatAdd.latency, "s_group")
        s_held = delay(m, p_held, FloatAdd.latency, "s_held")
        s_last = delay(m, p_last, FloatAdd.latency, "s_last")
        sums = [[Signal(FLOAT32.layout, name=f"sum_{number}_{lane}", reset_less=True)
                 for lane in range(self.lanes)] for number in range(groups)]
        for lane in range(self.lanes):
            m.submodules[f"add_{lane}"] = add = FloatAdd(FLOAT32)
            value = self.i.beat.values[lane]
            if self.squares:
                m.submodules[f"square_{lane}"] = square = FloatMultiply(FLOAT32)
                m.d.comb += [square.i_a.eq(value), square.i_b.eq(value)]
                value = square.o
            stored = Array(sums[number][lane].as_value() for number in range(groups))[group]
            latest = Mux(s_valid & (s_group == group), add.o.as_value(), stored)
            m.d.comb += [
                add.i_a.eq(Mux(held.bit_select(group, 1), latest, 0)),
                add.i_b.eq(value),
            ]
            for number in range(groups):
                with m.If(s_valid & (s_group == number)):
                    m.d.sync += sums[number][lane].eq(add.o)

        row_held = Signal(groups, reset_less=True)
        row_done = Signal()
        m.d.sync += [row_held.eq(s_held), row_done.eq(s_valid & s_last)]
        in_order = [Mux(row_held[number], sums[number][lane].as_value(), 0)
                    for number in range(groups) for lane in range(self.lanes)]
        self._sum_lanes(m, row_done, in_order)
        return m

    def _sum_lanes(self, m: Module, start: Value, values: list[Value]) -> None:
        """Copy the lanes at ``start``, then go through the schedule with one adder."""
        lanes = [Signal(FLOAT32.width, name=f"lane_{lane}", reset_less=True)
                 for lane in range(LANES)]
        end = self._schedule[-1][0] + FloatAdd.latency
        cycle = Signal(range(end + 1))
        active = Signal()
        m.submodules.add_lanes = add = FloatAdd(FLOAT32)
        with m.If(active):
            m.d.sync += cycle.eq(cycle + 1)
            with m.Switch(cycle):
                for number, lane, other in self._schedule:
                    with m.Case(number):
                        m.d.comb += [add.i_a.eq(lanes[lane]), add.i_b.eq(lanes[other])]
            with m.Switch(cycle):
                for number, lane, _ in self._schedule:
                    with m.Case(number + FloatAdd.latency):
                        m.d.sync += lanes[lane].eq(add.o)
            with m.If(cycle == end):
                m.d.sync += [active.eq(0), cycle.eq(0)]
        with m.If(start):
            m.d.sync += active.eq(1)
            m.d.sync += [lane.eq(value) for lane, value in zip(lanes, values, strict=True)]
        m.d.comb += [self.o.eq(add.o), self.o_valid.eq(active & (cycle == end))]

