"""INT4, INT3, INT2: both roundings, the order of the bits, float16 scales at their limits."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import FormatError
from trilobite.quant.formats import Codes, Int2, Int3, Int4


def test_a_symmetric_vector_worked_out_by_hand():
    # absmax 3.5, scale 0.5: 7, -1 (0.4 * 2 = 0.8), tie 2.5 -> 2, tie -1.5 -> -2, 0, -7
    weight = np.float32([[3.5, -0.4, 1.25, -0.75, 0.0, -3.5]])
    packed = Int4(None).quantize(weight)
    assert packed.tensors["scale"].tolist() == [[0.5]]
    np.testing.assert_array_equal(packed.codes().values, [[7, -1, 2, -2, 0, -7]])
    # stored q + 8: 15, 7 | 10, 6 | 8, 1, the even column in the low nibble
    assert packed.tensors["packed"].tolist() == [[0x7F, 0x6A, 0x18]]
    np.testing.assert_array_equal(packed.dequantize(), [[3.5, -0.5, 1, -1, 0, -3.5]])


def test_an_asymmetric_vector_worked_out_by_hand():
    # from -1 to 6.5: scale 0.5, zero point 2; 6.5 -> 13 + 2, tie 0.25 -> 0 + 2, tie 0.75 -> 2 + 2
    weight = np.float32([[-1.0, 6.5, 0.25, 0.75]])
    packed = Int4(None, symmetric=False).quantize(weight)
    assert packed.tensors["scale"].tolist() == [[0.5]]
    assert packed.tensors["zero_point"].tolist() == [[2]]
    assert packed.tensors["packed"].tolist() == [[0xF0, 0x42]]
    np.testing.assert_array_equal(packed.dequantize(), [[-1, 6.5, 0, 1]])


def test_an_int3_vector_worked_out_by_hand():
    # from -1 to 2.5: scale 0.5, zero point 2; ties: 0.25 -> 0 + 2, 0.75 -> 2 + 2, -0.25 -> -0 + 2
    weight = np.float32([[-1.0, 2.5, 0.25, 0.75, 1.0, -0.5, -0.25, 1.4]])
    packed = Int3(None).quantize(weight)
    assert (packed.tensors["scale"].tolist(), packed.tensors["zero_point"].tolist()) == ([[0.5]],
                                                                                         [[2]])
    np.testing.assert_array_equal(packed.codes().values, [[0, 7, 2, 4, 4, 1, 2, 5]])
    # 0 + 7*8 + 2*64 + 4*512 + 4*4096 + 1*32768 + 2*262144 + 5*2097152 = 0xA8C8B8
    assert packed.tensors["packed"].tolist() == [[0xB8, 0xC8, 0xA8]]
    np.testing.assert_array_equal(packed.dequantize(), [[-1, 2.5, 0, 1, 1, -0.5, 0, 1.5]])


def test_the_documented_int3_bytes():
    codes = Codes(np.uint8([[5, 0, 7, 1, 2, 6, 3, 4]]), np.float32([[1]]), np.uint8([[0]]))
    assert Int3(None).pack(codes)["packed"].tolist() == [[0xC5, 0x23, 0x8F]]


def test_int2_vectors_worked_out_by_hand():
    # from -0.5 to 1: scale 0.5, zero point 1; codes 0, 3, 1 and (0.3 / 0.5 = 0.6) 2
    packed = Int2(None).quantize(np.float32([[-0.5, 1.0, 0.0, 0.3]]))
    assert packed.tensors["packed"].tolist() == [[0 + 4 * 3 + 16 * 1 + 64 * 2]]
    np.testing.assert_array_equal(packed.dequantize(), [[-0.5, 1, 0, 0.5]])
    # absmax 0.5 is the scale; 0.2 and -0.2 are nearer to 0; stored q + 2
    packed = Int2(None, symmetric=True).quantize(np.float32([[-0.5, 0.5, 0.2, -0.2]]))
    assert packed.tensors["packed"].tolist() == [[1 + 4 * 3 + 16 * 2 + 64 * 2]]


@pytest.mark.parametrize(("sign", "zero_point"), [(1, 0), (-1, 15)])
def test_the_range_of_an_asymmetric_group_includes_zero(sign, zero_point):
    weight = np.float32([[3.0, 3.75]]) * sign
    packed = Int4(None, symmetric=False).quantize(weight)
    assert packed.tensors["zero_point"].tolist() == [[zero_point]]
    np.testing.assert_array_equal(packed.dequantize(), weight)


def test_each_group_has_its_own_scale():
    weight = np.ones((2, 96), np.float32)
    weight[0, 32:64] = 7
    weight[1, 64:] = 14
    scale = Int4(32).quantize(weight).codes().scale
    np.testing.assert_allclose(scale, [[1 / 7, 1, 1 / 7], [1 / 7, 1 / 7, 2]], rtol=1e-3)


@pytest.mark.parametrize("low", range(16))
@pytest.mark.parametrize("high", range(16))
def test_every_byte(low, high):
    scale = np.float32([[1]])
    symmetric = Codes(np.int8([[low - 8, high - 8]]), scale)
    asymmetric = Codes(np.uint8([[low, high]]), scale, np.uint8([[3]]))
    for form, codes in ((Int4(None), symmetric), (Int4(None, symmetric=False), asymmetric)):
        packed = form.pack(codes)
        assert packed["packed"].tolist() == [[16 * high + low]]
        np.testing.assert_array_equal(form.unpack(packed, (1, 2)).values, codes.values)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_codes_are_those_of_ml_dtypes(rows, groups, seed):
    weight = np.random.default_rng(seed).standard_normal((rows, 32 * groups)).astype(np.float32)
    codes = Int4(32).quantize(weight).codes()
    for row in range(rows):
        for group in range(groups):
            part = weight[row, 32 * group : 32 * (group + 1)]
            scale = np.float16(float(np.abs(part).max()) / 7)
            assert codes.scale[row, group] == scale
            # ml_dtypes truncates and wraps: round and clip before the cast
            expected = np.clip(np.rint(part / np.float32(scale)), -8, 7).astype(ml_dtypes.int4)
            found = codes.values[row, 32 * group : 32 * (group + 1)]
            np.testing.assert_array_equal(found, expected.astype(np.int8))


def test_codes_follow_the_rounded_scale():
    # absmax 0.1: 0.1 / 7 = 0.0142857 is stored as float16 0.014282; 0.09283 is 6.49995 of the
    # exact scale but 6.4997... of neither: what counts is the quotient by the stored one.
    scale = np.float32(np.float16(np.float32(0.1) / 7))
    weight = np.float32([[0.1, np.float32(6.5) * scale * np.float32(1.00005)]])
    assert weight[0, 1] / (np.float32(0.1) / 7) < 6.5 < weight[0, 1] / scale
    np.testing.assert_array_equal(Int4(None).quantize(weight).codes().values, [[7, 7]])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("value", [0, 1e-40, 1e-9])
def test_weights_below_float16_become_zeros_with_the_smallest_scale(symmetric, value):
    packed = Int4(32, symmetric).quantize(np.full((2, 32), value, np.float32))
    np.testing.assert_array_equal(packed.tensors["scale"], np.full((2, 1), 2.0**-24))
    assert not packed.dequantize().any()


def test_subnormal_scales_saturate_at_the_end_of_the_codes():
    # 9.8 * 2**-24 / 7 = 1.4 * 2**-24 is stored as 2**-24: the codes would be 9.8 and -9.8
    weight = np.float32([[9.8, -9.8]]) * np.float32(2.0**-24)
    np.testing.assert_array_equal(Int4(None).quantize(weight).codes().values, [[7, -8]])


def test_the_largest_scale_and_the_overflow_above():
    weight = np.float32([[65504 * 7, -65504.0]])
    packed = Int4(None).quantize(weight)
    assert packed.tensors["scale"].tolist() == [[65504]]
    np.testing.assert_array_equal(packed.dequantize(), weight)
    with pytest.raises(FormatError, match=r"^up_proj: .*float16 ends at 65504"):
        Int4(None).quantize(weight * 1.01, "up_proj")
    with pytest.raises(FormatError, match="float16"):
        Int4(None, symmetric=False).quantize(np.float32([[3e38, -3e38]]))


def test_a_zero_point_above_15_is_refused():
    tensors = dict(Int4(32, symmetric=False).quantize(np.ones((2, 64), np.float32)).tensors)
    tensors["zero_point"] = np.uint8([[0, 15], [16, 0]])
    with pytest.raises(FormatError, match="zero point 16"):
        Int4(32, symmetric=False).unpack(tensors, (2, 64))


@pytest.mark.parametrize(
    ("group_size", "columns", "message"),
    [
        (128, 576, "K = 576 is not a multiple of the group size 128; what fits: 32, 64, one group"),
        (32, 100, "what fits: one group per row"),
        (None, 101, "K = 101 is not a multiple of 2, the columns that fill whole bytes"),
    ],
)
def test_columns_that_do_not_fit_are_refused(group_size, columns, message):
    with pytest.raises(FormatError, match=f"^layers.0.down_proj: .*{message}"):
        Int4(group_size).check("layers.0.down_proj", (4, columns))


@pytest.mark.parametrize("group_size", [0, -32, 16, 48, 32.0, "32", True])
def test_group_sizes_are_checked(group_size):
    with pytest.raises(FormatError, match="group_size"):
        Int4(group_size)


@pytest.mark.parametrize("symmetric", [None, 1, "yes"])
def test_symmetric_is_checked(symmetric):
    with pytest.raises(FormatError, match="symmetric"):
        Int4(32, symmetric)
