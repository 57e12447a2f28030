"""INT8: rounding, limits."""

import numpy as np
import pytest

from trilobite.errors import FormatError
from trilobite.quant.formats import Int8


def test_a_vector_worked_out_by_hand():
    # scale 127 / 127 = 1: ties 0.5 -> 0, 1.5 -> 2, -2.5 -> -2; second row: scale 2
    weight = np.float32([[127, 0.5, 1.5, -2.5], [-254, 100, 3, 1]])
    packed = Int8().quantize(weight)
    assert packed.tensors["scale"].tolist() == [[1], [2]]
    assert packed.tensors["packed"].tolist() == [[127, 0, 2, -2], [-127, 50, 2, 0]]
    np.testing.assert_array_equal(
        packed.dequantize(), [[127, 0, 2, -2], [-254, 100, 4, 0]])


def test_zeros_and_numbers_below_the_smallest_scale():
    packed = Int8().quantize(np.float32([[0, 0], [1e-42, -1e-40], [2.0**-126, 2.0**-120]]))
    assert packed.tensors["scale"][:, 0].tolist() == [2.0**-126] * 3
    np.testing.assert_array_equal(packed.tensors["packed"], [[0, 0], [0, 0], [1, 64]])


def test_huge_numbers():
    packed = Int8().quantize(np.float32([[1e38, -1e38]]))
    np.testing.assert_array_equal(packed.tensors["packed"], [[127, -127]])
    np.testing.assert_allclose(packed.dequantize(), [[1e38, -1e38]], rtol=1e-6)


def test_minus_128_is_refused():
    tensors = {"packed": np.int8([[-127, -128]]), "scale": np.float32([[1]])}
    with pytest.raises(FormatError, match="-128"):
        Int8().unpack(tensors, (1, 2))
