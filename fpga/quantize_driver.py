"""Walks through the rows of a QUANTIZE."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.rows.rms_norm import norm_layout
from ..hw.rows.row_source import row_request_layout
from ..hw.streams.queue import queue_before
from .layouts import descriptor_layout, state_layout
from .parameters import AcceleratorParameters

__all__ = ["QuantizeDriver"]


class QuantizeDriver(wiring.Component):
    """Ask for each token's row, and for the norm's weights and constants once for each row.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Of the accelerator.

    Members
    -------
    i_active : ``In(1)``
        The descriptor is a QUANTIZE, and is to be done. Until ``o_walked``, and as long as the
        sequencer likes after it.
    i_descriptor, i_state : ``In(...)``
        Constant while ``i_active``.
    o_a, o_b : ``Out(stream.Signature(row_request_layout(...)))``
        Rows, and rows of weights.
    o_norm : ``Out(stream.Signature(norm_layout()))``
        The norm's constants.
    o_issued : ``Out(1)``
        A row has been asked for.
    o_walked : ``Out(1)``
        All rows have been asked for.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = self.parameters = parameters
        row = stream.Signature(row_request_layout(p.address_width, p.word_bytes, p.max_beats))
        super().__init__({
            "i_active": In(1), "i_descriptor": In(descriptor_layout()),
            "i_state": In(state_layout(p)),
            "o_a": Out(row), "o_b": Out(row), "o_norm": Out(stream.Signature(norm_layout())),
            "o_issued": Out(1), "o_walked": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        d, tokens = self.i_descriptor, self.i_state.tokens
        rows = queue_before(m, "rows", self.o_a)
        weights = queue_before(m, "weights", self.o_b)
        norms = queue_before(m, "norms", self.o_norm)
        row, weight = Signal(self.o_a.p.shape()), Signal(self.o_b.p.shape())
        norm = Signal(norm_layout())
        address, left = Signal(32), Signal.like(tokens)
        m.d.comb += [
            row.word.eq(address), row.beats.eq(d.beats),
            weight.word.eq(d.b), weight.beats.eq(d.beats),
            norm.inverse_width.eq(d.x), norm.epsilon.eq(d.y),
            rows.w_data.eq(row), weights.w_data.eq(weight), norms.w_data.eq(norm),
            rows.w_en.eq(self.o_issued), weights.w_en.eq(self.o_issued & d.norm),
            norms.w_en.eq(self.o_issued & d.norm),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.sync += [
                    left.eq(Mux(d.last_row, 1, tokens)),
                    address.eq(d.a + Mux(d.last_row, tokens - 1, 0) * d.a_stride),
                ]
                m.next = "walk"
            with m.State("walk"):
                m.d.comb += self.o_issued.eq(rows.w_rdy & weights.w_rdy & norms.w_rdy)
                with m.If(self.o_issued):
                    m.d.sync += [address.eq(address + d.a_stride), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "walked"
            with m.State("walked"):
                m.d.comb += self.o_walked.eq(1)
                with m.If(~self.i_active):
                    m.next = "idle"
        return m
