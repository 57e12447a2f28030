import numpy as np
import pytest

from trilobite.hw.matmul.reference import pack_beats, unpack_beats
from trilobite.hw.matmul.sign_tree import SignTree
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, sample


@pytest.mark.parametrize(("count", "width", "latency"), [(2, 3, 1), (7, 4, 3)])
def test_each_sum_leaves_after_the_latency_with_its_sign(count, width, latency):
    tree = SignTree(count, width)
    assert tree.latency == latency
    rng = np.random.default_rng(0)
    limit = 1 << (width - 1)
    addends = rng.integers(-limit, limit, (80, count))
    negative = rng.integers(0, 2, addends.shape)
    # The extremes under all signs alike, and under signs that alternate.
    addends[:8:2], addends[1:8:2] = -limit, limit - 1
    negative[:2], negative[2:4], negative[4:6], negative[6:8] = 0, 1, [np.arange(count) % 2], [
        np.arange(count) // 2 % 2]
    recorded = sample(build(tree, "sign_tree"), {
        "i": pack_beats(addends, width), "i_negative": pack_beats(negative, 1)})
    sums = unpack_beats(recorded["o"], width + latency, 1)[:, 0]
    sums = np.where(recorded["o_negative"][:, 0] & 1, -sums, sums)
    expected = np.where(negative, -addends, addends).sum(axis=1)
    np.testing.assert_array_equal(sums[latency:], expected[:len(addends) - latency])


@pytest.mark.parametrize(("count", "latency", "width"), [(1, 0, 5), (2, 1, 6), (9, 4, 9)])
def test_the_sum_grows_by_a_bit_per_level(count, latency, width):
    with never_elaborated():
        assert (SignTree(count, 5).latency, len(SignTree(count, 5).o)) == (latency, width)


@pytest.mark.parametrize(("count", "width"), [(0, 4), (2, 0), (-1, 3), (2.0, 3)])
def test_a_tree_needs_addends(count, width):
    with never_elaborated(), pytest.raises(ValueError, match="must be a positive integer"):
        SignTree(count, width)
