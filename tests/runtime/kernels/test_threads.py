"""Threads: only for enough work, the same sums however many."""

from typing import NamedTuple

import numba
import numpy as np
import pytest

from support.integer_weights import random_weight
from trilobite.numerics import quantize_activations
from trilobite.quant.formats import Fp8, Int4, Int8, Ternary
from trilobite.runtime.kernels.parallel_region import parallel_region
from trilobite.runtime.kernels.threads import in_chunks, over_rows
from trilobite.runtime.linear import make_linear
from trilobite.tools.compiled import njit
from trilobite.tools.reached import content_of


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

    def serial(q, sums, start, stop):
        calls.append((start, stop))

    def in_chunks(given):
        assert given is serial
        return lambda q, sums, count, chunks: calls.append((count, chunks))

    monkeypatch.setattr("trilobite.runtime.kernels.threads.in_chunks", in_chunks)
    q = np.empty((N, K), np.int8)
    over_rows(serial, (), q, M, np.empty((N, M), np.int32))
    assert calls == [(M, chunks) if chunks > 1 else (0, M)]


class Weight(NamedTuple):
    codes: np.ndarray
    scale: float


@njit
def _range_of(weight, shape, out, start, stop):
    for i in range(start, stop):
        out[i] += weight.codes[i] * weight.scale + len(shape) * (stop - start)


@pytest.mark.parametrize(("count", "chunks"), [(10, 3), (3, 3), (2, 5), (0, 2)])
def test_chunks_are_the_whole_range_once(count, chunks):
    operands = (Weight(np.arange(10), 0.5), (7, 8))
    out, expected = np.zeros(10), np.zeros(10)
    with parallel_region():
        in_chunks(_range_of)(*operands, out, count, chunks)
    for chunk in range(chunks):
        start, stop = count * chunk // chunks, count * (chunk + 1) // chunks
        _range_of.py_func(*operands, expected, start, stop)
    assert np.array_equal(out, expected)
    assert in_chunks(_range_of) is in_chunks(_range_of)


@njit
def _another_range(out, start, stop):
    out[start:stop] = 1


@njit
def _third_range(out, start, stop):
    out[start:stop] = 2


def test_each_has_its_own_name_and_content():
    one, other = in_chunks(_another_range), in_chunks(_third_range)
    assert one.__module__ == __name__
    assert {one.__qualname__, other.__qualname__} == {
        "_another_range_in_chunks", "_third_range_in_chunks"}
    assert content_of(one) != content_of(other)


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
