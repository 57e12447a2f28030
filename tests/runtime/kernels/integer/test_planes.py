"""HLQ and two ternary planes: sums by hand, the int16 sums at their limit, the written order."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Codes, Hlq2, Hlq3, PackedWeight, TernaryPlanes
from trilobite.runtime.kernels.integer.planes import HlqLinear, TernaryPlanesLinear

LINEARS = {"hlq2": HlqLinear, "hlq3": HlqLinear, "ternary-planes": TernaryPlanesLinear}


def make(form, values, scale):
    codes = Codes(np.uint8(values), np.float32(scale))
    packed = PackedWeight(form, codes.values.shape, form.pack(codes))
    return LINEARS[form.name](packed, None)


def test_hlq_by_hand(kernel):
    values = np.zeros((1, 64), np.uint8)
    values[0, [0, 1, 40]] = 1, 3, 2
    q = np.zeros((1, 64), np.int8)
    q[0, [0, 1, 2, 40, 63]] = 10, -128, 5, 127, 1
    linear = make(Hlq2(32), values, np.ones((1, 2, 3)))
    # bits 0 and 1 and the activations of each group
    assert linear.integer(q).tolist() == [[[-118], [-128], [-113], [0], [127], [128]]]


def test_planes_by_hand(kernel):
    values = np.full((1, 64), 4, np.uint8)   # two zeros
    values[0, [0, 1, 40]] = 8, 0, 5          # (1, 1), (-1, -1), (1, 0)
    q = np.zeros((1, 64), np.int8)
    q[0, [0, 1, 2, 40]] = 10, -128, 5, 127
    linear = make(TernaryPlanes(32), values, np.ones((1, 2, 2)))
    assert linear.integer(q).tolist() == [[[138], [138], [127], [0]]]


@pytest.mark.parametrize("form", [Hlq3(None), TernaryPlanes(None)], ids=str)
@pytest.mark.parametrize("activation", [-128, 127])
def test_int16_sums_do_not_overflow(form, activation, kernel):
    K = 1032
    weight = pack_values(form, np.full((3, K), len(form.table) - 1, np.uint8))
    q = np.full((2, K), activation, np.int8)
    sums = LINEARS[form.name](weight.packed, None).integer(q)
    assert np.array_equal(sums, weight.sums(q)) and sums[0, 0, 0] == K * activation


@pytest.mark.parametrize("form", [Hlq2(32), TernaryPlanes(32)], ids=str)
def test_terms_add_up_in_the_order_of_planes_then_groups(form, kernel):
    rng = np.random.default_rng(2)
    values = rng.integers(0, len(form.table), (70, 256))
    scale = np.float16(2.0 ** rng.uniform(-8, 4, (70, 8, form.parameters))).astype(np.float32)
    x = rng.integers(-127, 128, (1, 256)).astype(np.float32)
    x[0, 0] = 127   # so that the activations' scale is 1
    linear = make(form, values, scale)
    terms = linear.integer(x.astype(np.int8))[0].astype(np.float32) * scale.reshape(70, -1).T

    def added(order):
        total = np.zeros(70, np.float32)
        for term in order:
            total = total + terms[term]
        return total

    np.testing.assert_array_equal(linear(x)[0], added(range(len(terms))))
    assert (added(range(len(terms))) != added(reversed(range(len(terms))))).any()


def test_threads_share_the_rows(kernel):
    weight = random_weight(Hlq2(128), 2100, 1024)
    q = np.random.default_rng(1).integers(-128, 128, (17, 1024)).astype(np.int8)
    assert np.array_equal(HlqLinear(weight.packed, None).integer(q), weight.sums(q))
