"""INT8: products by hand, any number of tokens, memory shared with the embedding."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Int8
from trilobite.runtime.kernels.int8 import Int8Linear


def test_by_hand():
    weight = pack_values(Int8(), np.int8([[127, -127], [1, 2]]))
    q = np.int8([[-128, 127], [3, 4]])
    sums = Int8Linear(weight.packed, None).integer(q)
    assert sums.tolist() == [[-127 * 255, 126], [-127, 11]]


@pytest.mark.parametrize("N", [1, 2, 63, 64, 65])
def test_tokens(N):
    weight = random_weight(Int8(), 6, 333)
    q = np.random.default_rng(N).integers(-128, 128, (N, 333)).astype(np.int8)
    assert np.array_equal(Int8Linear(weight.packed, None).integer(q), weight.sums(q))


def test_the_stored_weight_is_not_copied():
    weight = random_weight(Int8(), 8, 16).packed
    assert np.shares_memory(Int8Linear(weight, None)._weight, weight.tensors["packed"])
