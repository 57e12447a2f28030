"""INT4 with FP8 scales (FireQ): by hand, the rescue of small tensors, the error it leaves."""

import numpy as np
import pytest

from support.format_table import nmse
from trilobite.errors import FormatError
from trilobite.quant.formats import Int4, Int4Fp8
from trilobite.quant.formats.fp8 import E4M3_VALUES


def test_a_vector_worked_out_by_hand():
    # absmax 7: the largest t with 7 t / 7 <= 448 is 256. Group 0: scale e4m3(256) = 1.0 * 2**8,
    # code 0 1111 000; a step is 256 / 256 = 1. Group 1: absmax 1.2, 1.2 * 256 / 7 = 43.9, E4M3
    # 44 (1.375 * 2**5, code 0 1100 011); a step is 44 / 256 = 0.171875.
    weight = np.zeros((1, 64), np.float32)
    weight[0, :4] = 7, -7, 2.5, 3.5
    weight[0, 32:36] = 1.2, -0.6, 0.08, 0.09
    packed = Int4Fp8(32).quantize(weight)
    assert packed.tensors["global_scale"].tolist() == [[256]]
    assert packed.tensors["scale"].tolist() == [[0b0_1111_000, 0b0_1100_011]]
    codes = packed.codes().values[0]
    assert codes[:4].tolist() == [7, -7, 2, 4]        # ties to even
    assert codes[32:36].tolist() == [7, -3, 0, 1]     # 6.98, -3.49, 0.465, 0.52
    assert packed.tensors["packed"][0, :2].tolist() == [0x1F, 0xCA]   # q + 8
    np.testing.assert_array_equal(packed.dequantize()[0, 32:36], np.float32(
        [7 * 0.171875, -3 * 0.171875, 0, 0.171875]))


@pytest.mark.parametrize(
    ("absmax", "smallest_group", "t"),
    [
        (1.0, 1.0, 1),                # nothing lacks a scale: the smallest t
        (1.0, 7 * 2.0**-9, 1),        # just enough
        (1.0, 7 * 2.0**-10, 2),       # twice, and the sum of what is missing is zero
        (1.0, 7 * 2.0**-20, 256),     # 512 * 1.0 would be above 448
        (0.01, 7 * 2.0**-30, 2**14),  # the largest that is tried
        (1000.0, 7 * 2.0**-10, 1),    # above 448 already: only t = 1 is left
        (4000.0, 1.0, 0.5),           # 4000 / 7 > 448: half of it is representable
    ],
)
def test_the_rescue_of_fireq(absmax, smallest_group, t):
    weight = np.zeros((2, 64), np.float32)
    weight[0, :32], weight[0, 32:], weight[1] = absmax, -smallest_group, absmax
    packed = Int4Fp8(32, "fireq").quantize(weight)
    assert packed.tensors["global_scale"].tolist() == [[t]]


def test_scales_are_e4m3_numbers_and_codes_nearest_to_them():
    weight = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32) * 0.02
    for form in (Int4Fp8(), Int4Fp8(32, "fireq")):
        codes = form.quantize(weight).codes()
        assert np.isin(codes.scale, E4M3_VALUES).all()
        step = np.repeat(codes.scale / codes.global_scale, form.group_size, axis=1)
        exact = np.clip(np.rint(weight.astype(np.float64) / step), -8, 7)
        assert (codes.values == exact).mean() > 0.9999   # quotients are float32


def test_a_large_tensor_scale_gives_the_error_of_float16_scales():
    weight = np.random.default_rng(0).standard_normal((512, 1024)).astype(np.float32) * 0.02
    errors = [nmse(form.quantize(weight).dequantize(), weight)
              for form in (Int4(128), Int4Fp8(128), Int4Fp8(128, "fireq"))]
    assert errors[1] <= 1.01 * errors[0]
    assert errors[2] == pytest.approx(0.0141, rel=0.01)   # FireQ's scales are subnormal here


def test_the_same_t_whatever_the_blocks():
    weight = np.random.default_rng(0).standard_normal((40, 256)).astype(np.float32) * 0.003
    form = Int4Fp8(32, "fireq")
    whole = form.statistics([weight])
    assert whole == form.statistics([weight[:7], weight[7:8], weight[8:]])
    assert whole > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"group_size": None}, "group_size must be 32, 64 or 128"),
     ({"group_size": 16}, "group_size must be"), ({"group_size": True}, "group_size must be"),
     ({"tensor_scale": "small"}, "tensor_scale must be")],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(FormatError, match=message):
        Int4Fp8(**parameters)


def test_groups_must_be_whole():
    with pytest.raises(FormatError, match=r"K = 96 is not a multiple .* 128; what fits: 32$"):
        Int4Fp8().check("q_proj", (4, 96))
