import numpy as np
import pytest

from trilobite.hw.matmul.adder_tree import AdderTree
from trilobite.hw.matmul.reference import pack_beats, unpack_beats
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, sample


@pytest.mark.parametrize(("count", "width", "latency"), [(2, 3, 1), (7, 4, 3)])
def test_each_sum_leaves_after_the_latency(count, width, latency):
    tree = AdderTree(count, width)
    assert tree.latency == latency
    rng = np.random.default_rng(0)
    limit = 1 << (width - 1)
    addends = rng.integers(-limit, limit, (60, count))
    addends[:3] = np.array([[-limit], [limit - 1], [0]])
    recorded = sample(build(tree, "adder_tree"), {"i": pack_beats(addends, width)})["o"]
    sums = unpack_beats(recorded, width + latency, 1)[:, 0]
    np.testing.assert_array_equal(sums[latency:], addends.sum(axis=1)[:len(addends) - latency])


@pytest.mark.parametrize(("count", "latency", "width"), [(1, 0, 5), (2, 1, 6), (9, 4, 9)])
def test_the_sum_grows_by_a_bit_per_level(count, latency, width):
    with never_elaborated():
        assert (AdderTree(count, 5).latency, len(AdderTree(count, 5).o)) == (latency, width)


@pytest.mark.parametrize(("count", "width"), [(0, 4), (2, 0), (-1, 3), (2.0, 3)])
def test_a_tree_needs_addends(count, width):
    with never_elaborated(), pytest.raises(ValueError, match="must be a positive integer"):
        AdderTree(count, width)
