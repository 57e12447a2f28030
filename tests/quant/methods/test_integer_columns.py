"""The compiled loops of integer formats give the bits of those that any format goes through."""

import numpy as np
import pytest

from trilobite.quant.formats import Int2, Int3, Int4
from trilobite.quant.methods import gptq, refine
from trilobite.quant.methods.calibration import hessian
from trilobite.quant.methods.integer_columns import descend, round_in_turn

FORMS = [Int4(32), Int4(None, symmetric=False), Int3(64), Int2(128), Int2(None, symmetric=True)]
every_form = pytest.mark.parametrize("form", FORMS, ids=str)
rows = pytest.mark.parametrize("M", [1, 16, 37])


def problem(M, K, seed=0):
    """A weight, and the Hessian of inputs of unlike power, of which one is always zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * K, K)) @ rng.uniform(-1, 1, (K, K)) * rng.uniform(0.1, 2, K)
    x[:, 5] = 0
    return rng.standard_normal((M, K)).astype(np.float32), hessian([x.astype(np.float32)], K)


@every_form
@rows
def test_columns_rounded_in_turn(form, M):
    weight, moments = problem(M, 128)
    work = gptq._Columns(weight, moments, form)
    factor = gptq.triangular_inverse(gptq.upper_factor(moments))
    columns = work._targets.copy()
    work._fit(0, 0, 0, columns)
    part = slice(32, 64)   # of a block: those behind change too, those before do not
    expected, others = columns.copy(), columns.copy()
    codes, rounded = work._any(0, part, expected, factor)
    found, found_rounded = round_in_turn(form, others, 32, 32, factor, *work._parameters(0))
    np.testing.assert_array_equal(found.view(codes.dtype), codes)
    np.testing.assert_array_equal(found_rounded, rounded)
    np.testing.assert_array_equal(others[64:], expected[64:])
    assert (expected[64:] != columns[64:]).any()


@every_form
@rows
def test_coordinate_descent(form, M):
    weight, moments = problem(M, 128)
    descent = refine._Descent(weight, moments, form, form.encode(weight))
    rng = np.random.default_rng(1)
    before = rng.standard_normal((128, M))
    gradient = rng.standard_normal((128, M))
    codes = rng.integers(0, 2, (128, M)).astype(form.code_type)
    again = codes.copy()
    parameters = descent._parameters(0)
    moved = descent._descend(before, gradient.copy(), moments, parameters, codes)
    found = descend(form, before, gradient, moments, *parameters, again.view(np.int8))
    np.testing.assert_array_equal(found, moved)
    np.testing.assert_array_equal(again, codes)
    assert not moved[5].any()
    assert moved[4].all()


@every_form
def test_a_whole_weight_goes_through_the_compiled_loops(form, monkeypatch):
    weight, moments = problem(37, 256)
    found = gptq.gptq(weight, moments, form)
    monkeypatch.setattr(gptq._Columns, "_integers", gptq._Columns._any)
    monkeypatch.setattr(refine, "GroupedInt", type(None))
    expected = gptq.gptq(weight, moments, form)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.scale, expected.scale)
