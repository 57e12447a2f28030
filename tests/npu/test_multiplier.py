import itertools

import numpy as np
import pytest
from amaranth.sim import Simulator

from trilobite.npu.multiplier import Multiplier
from trilobite.quant.formats.fp8 import E4M3_VALUES


def products():
    """By (weight, E4M3 code), what the multiplier gives."""
    found = {}
    multiplier = Multiplier()

    async def bench(ctx):
        for weight, code in itertools.product(range(-8, 8), range(256)):
            ctx.set(multiplier.weight, weight)
            ctx.set(multiplier.activation, code)
            await ctx.delay(1e-9)
            found[weight, code] = ctx.get(multiplier.o)

    simulator = Simulator(multiplier)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.fixture(scope="module")
def found():
    return products()


def test_by_hand(found):
    assert found[7, 0x7E] == 7 * 448 * 512     # the largest number
    assert found[-8, 0xFE] == 8 * 448 * 512
    assert found[-3, 0x01] == -3               # the smallest subnormal
    assert found[5, 0x38] == 5 * 512           # 1.0
    assert found[5, 0x80] == 0                 # -0


def test_all_products(found):
    assert len(found) == 16 * 256
    for (weight, code), product in found.items():
        value = E4M3_VALUES[code]
        assert product == (0 if np.isnan(value) else weight * int(value * 512))
