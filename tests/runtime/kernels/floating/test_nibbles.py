"""MXFP4, NVFP4 and INT4 with FP8 scales: sums by hand, every shape of a panel, scales at limits."""

import dataclasses

import numpy as np
import pytest

from support.integer_weights import E4M3_UNITS, pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.numerics import quantize_activations_fp8
from trilobite.quant.formats import Codes, Int4Fp8, Mxfp4, Nvfp4, PackedWeight
from trilobite.runtime.kernels.floating.nibbles import Int4Fp8Linear, Mxfp4Linear, Nvfp4Linear


def test_mxfp4_by_hand(kernel):
    values = np.zeros((1, 64), np.uint8)
    values[0, :4] = 0x7, 0xF, 0x1, 0x5     # 6, -6, 0.5, 3
    values[0, 32:34] = 0x2, 0xB            # 1, -1.5
    scale = np.float32([[2, 0.25]])
    packed = PackedWeight(Mxfp4(), (1, 64), Mxfp4().pack(Codes(values, scale)))
    q = np.zeros((1, 64), np.int8)
    q[0, :4] = 127, 1, -128, 10
    q[0, 32:34] = 4, 8
    linear = Mxfp4Linear(packed, None)
    twice = [12 * 127 - 12 - 128 + 60, 2 * 4 - 3 * 8]
    assert linear.integer(q).tolist() == [[[twice[0]], [twice[1]]]]
    x = q.astype(np.float32)               # absmax 128: another scale, other codes
    codes, scale_x = linear.activations(x)
    sums = linear.integer(codes)[0, :, 0].astype(np.float32)
    assert linear(x)[0, 0] == np.float32(np.float32(sums[0] + sums[1] * 0.125) * scale_x[0])


def test_nvfp4_by_hand(kernel):
    values = np.zeros((1, 32), np.uint8)
    values[0, :2] = 0x7, 0x9               # 6, -0.5
    values[0, 16] = 0x3                    # 1.5
    codes = Codes(values, np.float32([[448, 2.0**-9]]), global_scale=np.float32([[4]]))
    linear = Nvfp4Linear(PackedWeight(Nvfp4(), (1, 32), Nvfp4().pack(codes)), None)
    q = np.zeros((1, 32), np.int8)
    q[0, :2], q[0, 16] = (10, 20), 127
    assert linear.integer(q).tolist() == [[448 * 512 * (12 * 10 - 20) + 1 * 3 * 127]]
    x = np.zeros((1, 32), np.float32)
    x[0, 0] = 127                          # its code is 127, its scale 1 (or a rounding from it)
    assert linear(x)[0, 0] == pytest.approx(6 * 448 / 4 * 127, rel=1e-6)


def test_int4_fp8_by_hand(kernel):
    values = np.zeros((1, 64), np.int8)
    values[0, :3] = 7, -8, 1
    values[0, 32] = -3
    codes = Codes(values, np.float32([[1.5, 448]]), global_scale=np.float32([[256]]))
    linear = Int4Fp8Linear(PackedWeight(Int4Fp8(32), (1, 64), Int4Fp8(32).pack(codes)), None)
    u = np.zeros((1, 64), np.int32)
    u[0, :3], u[0, 32] = (E4M3_UNITS, 1, -E4M3_UNITS), -512
    expected = 768 * (7 * E4M3_UNITS - 8 - E4M3_UNITS) + 448 * 512 * 3 * 512
    assert linear.integer(u).tolist() == [[expected]]
    x = np.zeros((1, 64), np.float32)
    x[0, 0] = 448
    assert linear(x)[0, 0] == pytest.approx(448 * 7 * 1.5 / 256, rel=1e-6)


@pytest.mark.parametrize(
    "form", [Mxfp4(), Nvfp4(), Int4Fp8(32), Int4Fp8(128)], ids=lambda form: form.name)
@pytest.mark.parametrize(("M", "K"), [(1, 128), (64, 256), (65, 384), (130, 1280)])
def test_outputs_for_every_number_of_tokens_in_a_tile(form, M, K, kernel):
    weight = random_weight(form, M, K)
    linear = {"mxfp4": Mxfp4Linear, "nvfp4": Nvfp4Linear, "int4-fp8": Int4Fp8Linear}[form.name](
        weight.packed, None)
    x = np.random.default_rng(1).standard_normal((13, K)).astype(np.float32)
    x[3], x[4, :100] = 0, 0
    expected = weight.output(*weight.activations(x))
    for N in range(14):
        assert np.array_equal(linear(x[:N]), expected[:N])


def test_group_sums_of_fp8_activations_need_29_bits(kernel):
    K = 128 * 200
    weight = pack_values(Int4Fp8(128), np.full((2, K), -8, np.int8), zero_point=0)   # scales 448
    linear = Int4Fp8Linear(weight.packed, None)
    for extreme in (-E4M3_UNITS, E4M3_UNITS):
        u = np.full((2, K), extreme, np.int32)
        assert linear.integer(u).tolist() == [[-8 * K * E4M3_UNITS * extreme] * 2] * 2
    x = np.full((1, K), 3.0, np.float32)
    assert np.array_equal(linear(x), weight.output(*quantize_activations_fp8(x)))


def test_scales_of_mxfp4_from_the_smallest_to_the_largest(kernel):
    values = np.full((4, 32), 7, np.uint8)
    scale = np.float32([[2.0**-127], [2.0**-126], [2.0**-125], [2.0**110]])
    packed = PackedWeight(Mxfp4(), (4, 32), Mxfp4().pack(Codes(values, scale)))
    y = Mxfp4Linear(packed, None)(np.ones((1, 32), np.float32))[0]
    # 2^(e - 128) is subnormal for the first two, hence zero.
    assert y[0] == y[1] == 0
    np.testing.assert_allclose(y[2:], 32 * 6 * scale[2:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [(Mxfp4(), 255, "a scale is 255"), (Nvfp4(), 0x80, "not an E4M3 number above zero"),
     (Int4Fp8(32), 0x7F, "not an E4M3 number above zero")],
    ids=lambda value: getattr(value, "name", None))
def test_bad_scales_are_refused(form, code, message, kernel):
    packed = random_weight(form, 2, 64).packed
    scale = np.array(packed.tensors["scale"])
    scale[1, 1] = code
    damaged = dataclasses.replace(packed, tensors={**packed.tensors, "scale": scale})
    with pytest.raises(FormatError, match=message):
        {"mxfp4": Mxfp4Linear, "nvfp4": Nvfp4Linear, "int4-fp8": Int4Fp8Linear}[form.name](
            damaged, None)
