"""Small components, and cocotb tests of them, on which the bench itself is tested."""

import os

import cocotb
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import Timer


class Register(wiring.Component):
    """A stream register; ``fault`` names a rule of streams to break, after a few beats."""

    def __init__(self, fault=None):
        self.fault = fault
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        payload, valid, count = Signal(8), Signal(), Signal(3)
        m.d.comb += [
            self.i.ready.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), payload.eq(self.i.payload)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += count.eq(count + 1)
        if self.fault == "payload":
            with m.If((count == 7) & ~self.o.ready):
                m.d.sync += payload.eq(payload + 1)
        elif self.fault == "valid":
            with m.If((count == 7) & ~self.o.ready):
                m.d.sync += valid.eq(0)
        elif self.fault == "lost":
            with m.If((count == 7) & self.i.ready):
                m.d.sync += valid.eq(0)
        elif self.fault == "repeated":
            with m.If((count == 7) & self.o.ready & ~self.i.valid):
                m.d.sync += valid.eq(valid)
        return m


@cocotb.test()
async def passes(dut):
    await Timer(1, unit="ns")


@cocotb.test()
async def fails(dut):
    await Timer(1, unit="ns")
    raise AssertionError("seven is not eight")


@cocotb.test()
async def dies(dut):
    os._exit(0)
