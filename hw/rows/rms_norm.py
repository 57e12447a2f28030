"""Root-mean-square norm of rows."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.reciprocal import FloatRsqrt
from ..floats.shifting import delay, delay_pulse
from ..streams.credits import CreditQueue
from .elementwise import lanes_layout
from .lane_sum import LaneSum
from .row_fork import RowFork, row_layout

__all__ = ["RmsNorm", "norm_layout"]

_ROWS_WAITING = 3   # rows between their last beat taken and their first result given


def norm_layout() -> data.StructLayout:
    """What a row's norm depends on: float32(1 / K), and epsilon."""
    return data.StructLayout({"inverse_width": FLOAT32.layout, "epsilon": FLOAT32.layout})


class RmsNorm(Component):
    """``runtime.kernels.elementwise.rms_norm`` of every row, bit for bit.

    A row of K elements comes as ceil(K / lanes) beats, zero past K, and leaves as as many. Its
    first results leave ``latency`` cycles after its last beat was taken; meanwhile the next row
    comes in. One beat per cycle when nothing stalls, in rows of ``latency`` / 2 beats or more.

    Two passes: the sum of squares in the 16 lanes of the rule (``LaneSum``) and the factor
    rsqrt(sum * inverse_width + epsilon); then (x * factor) * weight. The pipelines do not stop
    (``CreditQueue``).

    Parameters
    ----------
    lanes : int
        Elements of a beat: 1, 2 or 4.
    max_beats : int
        Most beats of a row; a longer row is cut into rows of this many.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Rows. ``i.ready`` depends on ``i.p.last`` and on ``i_norm.valid``.
    i_norm : ``In(stream.Signature(norm_layout()))``
        One beat per row, taken with the row's last beat; its ``ready`` depends on ``i``.
    i_weight : ``In(stream.Signature(lanes_layout(lanes)))``
        The weights, one beat per beat of every row. It is taken when the row is
        scaled.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        Results.

    Attributes
    ----------
    latency : int
        Cycles from a row's last beat taken to its first results offered: 75.
    """

    _factor_latency = (LaneSum.squares_latency + FloatMultiply.latency + FloatAdd.latency
                       + FloatRsqrt.latency)
    _scaling_latency = 2 * FloatMultiply.latency
    latency = _factor_latency + 1 + _scaling_latency + 1

    def __init__(self, lanes: int, max_beats: int) -> None:
        self.lanes = lanes
        self.max_beats = max_beats
        self._fork = RowFork(lanes, max_beats, wait=self.latency)
        self._sum = LaneSum(lanes, squares=True)
        row = stream.Signature(row_layout(lanes_layout(lanes)))
        super().__init__({
            "i": In(row),
            "i_norm": In(stream.Signature(norm_layout())),
            "i_weight": In(stream.Signature(lanes_layout(lanes))),
            "o": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = self._fork
        wiring.connect(m, wiring.flipped(self.i), fork.i)

        # Factor: one row's sum at a time, so its norm waits in one register, which follows what
        # comes until a row ends.
        m.submodules.sum = total = self._sum
        m.submodules.factors = factors = CreditQueue(
            FLOAT32.layout, self._factor_latency, _ROWS_WAITING)
        norm = Signal(norm_layout(), reset_less=True)
        m.d.comb += [
            total.i.eq(fork.o_now),
            fork.may_end.eq(factors.ready & total.idle & self.i_norm.valid),
            factors.enter.eq(fork.o_now.valid & fork.o_now.beat.last),
            self.i_norm.ready.eq(factors.enter),
        ]
        with m.If(total.idle):
            m.d.sync += norm.eq(self.i_norm.p)
        m.submodules.mean = mean = FloatMultiply(FLOAT32)
        m.submodules.shift = shift = FloatAdd(FLOAT32)
        m.submodules.rsqrt = rsqrt = FloatRsqrt(shared=True)   # sums come farther apart
        m.d.comb += [
            mean.i_a.eq(total.o), mean.i_b.eq(norm.inverse_width),
            shift.i_a.eq(mean.o), shift.i_b.eq(delay(m, norm.epsilon, mean.latency, "epsilon")),
            rsqrt.i.eq(shift.o),
            rsqrt.i_valid.eq(delay_pulse(m, total.o_valid, mean.latency + shift.latency, "mean")),
            factors.i.eq(rsqrt.o),
        ]

        # Results.
        m.submodules.results = results = CreditQueue(self.o.p.shape(), self._scaling_latency)
        m.d.comb += [
            results.enter.eq(fork.o.valid & factors.o.valid & self.i_weight.valid & results.ready),
            fork.o.ready.eq(results.enter),
            self.i_weight.ready.eq(results.enter),
            factors.o.ready.eq(results.enter & fork.o.p.last),
            results.i.last.eq(delay(m, fork.o.p.last, self._scaling_latency, "last")),
        ]
        for lane in range(self.lanes):
            m.submodules[f"factor_{lane}"] = scaled = FloatMultiply(FLOAT32)
            m.submodules[f"weight_{lane}"] = weighted = FloatMultiply(FLOAT32)
            weight = delay(m, self.i_weight.p[lane], scaled.latency, f"weight_{lane}")
            m.d.comb += [
                scaled.i_a.eq(fork.o.p.values[lane]), scaled.i_b.eq(factors.o.p),
                weighted.i_a.eq(scaled.o), weighted.i_b.eq(weight),
                results.i.values[lane].eq(weighted.o),
            ]
        wiring.connect(m, results.o, wiring.flipped(self.o))
        return m
