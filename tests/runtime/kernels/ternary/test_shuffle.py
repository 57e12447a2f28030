"""Ternary by pshufb: the tables, every width that the CPU has, sums that reach an int16's limit."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Ternary
from trilobite.runtime.kernels.choice import VARIABLE, available_kernels
from trilobite.runtime.kernels.ternary import shuffle as ternary_shuffle
from trilobite.runtime.kernels.ternary.pairs import PairsTernary
from trilobite.runtime.kernels.ternary.portable import TernaryLinear
from trilobite.runtime.kernels.ternary.shuffle import ShuffleTernary

VECTORS = [vectors for name, vectors in (("avx512", 1), ("avx2", 2)) if name in available_kernels()]
every_width = pytest.mark.parametrize("vectors", VECTORS)


@pytest.mark.parametrize(
    "name", [name for name in ("avx512", "avx2", "lookup") if name in available_kernels()])
def test_lookup_runs_where_it_is_asked_for(name, monkeypatch):
    monkeypatch.setenv(VARIABLE, name)
    fused = TernaryLinear(random_weight(Ternary(), 3, 7).packed, None)._fused
    assert isinstance(fused, ShuffleTernary if name == "lookup" else PairsTernary)


def shuffle(weight, vectors):
    scale = np.ones(weight.packed.shape[0], np.float32)
    return ShuffleTernary(weight.packed, scale, vectors)


def test_tables_hold_every_sum_of_two():
    q = np.int8([[-128, -128, 127, -3]])
    tables = np.empty((1, 64), np.uint8)
    ternary_shuffle.build_pair_tables(q, tables)
    for pair, (a0, a1) in enumerate([(-128, -128), (127, -3)]):
        low, high = tables[0, 32 * pair:32 * pair + 32].reshape(2, 16)
        entries = (low + 256 * high.astype(np.int32)).astype(np.int16)
        for d0 in range(3):
            for d1 in range(3):
                assert entries[d0 + 4 * d1] == (d0 - 1) * a0 + (d1 - 1) * a1


@every_width
@pytest.mark.parametrize("K", [1, 3, 4, 5, 127, 128, 129, 300])
def test_ragged_shapes(K, vectors):
    for M in (1, 63, 64, 65, 130):
        weight = random_weight(Ternary("2bit"), M, K, seed=M)
        q = np.random.default_rng(K).integers(-128, 128, (5, K)).astype(np.int8)
        kernel = shuffle(weight, vectors)
        for N in (0, 1, 2, 5):
            assert np.array_equal(kernel.integer(q[:N]), weight.sums(q[:N]))


@every_width
@pytest.mark.parametrize("trit", [-1, 0, 1])
@pytest.mark.parametrize("activation", [-128, 127])
def test_largest_sums(trit, activation, vectors):
    K = 40_000
    kernel = shuffle(pack_values(Ternary(), np.full((70, K), trit, np.int8)), vectors)
    q = np.full((1, K), activation, np.int8)
    assert kernel.integer(q).tolist() == [[K * trit * activation] * 70]
