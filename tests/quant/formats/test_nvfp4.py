"""NVFP4: by hand, against ml_dtypes and gguf, and the two levels of scales at their limits."""

import ml_dtypes
import numpy as np
import pytest

from trilobite.errors import FormatError
from trilobite.quant.formats import Nvfp4


def test_a_vector_worked_out_by_hand():
    # The tensor's absmax 6 gives 448 * 6 / 6 = 448; block 0's scale is e4m3(6 * 448 / 6) = 448.
    # Block 1: absmax 1.5 gives 1.5 * 448 / 6 = 112, an E4M3 number (1.75 * 2**6, code 0 1101 110);
    # a step of its codes is 112 / 448 = 0.25.
    weight = np.zeros((1, 32), np.float32)
    weight[0, :4] = 6, -6, 2.5, 0.5
    weight[0, 16:20] = 1.5, -0.25, 0.125, 0.0625
    packed = Nvfp4().quantize(weight)
    assert packed.tensors["global_scale"].tolist() == [[448]]
    assert packed.tensors["scale"].tolist() == [[0b0_1111_110, 0b0_1101_110]]
    assert packed.tensors["packed"][0, [0, 1, 8, 9]].tolist() == [0xF7, 0x14, 0xA7, 0x01]
    expected = [6, -6, 2, 0.5], [1.5, -0.25, 0.125, 0]
    assert packed.dequantize()[0, :4].tolist() == expected[0]
    assert packed.dequantize()[0, 16:20].tolist() == expected[1]


def test_the_stored_bytes_mean_what_ml_dtypes_says():
    weight = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    packed = Nvfp4().quantize(weight)
    nibbles = np.stack([packed.tensors["packed"] & 15, packed.tensors["packed"] >> 4], axis=2)
    values = nibbles.view(ml_dtypes.float4_e2m1fn).astype(np.float64).reshape(8, 4, 16)
    scale = packed.tensors["scale"].view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    exact = values * scale[:, :, None] / packed.tensors["global_scale"].astype(np.float64)
    np.testing.assert_allclose(packed.dequantize(), exact.reshape(8, 64), rtol=2e-7)


def test_gguf_reads_the_same_blocks():
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGMLQuantizationType

    weight = np.random.default_rng(0).standard_normal((16, 256)).astype(np.float32)
    packed = Nvfp4().quantize(weight)
    # 64 columns: four UE4M3 scales, then per block of 16 the codes j and j + 8 in a byte.
    codes = packed.codes().values.reshape(16, 4, 4, 2, 8)
    halves = (codes[:, :, :, 0] | codes[:, :, :, 1] << 4).reshape(16, 4, 32)
    scales = packed.tensors["scale"].reshape(16, 4, 4)
    blocks = np.concatenate([scales, halves], axis=2).reshape(16, -1)
    theirs = quants.dequantize(blocks, GGMLQuantizationType.NVFP4)
    divided = theirs / packed.tensors["global_scale"]
    np.testing.assert_allclose(divided, packed.dequantize(), rtol=3e-7)


def test_a_block_far_smaller_than_the_tensor_has_the_smallest_scale():
    weight = np.full((1, 32), 1e-9, np.float32)
    weight[0, 0] = 1
    packed = Nvfp4().quantize(weight)
    assert packed.tensors["scale"].tolist() == [[0x7E, 1]]
    assert not packed.dequantize()[0, 16:].any()


@pytest.mark.parametrize("value", [0, 1e-45, 1e-38, 3.4e38])
def test_extreme_tensors(value):
    packed = Nvfp4().quantize(np.full((2, 16), value, np.float32))
    assert np.isfinite(packed.dequantize()).all()
    assert np.isfinite(packed.tensors["global_scale"]).all()
    if value > 1e-30:
        np.testing.assert_allclose(packed.dequantize(), value, rtol=0.02)


def test_blocks_must_be_whole():
    with pytest.raises(FormatError, match="q_proj: K = 40 is not a multiple of 16, the columns"):
        Nvfp4().quantize(np.zeros((2, 40), np.float32), "q_proj")
