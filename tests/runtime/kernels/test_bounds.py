"""No kernel reads or writes beyond its arrays, or what was freed: guard pages would end it."""

import numpy as np
import pytest

from support.guard_pages import MODES, build_guard, start_guarded
from support.integer_weights import random_weight
from trilobite.quant.formats import Fp8, Int8
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.linear import make_linear


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    library = build_guard(tmp_path_factory.mktemp("guard"))
    return library or pytest.skip("needs a C compiler and glibc")


def run(guard, kernel, *arguments):
    process = start_guarded(guard, kernel, *arguments)
    printed, said = process.communicate(timeout=1500)
    return process.returncode, printed, said[-3000:]


@pytest.mark.parametrize("mode", MODES)
def test_the_guard_ends_who_reads_a_byte_too_far(guard, mode):
    arguments = ("--only", "gate", "--mode", mode)
    assert run(guard, "portable", *arguments)[0] == 0
    status, printed, said = run(guard, "portable", *arguments, "--overrun")
    assert (status, printed) == (-11, "")
    assert "Segmentation fault" in said


def test_the_fastest_kernels_stay_within_bounds(guard):
    status, printed, said = run(guard, available_kernels()[0], "--few")
    assert status == 0, said
    tasks, blocks = map(int, printed.split())
    assert tasks > 80
    assert blocks > 20 * tasks


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kernel", available_kernels())
def test_every_shape_stays_within_bounds(guard, kernel, mode):
    status, printed, said = run(guard, kernel, "--mode", mode)
    assert status == 0, said
    assert int(printed.split()[0]) > 500


@pytest.mark.parametrize("form", [Int8(), Fp8()], ids=str)
@pytest.mark.parametrize("M", [64, 65, 70, 128, 130])
def test_narrow_rows_at_the_end_of_a_weight(form, M, kernel):
    for K in (1, 7, 31, 32, 63):
        weight = random_weight(form, M, K)
        linear = make_linear(weight.packed, None)
        for N in (1, 2, 5, 20):
            q = np.random.default_rng(K).integers(-128, 128, (N, K)).astype(np.int8)
            assert np.array_equal(linear.integer(q), weight.sums(q))
