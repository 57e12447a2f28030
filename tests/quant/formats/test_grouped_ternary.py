"""Grouped ternary: fitting and bytes by hand, and what it is compared with."""

import numpy as np
import pytest

from support.format_table import nmse
from trilobite.errors import FormatError
from trilobite.quant.formats import Codes, GroupedTernary, Ternary


def test_by_hand():
    # mean 1, threshold 0.75: 2, 1.5 and -1 are chosen, their mean 1.5. Above 0.75 lie the same
    # three: the scale stays 1.5. Digits 2, 2, 0, 1, 1: 2 + 2*3 + 0*9 + 1*27 + 1*81 = 116.
    packed = GroupedTernary(None).quantize(np.float32([[2, 1.5, -1, 0.5, 0]]))
    assert packed.tensors["packed"].tolist() == [[116]]
    assert packed.tensors["scale"].tolist() == [[1.5]]
    np.testing.assert_array_equal(packed.dequantize(), [[1.5, 1.5, -1.5, 0, 0]])


def test_columns_of_large_inputs_decide_the_scale():
    groups = np.float32([[[1.0, 2.0, 0.0, 0.0]]])
    form = GroupedTernary(None)
    assert form.fit(groups, np.ones(4))[0, 0] == 1.5
    assert form.fit(groups, np.array([9.0, 1, 1, 1]))[0, 0] == np.float16(1.1)


def test_the_scale_is_the_least_squares_one_for_its_trits():
    rows = np.random.default_rng(0).standard_normal((20, 256)).astype(np.float32)
    codes = GroupedTernary(64).encode(rows)
    trits, groups = codes.values.reshape(20, 4, 64), rows.reshape(20, 4, 64)
    best = (trits * groups).sum(axis=2) / np.square(trits).sum(axis=2)
    np.testing.assert_allclose(codes.scale, best, rtol=0.02)


def test_groups_are_better_than_absmean():
    rows = np.random.default_rng(1).laplace(size=(64, 512)).astype(np.float32)
    errors = [nmse(form.quantize(rows).dequantize(), rows) for form in (
        GroupedTernary(), Ternary())]
    assert errors[0] < 0.7 * errors[1]


def test_bytes_that_are_no_trits_are_refused():
    tensors = dict(GroupedTernary(32).quantize(np.ones((2, 64), np.float32)).tensors)
    tensors["packed"] = tensors["packed"].copy()
    tensors["packed"][1, 2] = 243
    with pytest.raises(FormatError, match="243"):
        GroupedTernary(32).unpack(tensors, (2, 64))


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(FormatError, match="^up_proj: K = 96 is not a multiple"):
        GroupedTernary(64).check("up_proj", (4, 96))


def test_trits_keep_through_the_bytes():
    values = np.random.default_rng(2).integers(-1, 2, (5, 96)).astype(np.int8)
    form = GroupedTernary(32)
    codes = Codes(values, np.full((5, 3), 0.5, np.float32))
    np.testing.assert_array_equal(form.unpack(form.pack(codes), (5, 96)).values, values)
