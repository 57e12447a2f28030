import numpy as np
import pytest

from support.float32 import to_bits
from trilobite.hw.matmul.reference import pack_rows
from trilobite.hw.rows.lane_sum import LaneSum
from trilobite.numerics import sum_lanes
from trilobite.sim.verify.bench import build, sample


@pytest.mark.parametrize("lanes", [1, 4])
def test_sums_are_those_of_the_rule(lanes):
    """Rows of every length, one after the other, each ended only while the sum is idle."""
    rng = np.random.default_rng(lanes)
    rows = [rng.standard_normal(length).astype(np.float32) * np.float32(2.0 ** rng.integers(-9, 9))
            for length in (1, 2, 15, 16, 17, 31, 32, 33, 100)]
    beats, gap = [], np.zeros((LaneSum.sum_latency + 1, 4 * lanes + 1), np.uint8)
    for row in rows:
        packed = pack_rows([row], lanes)
        packed[:, -1] |= 2   # valid, above last
        beats += [packed, gap]
    shown = sample(build(LaneSum(lanes), f"lane_sum_{lanes}"), {"i": np.concatenate(beats)})
    sums = shown["o"][shown["o_valid"][:, 0] == 1].view(np.float32).ravel()
    expected = np.array([sum_lanes(row) for row in rows], np.float32)
    np.testing.assert_array_equal(to_bits(sums), to_bits(expected))
