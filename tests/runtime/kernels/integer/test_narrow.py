"""INT3 and INT2: bit planes, ragged rows, the int16 sums at their limit."""

import dataclasses

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.quant.formats import Int2, Int3
from trilobite.runtime.kernels.integer.narrow import NarrowIntLinear

both = pytest.mark.parametrize("form", [Int2, Int3])


def test_by_hand():
    values = np.zeros((1, 64), np.uint8)
    values[0, :4] = 7, 1, 4, 2
    values[0, 32:34] = 5, 3
    q = np.zeros((1, 64), np.int8)
    q[0, :4] = 10, 1, 100, 50
    q[0, 32:34] = -128, 127
    linear = NarrowIntLinear(pack_values(Int3(32), values, zero_point=1).packed, None)
    first, second = 70 + 1 + 400 + 100 - 161, -640 + 381 + 1
    assert linear.integer(q).tolist() == [[[first], [second]]]


@both
@pytest.mark.parametrize("K", [8, 24, 32, 40, 104])
def test_a_row_is_one_group(form, K):
    weight = random_weight(form(None), 9, K)
    q = np.random.default_rng(1).integers(-128, 128, (3, K)).astype(np.int8)
    assert np.array_equal(NarrowIntLinear(weight.packed, None).integer(q), weight.sums(q))


@both
@pytest.mark.parametrize("activation", [-128, 127])
def test_int16_sums_do_not_overflow(form, activation):
    top = form().top
    weight = pack_values(form(64), np.full((3, 64), top, np.uint8), zero_point=0)
    q = np.full((1, 64), activation, np.int8)
    sums = NarrowIntLinear(weight.packed, None).integer(q)
    assert sums.tolist() == [[[64 * top * activation] * 3]]


@both
def test_a_zero_point_above_the_codes_is_refused(form):
    packed = random_weight(form(32), 2, 64).packed
    top = form().top
    tensors = {**packed.tensors, "zero_point": np.uint8([[0, top], [top + 1, 0]])}
    with pytest.raises(FormatError, match=f"{form.name} zero point is {top + 1}"):
        NarrowIntLinear(dataclasses.replace(packed, tensors=tensors), None)
