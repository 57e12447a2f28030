"""INT8: products by hand, any number of tokens, memory shared with the embedding."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Int8
from trilobite.runtime.kernels.integer.int8 import Int8Linear


def test_by_hand(kernel):
    weight = pack_values(Int8(), np.int8([[127, -127], [1, 2]]))
    q = np.int8([[-128, 127], [3, 4]])
    sums = Int8Linear(weight.packed, None).integer(q)
    assert sums.tolist() == [[-127 * 255, 126], [-127, 11]]


@pytest.mark.parametrize("N", [0, 1, 2, 63, 64, 65])
def test_tokens(N, kernel):
    weight = random_weight(Int8(), 6, 333)
    q = np.random.default_rng(N).integers(-128, 128, (N, 333)).astype(np.int8)
    assert np.array_equal(Int8Linear(weight.packed, None).integer(q), weight.sums(q))


@pytest.mark.parametrize("K", [1, 63, 64, 65, 257])
@pytest.mark.parametrize("M", [1, 63, 64, 65, 130])
def test_rows_and_columns_that_fill_no_vector(M, K, kernel):
    weight = random_weight(Int8(), M, K, seed=M)
    linear = Int8Linear(weight.packed, None)
    q = np.random.default_rng(K).integers(-128, 128, (14, K)).astype(np.int8)
    expected = weight.sums(q)
    for N in range(1, 15):
        assert np.array_equal(linear.integer(q[:N]), expected[:N])


@pytest.mark.parametrize("K", [1536, 1537, 3200])
def test_columns_beyond_one_panel(K, kernel):
    weight = random_weight(Int8(), 65, K)
    q = np.random.default_rng(K).integers(-128, 128, (31, K)).astype(np.int8)
    linear, expected = Int8Linear(weight.packed, None), weight.sums(q)
    for N in (1, 6, 7, 31):
        assert np.array_equal(linear.integer(q[:N]), expected[:N])


def test_the_stored_weight_is_not_copied(kernel):
    weight = random_weight(Int8(), 8, 16).packed
    assert np.shares_memory(Int8Linear(weight, None)._weight, weight.tensors["packed"])
    assert Int8Linear(random_weight(Int8(), 128, 192).packed, None).nbytes == 128 * (192 + 4)
