"""Threads: only for enough work, the same sums however many."""

import numba
import numpy as np
import pytest

from support.integer_weights import random_weight
from trilobite.numerics import quantize_activations
from trilobite.quant.formats import Fp8, Int4, Int8, Ternary
from trilobite.runtime.kernels.threads import over_rows
from trilobite.runtime.linear import make_linear


@pytest.fixture
def restored_threads():
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize(
    ("M", "N", "K", "threads", "chunks"),
    [(256, 1, 256, 2, 1), (1024, 1, 1024, 2, 1), (4096, 1, 4096, 2, 2), (1, 4096, 4096, 2, 1),
     (256, 64, 256, 2, 2), (4096, 1, 4096, 1, 1)],
)
def test_chunks(M, N, K, threads, chunks, monkeypatch):
    monkeypatch.setattr("numba.get_num_threads", lambda: threads)
    calls = []

    def serial(operands, q, start, stop, sums):
        assert (start, stop) == (0, M)
        calls.append(1)

    def parallel(operands, q, count, sums):
        calls.append(count)

    q = np.empty((N, K), np.int8)
    over_rows(serial, parallel, (), q, M, np.empty((N, M), np.int32))
    assert calls == [chunks]


@pytest.mark.parametrize(
    "weight_format", [Ternary(), Ternary("2bit"), Int4(32), Int8(), Fp8()], ids=str
)
def test_sums_and_outputs_do_not_depend_on_threads(weight_format, restored_threads):
    weight = random_weight(weight_format, 4099, 1024)
    linear = make_linear(weight.packed, None)
    q = np.random.default_rng(0).integers(-128, 128, (18, 1024)).astype(np.int8)
    x = q.astype(np.float32)
    expected = weight.output(*quantize_activations(x))
    for threads in range(1, numba.get_num_threads() + 1):
        numba.set_num_threads(threads)
        for count in (1, 18):
            assert np.array_equal(linear.integer(q[:count]), weight.sums(q[:count]))
            assert np.array_equal(linear(x[:count]), expected[:count])
