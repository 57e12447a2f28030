"""The driver of QUANTIZE, which walks through rows."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from ..hw.rows.rms_norm import norm_layout
from ..hw.streams.queue import queue_before
from .accelerator_parameters import AcceleratorParameters
from .driver import Driver
from .requests import row_requests

__all__ = ["QuantizeDriver"]


class QuantizeDriver(Driver):
    """Ask for each token's row, and for the norm's weights and constants once for each row.

    Members
    -------
    o_a, o_b : ``Out(stream.Signature(row_request_layout(...)))``
        Rows, and rows of weights.
    o_norm : ``Out(stream.Signature(norm_layout()))``
        The norm's constants.
    o_issued : ``Out(1)``
        A row is asked for in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        row = row_requests(parameters)
        super().__init__(parameters, {
            "o_a": Out(row), "o_b": Out(row), "o_norm": Out(stream.Signature(norm_layout())),
        })

    def elaborate(self, platform):
        m = Module()
        d, tokens = self.i_descriptor, self.i_state.tokens
        rows = queue_before(m, "rows", self.o_a)
        weights = queue_before(m, "weights", self.o_b)
        norms = queue_before(m, "norms", self.o_norm)
        row, weight, norm = rows.i.p, weights.i.p, norms.i.p
        address, left = Signal(32), Signal.like(tokens)
        # Registers that are right before ``i_active``: the last token, and where its row is.
        last, last_row = Signal.like(tokens), Signal(32)
        m.d.sync += [last.eq(tokens - 1), last_row.eq(last * d.a_stride)]
        m.d.comb += [
            row.word.eq(address), row.beats.eq(d.beats),
            weight.word.eq(d.b), weight.beats.eq(d.beats),
            norm.inverse_width.eq(d.x), norm.epsilon.eq(d.y),
            rows.i.valid.eq(self.o_issued), weights.i.valid.eq(self.o_issued & d.norm),
            norms.i.valid.eq(self.o_issued & d.norm),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.sync += [
                    left.eq(Mux(d.last_row, 1, tokens)),
                    address.eq(d.a + Mux(d.last_row, last_row, 0)),
                ]
                m.next = "walk"
            with m.State("walk"):
                m.d.comb += self.o_issued.eq(rows.i.ready & weights.i.ready & norms.i.ready)
                with m.If(self.o_issued):
                    m.d.sync += [address.eq(address + d.a_stride), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "walked"
            self._end(m)
        return m
