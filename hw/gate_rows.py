"""The feed-forward gate of rows in which gate and up outputs alternate."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .credits import CreditQueue
from .elementwise import lanes_layout
from .floats.shifting import delay
from .gates import Relu2Gate, SiluGate

__all__ = ["GateRows"]


class GateRows(wiring.Component):
    """``silu_gate`` or ``relu2_gate`` of ``runtime.elementwise``, bit for bit.

    Beats come in blocks: ``block`` beats of gate outputs, then as many of up outputs. Each beat of
    up outputs gives a beat of results. One beat per cycle in; the pipelines do not stop.

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    block : int
        Beats of a block.

    Members
    -------
    i_silu : ``In(1)``
        SiLU instead of squared ReLU; constant while anything is under way.
    i : ``In(stream.Signature(lanes_layout(lanes)))``
        Blocks of both kinds in turn.
    o : ``Out(stream.Signature(lanes_layout(lanes)))``
        Results.

    Attributes
    ----------
    latency : int
        Cycles from a beat of up outputs taken to its result offered, when nothing stalls: 72.
    """

    latency = SiluGate.latency + 1

    def __init__(self, lanes: int, block: int) -> None:
        self.lanes = lanes
        self.block = block
        beat = stream.Signature(lanes_layout(lanes))
        super().__init__({"i_silu": In(1), "i": In(beat), "o": Out(beat)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gates = gates = SyncFIFO(width=self.i.p.shape().size, depth=self.block)
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), SiluGate.latency)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

        place = Signal(range(self.block))
        is_up, taken = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(Mux(is_up, queue.ready, gates.w_rdy)),
            taken.eq(self.i.valid & self.i.ready),
            gates.w_en.eq(taken & ~is_up), gates.w_data.eq(self.i.p),
            gates.r_en.eq(taken & is_up), queue.enter.eq(taken & is_up),
        ]
        with m.If(taken):
            m.d.sync += place.eq(place + 1)
            with m.If(place == self.block - 1):
                m.d.sync += [place.eq(0), is_up.eq(~is_up)]

        gate = Signal(self.i.p.shape())
        m.d.comb += gate.eq(gates.r_data)
        for lane in range(self.lanes):
            m.submodules[f"silu_{lane}"] = silu = SiluGate()
            m.submodules[f"relu2_{lane}"] = relu2 = Relu2Gate()
            for unit in (silu, relu2):
                m.d.comb += [unit.i_gate.eq(gate[lane]), unit.i_up.eq(self.i.p[lane])]
            # Both kinds take as long, so that results stay in order whichever is chosen.
            late = delay(m, relu2.o, silu.latency - relu2.latency, f"relu2_{lane}")
            m.d.comb += queue.i[lane].eq(Mux(self.i_silu, silu.o.as_value(), late.as_value()))
        return m
