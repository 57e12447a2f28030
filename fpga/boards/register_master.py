"""Single accesses to the registers of an AXI4-Lite slave."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ...hw.component import Component
from ...hw.memory.axi import Response
from ..control import control_signature

__all__ = ["RegisterMaster", "register_access_layout", "register_answer_layout"]


def register_access_layout(address_width: int) -> data.StructLayout:
    """Read the register at byte address ``address``, or write ``value`` to it."""
    return data.StructLayout({"address": address_width, "write": 1, "value": 32})


def register_answer_layout() -> data.StructLayout:
    """What was read, and whether the register did not refuse."""
    return data.StructLayout({"value": 32, "okay": 1})


class RegisterMaster(Component):
    """One access after the other, each answered once.

    Members
    -------
    i : ``In(stream.Signature(register_access_layout(...)))``
        Accesses; it is taken with the answer.
    o : ``Out(stream.Signature(register_answer_layout()))``
        Answers, valid for one cycle: they must be taken.
    axi : ``Out(control_signature())``
    """

    def __init__(self) -> None:
        control = control_signature()
        access = register_access_layout(control.members["awaddr"].shape)
        super().__init__({
            "i": In(stream.Signature(access)),
            "o": Out(stream.Signature(register_answer_layout())), "axi": Out(control),
        })

    def elaborate(self, platform):
        m = Module()
        axi, access = self.axi, self.i.p
        address_given, word_given = Signal(), Signal()
        m.d.comb += [
            axi.awaddr.eq(access.address), axi.araddr.eq(access.address),
            axi.wdata.eq(access.value), axi.wstrb.eq(-1),
            self.o.p.value.eq(axi.rdata),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i.valid):
                m.d.sync += [address_given.eq(0), word_given.eq(0)]
                with m.If(access.write):
                    m.next = "write"
                with m.Else():
                    m.next = "read"
            with m.State("write"):
                m.d.comb += [axi.awvalid.eq(~address_given), axi.wvalid.eq(~word_given),
                             axi.bready.eq(1)]
                m.d.sync += [address_given.eq(address_given | axi.awready),
                             word_given.eq(word_given | axi.wready)]
                with m.If(axi.bvalid):
                    self._end(m, axi.bresp)
            with m.State("read"):
                m.d.comb += [axi.arvalid.eq(~address_given), axi.rready.eq(1)]
                m.d.sync += address_given.eq(address_given | axi.arready)
                with m.If(axi.rvalid):
                    self._end(m, axi.rresp)
        return m

    def _end(self, m: Module, response) -> None:
        m.d.comb += [self.o.valid.eq(1), self.o.p.okay.eq(response == Response.OKAY),
                     self.i.ready.eq(1)]
        m.next = "idle"
