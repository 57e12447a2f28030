"""Sums of digits of integer weights, scaled and added group by group, beside the runtime's rule."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from support.float32 import to_bits
from support.payloads import pack_payloads
from trilobite.hw.matmul.digit_sum import DigitSum
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.matmul.group_dequantizer import GroupDequantizer
from trilobite.hw.matmul.reference import pack_beats, pack_floats, unpack_rows
from trilobite.hw.matmul.scale_codes import scale_codes
from trilobite.hw.matmul.tlmm import output_layout
from trilobite.hw.unused import never_elaborated
from trilobite.numerics import add_group, mul
from trilobite.sim.verify.bench import Traffic, build, exchange

PARAMETERS = TlmmParameters(group_size=3, tables=2, columns=4, max_k=600, max_m=64)
WIDTH, LANES = 4, 2
GROUPS, DIGITS, ROW_BLOCKS = 5, 3, 3
STREAMS = ("i", "i_codes", "i_scale", "o")


class GroupBench(wiring.Component):
    """Both blocks, for weights of three digits in five groups."""

    def __init__(self):
        self.digits = DigitSum(PARAMETERS)
        self.groups = GroupDequantizer(PARAMETERS, width=WIDTH, lanes=LANES, depth=16)
        members = self.groups.signature.members
        super().__init__({"i": self.digits.signature.members["i"],
                          **{name: members[name] for name in STREAMS[1:]}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.digits, m.submodules.groups = digits, groups = self.digits, self.groups
        wiring.connect(m, wiring.flipped(self.i), digits.i)
        wiring.connect(m, digits.o, groups.i)
        for name in STREAMS[1:]:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(groups, name))
        m.d.comb += [digits.i_digits.eq(DIGITS), groups.i_groups.eq(GROUPS),
                     groups.i_row_blocks.eq(ROW_BLOCKS)]
        return m


@cache
def bench():
    return build(GroupBench(), "group_dequantizer")


def random_tiles(seed, count=9):
    """Tiles: sums of digits int64 [groups, blocks, digits, C], scales [groups, blocks * C] and the
    activations' scale. A tile of three blocks has fewer beats than the adder has stages.
    """
    rng = np.random.default_rng(seed)
    limit = 1 << PARAMETERS.accumulator_width - 1
    tiles = []
    for number in range(count):
        blocks = (3, 9, 3, 15, 6)[number % 5]
        shape = (GROUPS, blocks, DIGITS, PARAMETERS.columns)
        sums = rng.integers(-limit, limit, shape) >> rng.integers(0, 16, shape)
        sums[:, 0, :, 0] = 0
        scales = np.float16(np.exp2(rng.uniform(-24, 15, (GROUPS, blocks * shape[3]))))
        scales[rng.random(scales.shape) < 0.1] = 0
        tiles.append((sums, scales.astype(np.float32), np.float32(rng.uniform(1e-3, 3))))
    return tiles


def traffic(tiles, **keywords):
    sums, codes, scales = [], [], []
    width = PARAMETERS.accumulator_width
    bits = (1 << width) - 1
    layout = output_layout(PARAMETERS)
    for totals, weights, scale_x in tiles:
        for group in totals:
            lines = group.reshape(-1, PARAMETERS.columns)
            sums.append(pack_payloads(layout, [
                {"sums": sum((int(total) & bits) << width * place
                             for place, total in enumerate(line)),
                 "last": int(number == len(lines) - 1)} for number, line in enumerate(lines)]))
        codes.append(pack_beats(scale_codes(weights).astype(np.int64).reshape(-1, WIDTH), 16))
        scales.append(pack_floats(np.array([scale_x]), 1))
    inputs = {"i": np.concatenate(sums), "i_codes": np.concatenate(codes),
              "i_scale": np.concatenate(scales)}
    outputs = sum(totals.shape[1] for totals, *_ in tiles) * PARAMETERS.columns // LANES
    return Traffic(inputs, {"o": outputs}, **keywords)


def expected_rows(tiles):
    for sums, scales, scale_x in tiles:
        totals = (sums * 3 ** np.arange(DIGITS)[::-1, None]).sum(axis=2)
        row = []
        for place, column in enumerate(totals.reshape(GROUPS, -1).T):
            total = np.float32(0)
            for group, value in enumerate(column):
                total = add_group(total, int(value), scales[group, place])
            row.append(mul(total, scale_x))
        size = ROW_BLOCKS * PARAMETERS.columns
        yield from (np.array(row[first:first + size], np.float32)
                    for first in range(0, len(row), size))


def test_outputs_are_the_rules_with_and_without_stalls():
    tiles = random_tiles(0)
    runs = [traffic(tiles, stall=stall, seed=seed) for seed, stall in enumerate(
        (0.0, 0.3, 0.8, *({stream: 0.9} for stream in STREAMS)))]
    expected = [*expected_rows(tiles)]
    for observed in exchange(bench(), runs):
        rows = unpack_rows(observed.outputs["o"], np.float32, LANES)
        assert [len(row) for row in rows] == [len(row) for row in expected]
        np.testing.assert_array_equal(
            to_bits(np.concatenate(rows)), to_bits(np.concatenate(expected)))


def test_sums_are_taken_as_fast_as_their_digits_come():
    """Large groups, whose totals nothing waits for: a beat of the engine per cycle."""
    rng = np.random.default_rng(2)
    blocks = 15
    sums = rng.integers(-9, 9, (GROUPS, blocks, DIGITS, PARAMETERS.columns))
    scales = np.ones((GROUPS, blocks * PARAMETERS.columns), np.float32)
    run = traffic([(sums, scales, np.float32(1))] * 6)
    observed, = exchange(bench(), [run])
    beats = len(run.inputs["i"])
    assert beats <= observed.cycles <= beats + 80


def test_widths_that_do_not_divide_are_refused():
    for width, lanes in ((3, 1), (4, 3)):
        with never_elaborated(), pytest.raises(ValueError, match="not a multiple|those not"):
            GroupDequantizer(PARAMETERS, width=width, lanes=lanes, depth=2)
