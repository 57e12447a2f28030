"""Rotary position embedding."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay
from ..streams.credits import CreditQueue
from .elementwise import lanes_layout
from .row_banks import RowBanks
from .row_fork import row_layout

__all__ = ["Rotary", "angles_layout"]


def angles_layout(lanes: int) -> data.StructLayout:
    """Cosines and sines of ``lanes`` consecutive angles."""
    return data.StructLayout({"cosine": lanes_layout(lanes), "sine": lanes_layout(lanes)})


class Rotary(Component):
    """``runtime.kernels.elementwise.apply_rope``: turn the two halves of every head, bit for bit.

    A head is a row of ``head_dim`` elements, an even number of beats; it leaves in the same order.
    Element d of the lower half becomes ``x[d] * cos[d] - x[d + half] * sin[d]`` and its partner
    ``x[d + half] * cos[d] + x[d] * sin[d]``. The angles of a token come once and serve all its
    heads. While a head (a token's angles) is read, the next one comes in; one beat per cycle when
    nothing stalls. The pipelines do not stop (``CreditQueue``).

    If a head has not twice as many beats as its token has angles, its results are undefined.

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    max_half : int
        Most beats of half a head, at least 2; a head of more than twice as many is cut.
    max_heads : int
        Most heads of a token.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Heads.
    i_token : ``In(stream.Signature(range(max_heads + 1)))``
        One beat per token: how many heads it has; 0 counts as 1. It is taken with the token's
        end.
    i_angles : ``In(stream.Signature(row_layout(angles_layout(lanes))))``
        One row per token: the angles of its position.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        Turned heads.

    Attributes
    ----------
    latency : int
        Cycles from a head's last beat taken to its first one offered, when nothing stalls: 11.
    """

    _turn_latency = 1 + FloatMultiply.latency + FloatAdd.latency
    latency = 1 + _turn_latency + 1

    def __init__(self, lanes: int, max_half: int, max_heads: int) -> None:
        self.lanes = lanes
        self.max_heads = max_heads
        self._heads = RowBanks(lanes_layout(lanes), 2 * max_half, readers=2)
        self._angles = RowBanks(angles_layout(lanes), max_half, readers=1)
        row = stream.Signature(row_layout(lanes_layout(lanes)))
        super().__init__({
            "i": In(row),
            "i_token": In(stream.Signature(range(max_heads + 1))),
            "i_angles": In(stream.Signature(row_layout(angles_layout(lanes)))),
            "o": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.heads = heads = self._heads
        m.submodules.angles = angles = self._angles
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), self._turn_latency)
        wiring.connect(m, wiring.flipped(self.i), heads.i)
        wiring.connect(m, wiring.flipped(self.i_angles), angles.i)

        # Walk through the beats of a head, each with its partner in the other half, and of the
        # angles; through the heads of a token. A head has at least two beats.
        beat, partner = Signal.like(heads.beats), Signal.like(heads.beats)
        next_partner, angle = Signal.like(heads.beats), Signal.like(heads.beats)
        head = Signal(range(self.max_heads))
        half = Signal.like(heads.beats)
        begins, upper, last_beat = Signal(init=1), Signal(), Signal()
        head_ends, token_ends = Signal(), Signal()
        m.d.comb += [
            half.eq(heads.beats >> 1),
            partner.eq(Mux(begins, half, next_partner)),
            head_ends.eq(queue.enter & last_beat),
            token_ends.eq(head_ends & (head + 1 >= self.i_token.p)),
            queue.enter.eq(heads.full & angles.full & self.i_token.valid & queue.ready),
            heads.release.eq(head_ends),
            angles.release.eq(token_ends), self.i_token.ready.eq(token_ends),
            heads.addresses[0].eq(beat), heads.addresses[1].eq(partner),
            angles.addresses[0].eq(angle),
        ]
        # The last beat is known a cycle ahead.
        m.d.sync += last_beat.eq(heads.full & ~head_ends & Mux(
            queue.enter, beat + 2 >= heads.beats, beat + 1 >= heads.beats))
        with m.If(queue.enter):
            m.d.sync += [begins.eq(0), beat.eq(beat + 1), next_partner.eq(partner + 1),
                         angle.eq(angle + 1)]
            with m.If(angle + 1 == half):
                m.d.sync += [next_partner.eq(0), angle.eq(0), upper.eq(1)]
            with m.If(head_ends):
                m.d.sync += [begins.eq(1), beat.eq(0), angle.eq(0), upper.eq(0),
                             head.eq(Mux(token_ends, 0, head + 1))]

        # Turn: the beat and its partner come out of the memories one cycle later.
        p_upper = delay(m, upper, 1 + FloatMultiply.latency, "p_upper")
        m.d.comb += queue.i.last.eq(delay(m, last_beat, self._turn_latency, "last"))
        for lane in range(self.lanes):
            m.submodules[f"cosine_{lane}"] = along = FloatMultiply(FLOAT32)
            m.submodules[f"sine_{lane}"] = across = FloatMultiply(FLOAT32)
            m.submodules[f"add_{lane}"] = add = FloatAdd(FLOAT32)
            m.d.comb += [
                along.i_a.eq(heads.values[0][lane]), along.i_b.eq(angles.values[0].cosine[lane]),
                across.i_a.eq(heads.values[1][lane]), across.i_b.eq(angles.values[0].sine[lane]),
                add.i_a.eq(along.o),
                add.i_b.eq(across.o),
                add.i_b.sign.eq(across.o.sign ^ ~p_upper),
                queue.i.values[lane].eq(add.o),
            ]
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m
