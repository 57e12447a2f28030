"""Streams that are connected while an operation is being done."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from trilobite.fpga.routing import route


class Routes(Component):
    """One source, and two sinks of which one is enabled."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8)).array(2),
                          "enabled": In(2)})

    def elaborate(self, platform):
        m = Module()
        unused = Signal()
        m.d.sync += unused.eq(~unused)   # a clock to be simulated with
        for number in range(2):
            route(m, self.i, self.o[number], self.enabled[number],
                  lambda value, number=number: value + number)
        return m


def test_the_enabled_sink_gets_what_comes_and_holds_it_back():
    routes = Routes()

    async def bench(ctx):
        for enabled in (0, 1, 2):
            for ready in range(4):
                for valid in range(2):
                    ctx.set(routes.enabled, enabled)
                    ctx.set(routes.i.valid, valid)
                    ctx.set(routes.i.p, 40)
                    for number in range(2):
                        ctx.set(routes.o[number].ready, ready >> number & 1)
                    for number in range(2):
                        chosen = enabled >> number & 1
                        assert ctx.get(routes.o[number].valid) == (valid & chosen)
                        if chosen:
                            assert ctx.get(routes.o[number].p) == 40 + number
                            assert ctx.get(routes.i.ready) == ready >> number & 1
                    if not enabled:
                        assert not ctx.get(routes.i.ready)
                    await ctx.tick()

    simulator = Simulator(routes)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
