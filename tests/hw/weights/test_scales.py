"""Codes of scales, and tiles whose words begin with them."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from trilobite.hw.matmul.scale_codes import EXPONENT_OFFSET, FRACTION_BITS, scale_codes
from trilobite.hw.unused import never_elaborated
from trilobite.hw.weights.scale_splitter import ScaleSplitter

HALVES = np.arange(0x7C00, dtype=np.uint16).view(np.float16)   # all from 0 to the largest


def test_every_float16_that_is_no_less_than_zero_has_a_code():
    codes = scale_codes(HALVES.astype(np.float32)).astype(np.uint32)
    exponent, fraction = codes >> FRACTION_BITS, codes & (1 << FRACTION_BITS) - 1
    bits = np.where(exponent == 0, 0, exponent + EXPONENT_OFFSET) << 23 | fraction << 13
    np.testing.assert_array_equal(bits.astype(np.uint32).view(np.float32), HALVES)


@pytest.mark.parametrize("wrong", [-1.0, -0.0, np.inf, np.nan, 1.0001, 2.0**-25, 65520.0])
def test_other_scales_are_refused(wrong):
    with pytest.raises(ValueError, match="must be float16 numbers, 0 or above"):
        scale_codes(np.array([1.0, wrong], np.float32))


def test_scales_and_weights_of_a_tile_go_their_ways():
    """Words of 8 bytes, two scales in a beat: two beats in a word, the last word perhaps half."""
    splitter = ScaleSplitter(word_bytes=8, lanes=2, beats_width=8)
    rng = random.Random(5)
    tiles, words, scales, weights = [], [], [], []
    for beats in (3, 0, 0, 1, 4, 0, 2):
        tiles.append({"scaled": int(beats > 0), "beats": beats})
        for number in range(-(-beats // 2)):
            word = rng.getrandbits(64)
            words.append((word, 0))
            parts = range(min(2, beats - 2 * number))
            scales += [word >> 32 * part & 0xFFFF_FFFF for part in parts]
        body = [rng.getrandbits(64) for _ in range(rng.randint(1, 4))]
        ends = [(word, int(number == len(body) - 1)) for number, word in enumerate(body)]
        words += ends
        weights += ends
    got = {"scales": [], "weights": []}

    async def testbench(ctx):
        given = {"tiles": 0, "words": 0}
        for _ in range(2000):
            for name, port, beats in (("tiles", splitter.i_tile, tiles),
                                      ("words", splitter.i, words)):
                offers = given[name] < len(beats) and rng.random() < 0.7
                ctx.set(port.valid, offers)
                if offers and name == "tiles":
                    ctx.set(port.payload, beats[given[name]])
                elif offers:
                    word, last = beats[given[name]]
                    ctx.set(port.p.data.as_value(), word)
                    ctx.set(port.p.last, last)
            for port in (splitter.o_scales, splitter.o_weights):
                ctx.set(port.ready, rng.random() < 0.6)
            taken = {name: ctx.get(port.valid & port.ready)
                     for name, port in (("tiles", splitter.i_tile), ("words", splitter.i))}
            if ctx.get(splitter.o_scales.valid & splitter.o_scales.ready):
                got["scales"].append(ctx.get(splitter.o_scales.p.as_value()))
            if ctx.get(splitter.o_weights.valid & splitter.o_weights.ready):
                got["weights"].append((ctx.get(splitter.o_weights.p.data.as_value()),
                                       ctx.get(splitter.o_weights.p.last)))
            await ctx.tick()
            for name, took in taken.items():
                given[name] += took

    simulator = Simulator(splitter)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert got == {"scales": scales, "weights": weights}


def test_beats_that_do_not_fill_a_word_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="8 bytes does not hold whole beats"):
        ScaleSplitter(word_bytes=8, lanes=3, beats_width=8)
