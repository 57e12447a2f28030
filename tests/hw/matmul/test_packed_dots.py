import numpy as np
from amaranth.sim import Simulator

from trilobite.hw.matmul.packed_dots import PackedDots

ROWS, LENGTH = 4, 5


def test_sums_are_exact_also_of_the_extremes():
    dots = PackedDots(ROWS, LENGTH)
    rng = np.random.default_rng(0)
    weights = rng.integers(-8, 8, (60, ROWS, LENGTH))
    activations = rng.integers(-128, 128, (60, LENGTH))
    weights[:8], activations[:8] = -8, [[-128], [127]] * 4
    weights[2:6, ::2] = 7
    got = []

    async def testbench(ctx):
        for beat in range(len(weights) + dots.latency):
            if beat < len(weights):
                ctx.set(dots.i_weights, weights[beat].tolist())
                ctx.set(dots.i_activations, activations[beat].tolist())
            if beat >= dots.latency:
                got.append([ctx.get(dots.o[row]) for row in range(ROWS)])
            await ctx.tick()

    simulator = Simulator(dots)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert got == np.einsum("nrk,nk->nr", weights, activations).tolist()
