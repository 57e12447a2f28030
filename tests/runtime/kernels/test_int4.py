"""INT4: nibble order, groups, zero points, the int16 sums at their limit."""

import dataclasses

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.quant.formats import Int4
from trilobite.runtime.kernels.int4 import Int4Linear


def test_by_hand():
    values = np.zeros((1, 64), np.int8)
    values[0, :4] = 7, -8, 1, 0
    values[0, 32:34] = 2, 3
    q = np.zeros((1, 64), np.int8)
    q[0, :4] = 10, 1, 100, 50
    q[0, 32:34] = -128, 127
    linear = Int4Linear(pack_values(Int4(32), values).packed, None)
    assert linear.integer(q).tolist() == [[[70 - 8 + 100], [-256 + 381]]]


@pytest.mark.parametrize("K", [2, 16, 18, 130])
def test_a_row_of_any_even_width_is_one_group(K):
    weight = random_weight(Int4(None, symmetric=False), 9, K)
    q = np.random.default_rng(1).integers(-128, 128, (3, K)).astype(np.int8)
    assert np.array_equal(Int4Linear(weight.packed, None).integer(q), weight.sums(q))


@pytest.mark.parametrize("activation", [-128, 127])
def test_int16_sums_do_not_overflow(activation):
    values = np.full((3, 64), 15, np.uint8)
    weight = pack_values(Int4(64, symmetric=False), values, zero_point=0)
    q = np.full((1, 64), activation, np.int8)
    sums = Int4Linear(weight.packed, None).integer(q)
    assert sums.tolist() == [[[64 * 15 * activation] * 3]]


def test_a_zero_point_above_15_is_refused():
    packed = random_weight(Int4(32, symmetric=False), 2, 64).packed
    tensors = {**packed.tensors, "zero_point": np.uint8([[0, 15], [16, 0]])}
    with pytest.raises(FormatError, match="zero point is 16"):
        Int4Linear(dataclasses.replace(packed, tensors=tensors), None)
