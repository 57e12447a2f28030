"""Streams that are connected while an operation is being done."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
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


class Rows(Component):
    """Two sources of rows, of which the one that is enabled, and chosen, goes to the sink."""

    def __init__(self):
        row = stream.Signature(data.StructLayout({"values": 8, "last": 1}))
        super().__init__({"i": In(row).array(2), "o": Out(row), "enabled": In(2), "chosen": In(2)})

    def elaborate(self, platform):
        m = Module()
        unused = Signal()
        m.d.sync += unused.eq(~unused)
        for number in range(2):
            route(m, self.i[number], self.o, self.enabled[number], chosen=self.chosen[number])
        return m


def test_values_follow_what_is_chosen_and_the_handshake_and_last_what_is_enabled():
    rows = Rows()

    async def bench(ctx):
        for enabled in (0, 1, 2):
            for bits in range(32):
                lasts, valids, ready = bits & 3, bits >> 2 & 3, bits >> 4
                ctx.set(rows.enabled, enabled)
                ctx.set(rows.chosen, enabled)
                ctx.set(rows.o.ready, ready)
                for number in range(2):
                    ctx.set(rows.i[number].p.values, 40 + number)
                    ctx.set(rows.i[number].p.last, lasts >> number & 1)
                    ctx.set(rows.i[number].valid, valids >> number & 1)
                assert ctx.get(rows.o.valid) == bool(valids & enabled)
                assert ctx.get(rows.o.p.last) == bool(lasts & enabled)
                for number in range(2):
                    chosen = enabled >> number & 1
                    assert ctx.get(rows.i[number].ready) == (ready & chosen)
                    if chosen:
                        assert ctx.get(rows.o.p.values) == 40 + number
        ctx.set(rows.enabled, 0)
        ctx.set(rows.chosen, 2)   # of what is not enabled, only values may be looked at
        assert ctx.get(rows.o.p.values) == 41
        assert not (ctx.get(rows.o.p.last) or ctx.get(rows.o.valid))
        await ctx.tick()

    simulator = Simulator(rows)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
