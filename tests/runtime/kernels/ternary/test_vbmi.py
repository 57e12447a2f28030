"""Base 3 by VBMI: what a byte stands for, tables, ragged shapes, sums at an int16's limit."""

import itertools

import numpy as np
import pytest
from numba import njit

from support.integer_weights import pack_values, random_weight
from trilobite.quant.formats import Ternary
from trilobite.runtime.kernels.choice import VARIABLE, available_kernels, cpu_features
from trilobite.runtime.kernels.ir.x86 import vbmi as vbmi_ir
from trilobite.runtime.kernels.ir.x86.vbmi import BYTE_OF, TABLE, UNIT_COLUMNS
from trilobite.runtime.kernels.ternary import portable as ternary
from trilobite.runtime.kernels.ternary.portable import TernaryLinear
from trilobite.runtime.kernels.ternary.vbmi import VbmiTernary
from trilobite.runtime.kernels.ternary.vnni import VnniTernary

HAS_VNNI = "vnni" in available_kernels()
needs_vbmi = pytest.mark.skipif(
    not (HAS_VNNI and "avx512vbmi" in cpu_features()), reason="needs AVX-512 VNNI and VBMI"
)


def vbmi(weight):
    return VbmiTernary(weight.packed.tensors["packed"], np.ones(len(weight.integers), np.float32))


def test_a_byte_is_a_value_or_its_opposite():
    assert sorted(BYTE_OF) == [*range(122), *range(128, 249)]
    assert BYTE_OF[121] == 121   # five zeros
    assert all(BYTE_OF[242 - v] == 128 + BYTE_OF[v] for v in range(121))


@needs_vbmi
def test_tables_hold_every_sum_of_five():
    @njit
    def build(q, tables):
        vbmi_ir.build_tables(q, tables, 2)

    q = np.int8([-128] * 5 + [127, -3, 5, -128, 77])
    tables = np.zeros((2, TABLE), np.uint8)
    build(q.ctypes.data, tables.ctypes.data)
    low, high = tables[:, :128].astype(int), tables[:, 128:].view(np.int8).astype(int)
    for v, trits in enumerate(itertools.islice(itertools.product((-1, 0, 1), repeat=5), 122)):
        for group in range(2):
            expected = int(q[5 * group:5 * group + 5].astype(int) @ trits[::-1])
            assert low[group, v] + 256 * high[group, v] == expected


@needs_vbmi
def test_activations_meet_their_columns():
    @njit
    def reorder(q, ordered):
        vbmi_ir.in_unit_order(q, ordered, 2)

    q = np.arange(2 * UNIT_COLUMNS).astype(np.uint8)
    ordered = np.zeros_like(q)
    reorder(q.ctypes.data, ordered.ctypes.data)
    first, second = ordered.reshape(2, -1)
    assert first[:8].tolist() == [0, 5, 10, 15, 1, 6, 11, 16]
    assert first[64:68].tolist() == [4, 9, 14, 19]
    assert sorted(first) == list(range(UNIT_COLUMNS))
    assert np.array_equal(second, first + UNIT_COLUMNS)


@needs_vbmi
@pytest.mark.parametrize("K", [1, 5, 79, 80, 81, 239, 240, 241, 961, 1290])
def test_ragged_shapes(K):
    for M in (1, 63, 64, 65, 130, 200):
        weight = random_weight(Ternary(), M, K, seed=M)
        kernel = vbmi(weight)
        q = np.random.default_rng(K).integers(-128, 128, (14, K)).astype(np.int8)
        expected = weight.sums(q)
        for N in range(15):
            assert np.array_equal(kernel.integer(q[:N]), expected[:N])


@needs_vbmi
@pytest.mark.parametrize("trit", [-1, 0, 1])
@pytest.mark.parametrize("activation", [-128, 127])
def test_largest_sums(trit, activation):
    K = 70_000
    kernel = vbmi(pack_values(Ternary(), np.full((66, K), trit, np.int8)))
    for N in (1, 9):
        sums = kernel.integer(np.full((N, K), activation, np.int8))
        assert sums.tolist() == [[K * trit * activation] * 66] * N


@needs_vbmi
def test_memory_is_that_of_the_packing():
    kernel = vbmi(random_weight(Ternary(), 128, 640))
    assert kernel.nbytes == 128 * 640 * 1.6 / 8 + 4 * 128


@pytest.mark.skipif(not HAS_VNNI, reason="needs AVX-512 VNNI")
@pytest.mark.parametrize(
    ("packing", "features", "kernel"),
    [("base3", {"avx512vbmi"}, VbmiTernary), ("base3", set(), VnniTernary),
     ("2bit", {"avx512vbmi"}, VnniTernary)],
)
def test_the_kernel_that_the_cpu_has(packing, features, kernel, monkeypatch):
    monkeypatch.setenv(VARIABLE, "vnni")
    monkeypatch.setattr(ternary, "cpu_features", lambda: frozenset(features))
    weight = random_weight(Ternary(packing), 3, 7)
    assert isinstance(TernaryLinear(weight.packed, None)._fused, kernel)
