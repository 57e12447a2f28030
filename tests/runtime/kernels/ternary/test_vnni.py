"""Ternary by VNNI: the decoding of a byte, both packings, every number of tokens in a tile."""

import itertools

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Ternary
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.ternary.vnni import VnniTernary

needs_vnni = pytest.mark.skipif("vnni" not in available_kernels(), reason="needs AVX-512 VNNI")
PACKINGS = ["base3", "2bit"]


def vnni(weight):
    return VnniTernary(weight.packed, np.ones(weight.packed.shape[0], np.float32))


def test_two_sums_of_a_scaled_byte_are_the_digits_sum():
    """The identity of ``ir.x86.ternary``, for every byte, in Python's integers."""
    a = [-128, 127, 3, -1, 77]
    for digits in itertools.product((0, 1, 2), repeat=5):
        v = sum(digit * 3 ** (4 - d) for d, digit in enumerate(digits))
        x = [(v * 256 + 242) // 243]
        for _ in range(5):
            x.append(3 * x[-1] % 256)
        assert [(now >= 86) + (now >= 171) for now in x[:5]] == list(digits)
        these, nexts = (sum(map(lambda t, q: t * q, x[start:], a)) for start in (0, 1))
        assert 3 * these - nexts == 256 * sum(map(lambda t, q: t * q, digits, a))


@needs_vnni
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("K", [1, 15, 16, 17, 20, 21, 479, 480, 481, 961])
def test_ragged_shapes(K, packing):
    for M in (1, 15, 64, 65, 130):
        weight = random_weight(Ternary(packing), M, K, seed=M)
        kernel = vnni(weight)
        q = np.random.default_rng(K).integers(-128, 128, (26, K)).astype(np.int8)
        expected = weight.sums(q)
        for N in (*range(1, 15), 26):
            assert np.array_equal(kernel.integer(q[:N]), expected[:N])


@needs_vnni
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("weight", [-1, 0, 1])
@pytest.mark.parametrize("activation", [-128, 127])
def test_columns_beyond_one_segment_of_a_sum(weight, activation, packing):
    K = 70_000
    kernel = vnni(pack_values(Ternary(packing), np.full((2, K), weight, np.int8)))
    for N in (1, 3, 9):
        sums = kernel.integer(np.full((N, K), activation, np.int8))
        assert sums.tolist() == [[K * weight * activation] * 2] * N


@needs_vnni
@pytest.mark.parametrize(("packing", "bits"), [("base3", 1.6), ("2bit", 2)])
def test_memory_is_that_of_the_packing(packing, bits):
    kernel = vnni(random_weight(Ternary(packing), 128, 640))
    assert kernel.nbytes == 128 * 640 * bits / 8
