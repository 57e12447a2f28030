"""FP8 E4M3FN: every code, rounding against ml_dtypes, scales per row and per tensor."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trilobite.errors import FormatError
from trilobite.quant.formats import Fp8
from trilobite.quant.formats.fp8 import E4M3_VALUES, to_e4m3


def test_a_vector_worked_out_by_hand():
    # absmax 448, scale 1. 448 = 1.75 * 2**8: exponent 15, mantissa 6. 1 = 0|0111|000.
    # 17 lies between 16 and 18: tie, to even mantissa (16). 19 too: 18 and 20, to 20 = 1.25 * 2**4.
    # 2**-9 is the smallest subnormal, 2**-10 ties to 0, 3 * 2**-10 ties to 2 * 2**-9.
    weight = np.float32([[448, -1, 17, 19, 2**-9, -(2**-10), 3 * 2**-10, 0]])
    packed = Fp8().quantize(weight)
    assert packed.tensors["scale"].tolist() == [[1]]
    expected = [
        0b0_1111_110, 0b1_0111_000, 0b0_1011_000, 0b0_1011_010,
        0b0_0000_001, 0b1_0000_000, 0b0_0000_010, 0,
    ]
    assert packed.tensors["packed"].tolist() == [expected]
    np.testing.assert_array_equal(
        packed.dequantize(), [[448, -1, 16, 20, 2**-9, 0, 2**-8, 0]])


def test_every_code_has_the_value_that_ml_dtypes_gives_it():
    theirs = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    np.testing.assert_array_equal(E4M3_VALUES, theirs)
    np.testing.assert_array_equal(np.signbit(E4M3_VALUES[:255]), np.signbit(theirs[:255]))


def test_every_code_encodes_to_itself():
    codes = np.uint8([code for code in range(256) if code & 0x7F != 0x7F])
    np.testing.assert_array_equal(to_e4m3(E4M3_VALUES[codes]), codes)


def test_every_tie_and_its_neighbours_round_as_ml_dtypes_does():
    grid = E4M3_VALUES[:0x7F].astype(np.float64)
    ties = ((grid[1:] + grid[:-1]) / 2).astype(np.float32)
    numbers = np.concatenate([ties, np.nextafter(ties, 0), np.nextafter(ties, np.float32(500))])
    numbers = np.concatenate([numbers, -numbers])
    theirs = numbers.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    np.testing.assert_array_equal(to_e4m3(numbers), theirs)


@given(hnp.arrays(np.float32, (1, 32), elements=st.floats(-448, 448, width=32)))
def test_any_number_rounds_as_ml_dtypes_does(numbers):
    theirs = numbers.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    np.testing.assert_array_equal(to_e4m3(numbers), theirs)


def test_scale_per_row_and_per_tensor():
    weight = np.float32([[448, 1], [-896, 2]])
    rows, whole = Fp8("row").quantize(weight), Fp8("tensor").quantize(weight)
    assert rows.tensors["scale"].tolist() == [[1], [2]]
    assert whole.tensors["scale"].tolist() == [[2]]
    np.testing.assert_array_equal(rows.dequantize(), weight)
    np.testing.assert_array_equal(whole.dequantize(), weight)
    assert whole.tensors["packed"][0, 0] == to_e4m3(np.float32([224]))[0]


@pytest.mark.parametrize("granularity", ["row", "tensor"])
def test_a_quotient_rounded_above_448_does_not_become_nan(granularity):
    weight = np.random.default_rng(3).lognormal(0, 9, (200, 7)).astype(np.float32)
    packed = Fp8(granularity).quantize(weight)
    assert not np.isnan(packed.dequantize()).any()
    largest = weight.argmax(axis=1)
    if granularity == "row":
        assert (packed.codes().values[np.arange(200), largest] == 0x7E).all()


@pytest.mark.parametrize("granularity", ["row", "tensor"])
def test_zeros_and_the_largest_float32(granularity):
    largest = np.finfo(np.float32).max
    form = Fp8(granularity)
    zeros = form.quantize(np.zeros((2, 3), np.float32))
    assert set(zeros.tensors["scale"].flat) == {np.float32(2.0**-126)}
    packed = form.quantize(np.float32([[largest, -largest]]))
    np.testing.assert_array_equal(packed.dequantize(), [[largest, -largest]])


@pytest.mark.parametrize("code", [0x7F, 0xFF])
def test_nan_codes_are_refused(code):
    tensors = {"packed": np.uint8([[0x7E, code]]), "scale": np.float32([[1]])}
    with pytest.raises(FormatError, match="NaN"):
        Fp8().unpack(tensors, (1, 2))


@pytest.mark.parametrize("granularity", ["group", None, 1, ["row"]])
def test_parameters_are_checked(granularity):
    with pytest.raises(FormatError, match="granularity"):
        Fp8(granularity)
