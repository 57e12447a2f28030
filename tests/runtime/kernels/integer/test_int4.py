"""INT4: nibble order, groups, zero points, the int16 sums at their limit."""

import dataclasses

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.numerics import quantize_activations
from trilobite.quant.formats import Int4
from trilobite.runtime.kernels.integer.int4 import Int4Linear


def test_by_hand(kernel):
    values = np.zeros((1, 64), np.int8)
    values[0, :4] = 7, -8, 1, 0
    values[0, 32:34] = 2, 3
    q = np.zeros((1, 64), np.int8)
    q[0, :4] = 10, 1, 100, 50
    q[0, 32:34] = -128, 127
    linear = Int4Linear(pack_values(Int4(32), values).packed, None)
    assert linear.integer(q).tolist() == [[[70 - 8 + 100], [-256 + 381]]]


@pytest.mark.parametrize("K", [2, 16, 18, 130])
def test_a_row_of_any_even_width_is_one_group(K, kernel):
    weight = random_weight(Int4(None, symmetric=False), 9, K)
    q = np.random.default_rng(1).integers(-128, 128, (3, K)).astype(np.int8)
    assert np.array_equal(Int4Linear(weight.packed, None).integer(q), weight.sums(q))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("M", "group_size"), [(1, 32), (64, 32), (65, 64), (130, 128), (70, None)])
def test_outputs_for_every_number_of_tokens_in_a_tile(M, group_size, symmetric, kernel):
    K = 1280   # a row that is one group is larger than a panel
    weight = random_weight(Int4(group_size, symmetric), M, K)
    linear = Int4Linear(weight.packed, None)
    x = np.random.default_rng(1).standard_normal((13, K)).astype(np.float32)
    x[3], x[4, :300] = 0, 0
    expected = weight.output(*quantize_activations(x))
    for N in range(1, 14):
        assert np.array_equal(linear(x[:N]), expected[:N])


@pytest.mark.parametrize("activation", [-128, 127])
def test_int16_sums_do_not_overflow(activation, kernel):
    values = np.full((3, 64), 15, np.uint8)
    weight = pack_values(Int4(64, symmetric=False), values, zero_point=0)
    q = np.full((1, 64), activation, np.int8)
    sums = Int4Linear(weight.packed, None).integer(q)
    assert sums.tolist() == [[[64 * 15 * activation] * 3]]


def test_a_zero_point_above_15_is_refused(kernel):
    packed = random_weight(Int4(32, symmetric=False), 2, 64).packed
    tensors = {**packed.tensors, "zero_point": np.uint8([[0, 15], [16, 0]])}
    with pytest.raises(FormatError, match="zero point is 16"):
        Int4Linear(dataclasses.replace(packed, tensors=tensors), None)


def test_a_group_whose_nibbles_could_overflow(kernel):
    K = 140_000
    weight = pack_values(Int4(None, False), np.full((1, K), 15, np.uint8), zero_point=0)
    x = np.ones((1, K), np.float32)
    expected = weight.output(*quantize_activations(x))
    assert expected[0, 0] > 0
    assert np.array_equal(Int4Linear(weight.packed, None)(x), expected)
