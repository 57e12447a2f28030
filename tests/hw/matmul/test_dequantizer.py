from functools import cache

import numpy as np
import pytest

from support.float32 import to_bits
from trilobite.hw.matmul.dequantizer import Dequantizer
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.matmul.reference import pack_beats, pack_floats, unpack_rows
from trilobite.hw.unused import never_elaborated
from trilobite.numerics import scale_sum
from trilobite.sim.verify.bench import Traffic, build, exchange

PARAMETERS = TlmmParameters(group_size=3, tables=2, columns=4, max_k=600_000, max_m=64)
LANES = 2
STREAMS = ("i", "i_scale", "i_scaling", "o")


@cache
def dequantizer(simulator="verilator"):
    return build(Dequantizer(PARAMETERS, lanes=LANES, depth=3), "dequantizer", simulator)


def random_jobs(seed, count=12):
    """Jobs: int64 sums [blocks, C], blocks of a row, scale_x, scales of even and odd blocks."""
    rng = np.random.default_rng(seed)
    limit = 1 << PARAMETERS.accumulator_width - 1
    jobs = []
    for number in range(count):
        row_blocks = (1, 3, 5, 16)[number % 4]
        blocks = row_blocks * (1, 2)[number % 2] if row_blocks < 16 else 16
        sums = rng.integers(-limit, limit, (blocks, PARAMETERS.columns))
        sums >>= rng.integers(0, 24, sums.shape)
        sums[0, :3] = 0, limit - 1, -limit
        scales = np.exp2(rng.integers(-40, 20, 3)) * rng.uniform(1, 2, 3)
        jobs.append((sums, row_blocks, *scales.astype(np.float32)))
    return jobs


def traffic(jobs, **keywords):
    width = PARAMETERS.accumulator_width
    sums, scales, scalings = [], [], []
    for values, row_blocks, scale_x, *weights in jobs:
        fields = np.concatenate([values, np.zeros((len(values), 1), np.int64)], axis=1)
        fields[-1, -1] = 1   # last: the one bit above the sums that is in the beat
        bits = pack_beats(fields, width)
        sums.append(bits[:, :(width * PARAMETERS.columns + 8) // 8])
        scales.append(pack_floats(np.array([scale_x]), 1))
        rows = np.array([[row_blocks]], np.uint8)
        scalings.append(np.concatenate([pack_floats(np.array(weights), 2), rows], axis=1))
    inputs = {"i": np.concatenate(sums), "i_scale": np.concatenate(scales),
              "i_scaling": np.concatenate(scalings)}
    beats = len(inputs["i"]) * PARAMETERS.columns // LANES
    return Traffic(inputs, {"o": beats}, **keywords)


def expected_rows(jobs):
    for sums, row_blocks, scale_x, *weights in jobs:
        outputs = [[scale_sum(int(total), scale_x, weights[block % 2]) for total in values]
                   for block, values in enumerate(sums)]
        for first in range(0, len(sums), row_blocks):
            yield np.array(outputs[first:first + row_blocks], np.float32).ravel()


def check(jobs, observed):
    rows, expected = unpack_rows(observed.outputs["o"], np.float32, LANES), [*expected_rows(jobs)]
    assert [len(row) for row in rows] == [len(row) for row in expected]
    np.testing.assert_array_equal(to_bits(np.concatenate(rows)), to_bits(np.concatenate(expected)))


def test_a_job_worked_out_by_hand():
    jobs = [(np.array([[1, -2, 3, 0], [4, 5, -6, 7]]), 2,
             *np.array([0.5, 2.0, 8.0], np.float32))]
    observed, = exchange(dequantizer(), [traffic(jobs)])
    row, = unpack_rows(observed.outputs["o"], np.float32, LANES)
    assert row.tolist() == [1, -2, 3, 0, 16, 20, -24, 28]


def test_outputs_and_ends_of_rows_are_the_rules_with_and_without_stalls():
    jobs = random_jobs(0)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(dequantizer(), [traffic(jobs, stall=stall) for stall in stalls]):
        check(jobs, observed)


def test_a_job_that_ends_inside_of_a_row_leaves_nothing_to_the_next():
    rng = np.random.default_rng(4)
    scales = np.array([0.5, 2.0, 8.0], np.float32)
    jobs = [(rng.integers(-99, 99, (blocks, PARAMETERS.columns)), 3, *scales) for blocks in (4, 3)]
    observed, = exchange(dequantizer(), [traffic(jobs)])
    rows = unpack_rows(observed.outputs["o"], np.float32, LANES)
    # The end of the first job's second row never comes; the second job's row is whole.
    assert [len(row) // PARAMETERS.columns for row in rows] == [3, 1 + 3]


def test_a_reset_drops_what_is_under_way():
    jobs = random_jobs(1)
    runs = [traffic(jobs, reset_after=cycle, stall=0.3) for cycle in (2, 9, 21, 60)]
    check(jobs, exchange(dequantizer(), [*runs, traffic(jobs)])[-1])


def test_lanes_that_do_not_divide_the_columns_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="4 sums are not a multiple of 3"):
        Dequantizer(PARAMETERS, lanes=3, depth=2)
