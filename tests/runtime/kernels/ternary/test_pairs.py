"""Ternary by vpmaddubsw: every width that the CPU has, sums that reach an int16's limits."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Ternary
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.ternary.pairs import PairsTernary

VECTORS = [vectors for name, vectors in (("avx512", 4), ("avx2", 8)) if name in available_kernels()]
every_width = pytest.mark.parametrize("vectors", VECTORS)


def pairs(weight, vectors):
    return PairsTernary(weight.packed, np.ones(weight.packed.shape[0], np.float32), vectors)


@every_width
def test_rows_and_columns_keep_their_places(vectors):
    """Row m has one weight, +1 in column m; the activations are all different."""
    kernel = pairs(pack_values(Ternary("2bit"), np.eye(80, dtype=np.int8)), vectors)
    q = np.int8([range(-40, 40), range(39, -41, -1)])
    assert np.array_equal(kernel.integer(q), q)


@every_width
@pytest.mark.parametrize("packing", ["base3", "2bit"])
@pytest.mark.parametrize("K", [1, 15, 16, 17, 255, 256, 257, 600])
def test_ragged_shapes(K, packing, vectors):
    for M in (1, 8, 63, 64, 65, 130):
        weight = random_weight(Ternary(packing), M, K, seed=M)
        kernel = pairs(weight, vectors)
        q = np.random.default_rng(K).integers(-128, 128, (11, K)).astype(np.int8)
        expected = weight.sums(q)
        for N in range(12):
            assert np.array_equal(kernel.integer(q[:N]), expected[:N])


@every_width
@pytest.mark.parametrize("trit", [-1, 0, 1])
@pytest.mark.parametrize("activation", [-128, 127])
def test_largest_sums(trit, activation, vectors):
    """Digit 2 times -128: 64 pairs make -32,768, the least int16, and no more are added."""
    K = 40_000
    kernel = pairs(pack_values(Ternary(), np.full((70, K), trit, np.int8)), vectors)
    for N in range(1, 6):
        sums = kernel.integer(np.full((N, K), activation, np.int8))
        assert sums.tolist() == [[K * trit * activation] * 70] * N


@every_width
def test_memory_is_two_bits(vectors):
    for packing in ("base3", "2bit"):
        kernel = pairs(random_weight(Ternary(packing), 128, 640), vectors)
        assert kernel.nbytes == 128 * 640 / 4
