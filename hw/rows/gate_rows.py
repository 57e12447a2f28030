"""The feed-forward gate of rows in which gate and up outputs alternate."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..streams.credits import CreditQueue
from ..streams.queue import StreamQueue
from .elementwise import lanes_layout
from .gates import Gate, gate_unit

__all__ = ["GateRows"]


class GateRows(Component):
    """``silu_gate`` or ``relu2_gate`` of ``runtime.kernels.elementwise``, bit for bit.

    Beats come in blocks: ``block`` beats of gate outputs, then as many of up outputs. Each beat of
    up outputs gives a beat of results. One beat per cycle in, for two blocks of each kind; after
    that, one pipeline takes an element per cycle. It does not stop.

    One pipeline is enough, because the matmul engine gives two rows per cycle while it has no more
    than K / T / G passes to make: at K = 1536 and 3,072 MAC per cycle, one row of each kind.

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    block : int
        Beats of a block.
    activations : tuple[str, ...]
        The functions that can be chosen: see ``gate_unit``.

    Members
    -------
    i_silu : ``In(1)``
        SiLU instead of squared ReLU, if both can be chosen; constant while anything is under way.
    i : ``In(stream.Signature(lanes_layout(lanes)))``
        Blocks of both kinds in turn.
    o : ``Out(stream.Signature(lanes_layout(lanes)))``
        Results.

    Attributes
    ----------
    latency : int
        Cycles from a beat of up outputs taken to its result offered, when nothing stalls: that of
        the unit, 71 with SiLU and 9 without, and one more for itself and one for each lane.
    """

    def __init__(self, lanes: int, block: int,
                 activations: tuple[str, ...] = ("silu", "relu2")) -> None:
        self.lanes = lanes
        self.block = block
        self._unit = gate_unit(activations)
        self.latency = self._unit.latency + 1 + lanes
        beat = stream.Signature(lanes_layout(lanes))
        super().__init__({"i_silu": In(1), "i": In(beat), "o": Out(beat)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gates = gates = StreamQueue(self.i.p.shape(), 2 * self.block)
        m.submodules.ups = ups = StreamQueue(self.i.p.shape(), 2 * self.block)

        # Sort the blocks.
        place = Signal(range(self.block))
        is_up, taken = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(Mux(is_up, ups.i.ready, gates.i.ready)),
            taken.eq(self.i.valid & self.i.ready),
            gates.i.valid.eq(taken & ~is_up), gates.i.p.eq(self.i.p),
            ups.i.valid.eq(taken & is_up), ups.i.p.eq(self.i.p),
        ]
        with m.If(taken):
            m.d.sync += place.eq(place + 1)
            with m.If(place == self.block - 1):
                m.d.sync += [place.eq(0), is_up.eq(~is_up)]

        # Compute: element by element of two beats.
        m.submodules.gate = gate = self._unit()
        m.submodules.queue = queue = CreditQueue(FLOAT32.width, gate.latency)
        element = Signal(range(self.lanes))
        last = Signal()
        m.d.comb += [
            queue.enter.eq(gates.o.valid & ups.o.valid & queue.ready),
            last.eq(element == self.lanes - 1),
            gates.o.ready.eq(ups.o.valid & queue.ready & last),
            ups.o.ready.eq(gates.o.valid & queue.ready & last),
            gate.i_gate.eq(gates.o.p[element]),
            gate.i_up.eq(ups.o.p[element]),
            queue.i.eq(gate.o),
        ]
        if isinstance(gate, Gate):
            m.d.comb += gate.i_silu.eq(self.i_silu)
        with m.If(queue.enter):
            m.d.sync += element.eq(Mux(last, 0, element + 1))

        # Gather beats again: the last element of one comes straight out of the queue.
        number = Signal(range(self.lanes))
        whole = Signal()
        gathered = [Signal(FLOAT32.width, name=f"gathered_{lane}", reset_less=True)
                    for lane in range(self.lanes - 1)]
        m.d.comb += [
            whole.eq(number == self.lanes - 1),
            self.o.valid.eq(queue.o.valid & whole),
            self.o.p.eq(Cat(*gathered, queue.o.p)),
            queue.o.ready.eq(~whole | self.o.ready),
        ]
        with m.If(queue.o.valid & queue.o.ready):
            m.d.sync += number.eq(Mux(whole, 0, number + 1))
            for lane, kept in enumerate(gathered):
                with m.If(number == lane):
                    m.d.sync += kept.eq(queue.o.p)
        return m
