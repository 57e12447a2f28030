"""Queues between streams."""

import pytest
from amaranth.lib.data import StructLayout
from amaranth.sim import Simulator

from trilobite.hw.streams.queue import BlockRamQueue, LutRamQueue, StreamQueue
from trilobite.hw.unused import never_elaborated


@pytest.mark.parametrize(("kind", "latency"), [
    (StreamQueue, 1), (LutRamQueue, 1), (BlockRamQueue, 3)])
def test_a_queue_has_a_place_for_every_beat_and_its_documented_latency(kind, latency):
    shape = StructLayout({"number": 4, "last": 1})
    queue, seen = kind(shape, 5), []

    async def testbench(ctx):
        ctx.set(queue.i.valid, 1)
        for number in range(5):
            seen.append((ctx.get(queue.i.ready), ctx.get(queue.o.valid)))
            ctx.set(queue.i.p, {"number": number, "last": number == 4})
            await ctx.tick()
        assert not ctx.get(queue.i.ready)
        ctx.set(queue.i.valid, 0)
        ctx.set(queue.o.ready, 1)
        for number in range(5):
            assert ctx.get(queue.o.valid)
            beat = ctx.get(queue.o.p)
            assert (beat.number, beat.last) == (number, number == 4)
            await ctx.tick()
        assert not ctx.get(queue.o.valid)

    simulator = Simulator(queue)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert seen == [(1, int(cycle >= latency)) for cycle in range(5)]


@pytest.mark.parametrize("kind", [StreamQueue, LutRamQueue, BlockRamQueue])
def test_a_queue_without_a_place_is_refused(kind):
    with never_elaborated(), pytest.raises(ValueError, match="must be a positive integer, not 0"):
        kind(8, 0)
