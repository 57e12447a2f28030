"""FP8: the integer of every code, scales near underflow, sums beyond int32."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.quant.formats import Fp8, PackedWeight
from trilobite.runtime.kernels.floating import fp8
from trilobite.runtime.kernels.floating.fp8 import Fp8Linear


def packed_codes(codes, scale):
    tensors = {"packed": codes, "scale": np.full((len(codes), 1), scale, np.float32)}
    return PackedWeight(Fp8(), codes.shape, tensors)


def test_every_code_is_its_integer():
    codes = np.arange(256).astype(np.uint8)
    units = np.empty(256, np.int32)
    fp8._decode(codes, units)
    values = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    regular = ~np.isnan(values)
    assert regular.sum() == 254
    assert np.array_equal(units[regular], values[regular] * 512)


def test_sums_leave_int32(kernel):
    codes = np.full((1, 1000), 0x7E, np.uint8)   # 448
    q = np.full((1, 1000), -128, np.int8)
    sums = Fp8Linear(packed_codes(codes, 1.0), None).integer(q)
    assert sums.tolist() == [[-1000 * 448 * 512 * 128]]


def test_scales_down_to_underflow(kernel):
    codes = np.full((1, 4), 0x38, np.uint8)      # 1.0
    x = np.ones((1, 4), np.float32)
    assert Fp8Linear(packed_codes(codes, 2.0**-117), None)(x)[0, 0] == pytest.approx(2.0**-115)
    assert Fp8Linear(packed_codes(codes, 2.0**-118), None)(x)[0, 0] == 0


def test_not_a_number_is_refused(kernel):
    packed = random_weight(Fp8(), 1, 3).packed
    tensors = {**packed.tensors, "packed": np.uint8([[0, 0xFF, 1]])}
    with pytest.raises(FormatError, match="NaN"):
        Fp8Linear(dataclasses.replace(packed, tensors=tensors), None)


def test_the_stored_weight_is_not_copied(portable):
    weight = random_weight(Fp8(), 8, 16).packed
    assert np.shares_memory(Fp8Linear(weight, None)._weight, weight.tensors["packed"])


@pytest.mark.parametrize("lowest", [-128, -127])   # only the latter has a negative in int8
@pytest.mark.parametrize("K", [1, 3, 63, 64, 65, 500, 767, 768, 769, 1600])
def test_shapes_that_fill_no_vector_and_no_panel(K, lowest, kernel):
    for M in (1, 64, 65):
        weight = random_weight(Fp8(), M, K, seed=M)
        linear = Fp8Linear(weight.packed, None)
        q = np.random.default_rng(K).integers(lowest, 128, (14, K)).astype(np.int8)
        expected = weight.sums(q)
        for N in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14):
            assert np.array_equal(linear.integer(q[:N]), expected[:N])


@pytest.mark.parametrize("N", [1, 8, 9, 13])
@pytest.mark.parametrize("codes", ["all", "none", "some"])
def test_numbers_that_are_no_multiples_of_eight_units(codes, N, kernel):
    """All of them, none, or a few, in either sign: the kernels treat them apart."""
    rng = np.random.default_rng(N)
    small = (rng.integers(0, 32, (70, 900)) | rng.choice([0, 128], (70, 900))).astype(np.uint8)
    large = (rng.integers(32, 127, (70, 900)) | rng.choice([0, 128], (70, 900))).astype(np.uint8)
    share = {"all": 1, "none": 0, "some": 0.002}[codes]
    values = np.where(rng.random((70, 900)) < share, small, large)
    weight = pack_values(Fp8(), values)
    assert (weight.integers % 8 != 0).any() == (share > 0)
    q = rng.integers(-127, 128, (N, 900)).astype(np.int8)
    assert np.array_equal(Fp8Linear(weight.packed, None).integer(q), weight.sums(q))


@pytest.mark.parametrize("code", [0x7E, 0xFE])
@pytest.mark.parametrize(("activation", "K"), [(-128, 130_000), (127, 1_050_000)])
def test_columns_beyond_one_segment_of_a_sum(code, activation, K, kernel):
    linear = Fp8Linear(packed_codes(np.full((2, K), code, np.uint8), 1.0), None)
    sums = linear.integer(np.full((1, K), activation, np.int8))
    sign = 1 if code < 128 else -1
    assert sums.tolist() == [[sign * K * 448 * 512 * activation] * 2]
