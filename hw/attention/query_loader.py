"""The quantized queries of passes, on their way to the query lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from ..rows.row_fork import row_layout
from .attention_parameters import AttentionParameters

__all__ = ["QueryLoader", "load_layout"]


def load_layout(parameters: AttentionParameters) -> data.StructLayout:
    """How many queries a pass has, and float32(1 / sqrt(head_dim))."""
    return data.StructLayout({
        "queries": range(parameters.queries + 1), "inverse_root": FLOAT32.layout})


class QueryLoader(Component):
    """Store the codes of a pass's queries in the lanes while the pass before is worked on.

    Each query comes as a row of int8 codes and a scale, as ``Quantizer`` gives them; the scale is
    kept times ``inverse_root``. Two passes fit; one beat per cycle.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.

    Members
    -------
    i : ``In(stream.Signature(load_layout(parameters)))``
        Passes, in order.
    i_codes : ``In(stream.Signature(row_layout(ArrayLayout(signed(8), lanes))))``
        A row for each query.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        A scale for each query.
    i_release : ``In(1)``
        The queries of the older pass are not needed any more.
    o_loaded : ``Out(1)``
        All queries of a pass are there. Passes use the banks in turn.
    o_codes : ``Out(...)``
        Codes for lane ``lane``: see ``QueryLane.i_codes``.
    o_scales : ``Out(ArrayLayout(ArrayLayout(FLOAT32.layout, Q), 2))``
        The scales of each bank's queries.
    """

    def __init__(self, parameters: AttentionParameters) -> None:
        p = self.parameters = parameters
        codes = data.ArrayLayout(signed(8), p.lanes)
        super().__init__({
            "i": In(stream.Signature(load_layout(p))),
            "i_codes": In(stream.Signature(row_layout(codes))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "i_release": In(1),
            "o_loaded": Out(1),
            "o_codes": Out(data.StructLayout({
                "valid": 1, "bank": 1, "lane": range(p.queries),
                "beat": range(p.max_head_dim // p.lanes), "codes": codes})),
            "o_scales": Out(data.ArrayLayout(data.ArrayLayout(FLOAT32.layout, p.queries), 2)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        held, bank, oldest = Signal(2), Signal(), Signal()
        may_load, stored = Signal(), Signal()
        m.d.comb += may_load.eq(self.i.valid & ~held.bit_select(bank, 1))

        # Codes: row after row.
        lane, beat = Signal(range(p.queries + 1)), Signal.like(self.o_codes.beat)
        m.d.comb += [
            self.i_codes.ready.eq(may_load & (lane != self.i.p.queries)),
            self.o_codes.valid.eq(self.i_codes.valid & self.i_codes.ready),
            self.o_codes.bank.eq(bank), self.o_codes.lane.eq(lane), self.o_codes.beat.eq(beat),
            Cat(self.o_codes.codes).eq(Cat(self.i_codes.p.values)),
        ]
        with m.If(self.o_codes.valid):
            m.d.sync += beat.eq(beat + 1)
            with m.If(self.i_codes.p.last):
                m.d.sync += [beat.eq(0), lane.eq(lane + 1)]

        # Scales: times the inverse root.
        number, arrived = Signal(range(p.queries + 1)), Signal(range(p.queries + 1))
        m.submodules.multiply = multiply = FloatMultiply(FLOAT32)
        enters = Signal()
        m.d.comb += [
            self.i_scale.ready.eq(may_load & (number != self.i.p.queries)),
            enters.eq(self.i_scale.valid & self.i_scale.ready),
            multiply.i_a.eq(self.i_scale.p), multiply.i_b.eq(self.i.p.inverse_root),
        ]
        arrives = delay_pulse(m, enters, multiply.latency, "arrives")
        place = delay(m, number, multiply.latency, "place")
        with m.If(enters):
            m.d.sync += number.eq(number + 1)
        with m.If(arrives):
            m.d.sync += [self.o_scales[bank][place].eq(multiply.o), arrived.eq(arrived + 1)]

        m.d.comb += [
            stored.eq(may_load & (lane == self.i.p.queries) & (arrived == self.i.p.queries)),
            self.i.ready.eq(stored), self.o_loaded.eq(stored),
        ]
        with m.If(stored):
            m.d.sync += [lane.eq(0), number.eq(0), arrived.eq(0), bank.eq(~bank),
                         held.bit_select(bank, 1).eq(1)]
        with m.If(self.i_release):
            m.d.sync += [held.bit_select(oldest, 1).eq(0), oldest.eq(~oldest)]
        return m
