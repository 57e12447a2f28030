"""GPTQ and what it is made of: order, clipping, compensation, refinement."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.errors import FormatError
from trilobite.quant.formats import (
    GroupedTernary,
    Hlq2,
    Hlq3,
    Int2,
    Int3,
    Int4,
    Int8,
    TernaryPlanes,
)
from trilobite.quant.formats.codebook import Codebook
from trilobite.quant.methods import calibration, choose_method, clip, gptq, itf, refine
from trilobite.quant.methods.calibration import (
    corrected,
    hessian,
    moments_and_drift,
    relative_output_error,
    row_errors,
)
from trilobite.quant.methods.gptq import triangular_inverse, upper_factor
from trilobite.quant.methods.order import activation_order

FORMS = [
    Int4(32), Int3(32), Int2(32), Int4(None, symmetric=False), Int2(64, symmetric=True),
    Hlq2(32), Hlq3(None), TernaryPlanes(64),
]
every_form = pytest.mark.parametrize("form", FORMS, ids=str)


def correlated(K, seed=0):
    """A Hessian of 3 K inputs that share a few directions, and columns of unlike power."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * K, 4)) @ rng.standard_normal((4, K))
    x += 0.5 * rng.standard_normal((3 * K, K)) * rng.uniform(0.2, 2, K)
    return hessian([x.astype(np.float32)], K)


def gaussian(M, K, seed=0):
    return np.random.default_rng(seed).standard_normal((M, K)).astype(np.float32)


def error(form, weight, moments, codes):
    return row_errors(form.dequantize(codes) - weight.astype(np.float64), moments)


@pytest.fixture
def plain_ranges(monkeypatch):
    monkeypatch.setattr(clip, "FRACTIONS", (1.0,))


def test_the_hessian_by_hand():
    blocks = [np.float32([[1, 2]]), np.float32([[0, 1], [3, 0]])]
    # sums [[10, 2], [2, 5]], over the mean diagonal 7.5
    np.testing.assert_allclose(hessian(blocks, 2), np.array([[10, 2], [2, 5]]) / 7.5)
    np.testing.assert_array_equal(hessian([np.zeros((3, 2), np.float32)], 2), np.eye(2))


def test_output_error_is_that_of_the_outputs():
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((50, 8)), gaussian(5, 8)
    other = (weight + rng.normal(0, 0.1, weight.shape)).astype(np.float32)
    outputs, change = x @ weight.T, x @ (other - weight).T
    expected = np.square(change).sum() / np.square(outputs).sum()
    found = relative_output_error(weight, other, hessian([x.astype(np.float32)], 8))
    assert found == pytest.approx(expected, rel=1e-5)
    assert relative_output_error(0 * weight, 0 * weight, np.eye(8)) == 0


def test_the_corrected_weight_is_the_least_squares_one(monkeypatch):
    monkeypatch.setattr(calibration, "_DAMPING", 0.0)
    rng = np.random.default_rng(3)
    exact = rng.standard_normal((60, 8)).astype(np.float32)
    found = (exact + 0.3 * rng.standard_normal(exact.shape)).astype(np.float32)
    weight = gaussian(5, 8)
    moments, drift = moments_and_drift(iter([found[:20], found[20:]]),
                                       iter([exact[:20], exact[20:]]), 8)
    np.testing.assert_allclose(moments, hessian([found], 8), rtol=1e-6)
    expected = np.linalg.lstsq(found.astype(float), exact @ weight.T.astype(float), rcond=None)[0]
    np.testing.assert_allclose(corrected(weight, moments, drift), expected.T, rtol=1e-4, atol=1e-5)
    same, none = moments_and_drift(iter([found]), iter([found]), 8)
    np.testing.assert_array_equal(corrected(weight, same, none), weight)


def test_groups_and_their_columns_come_by_falling_power():
    power = np.array([1, 5, 2, 4, 4, 4, 0, 9.0])
    assert activation_order(power, 2).tolist() == [7, 6, 4, 5, 1, 0, 3, 2]
    assert activation_order(np.ones(6), 3).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_factor_is_that_of_the_damped_hessian():
    moments = correlated(12)
    moments[3] = moments[:, 3] = 0   # an input that is always zero
    factor = upper_factor(moments)
    damped = moments + np.diag(np.eye(12)[3])
    damped += 0.01 * np.trace(damped) / 12 * np.eye(12)
    np.testing.assert_array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor @ factor.T, damped, atol=1e-9)
    inverse = triangular_inverse(factor)
    np.testing.assert_array_equal(inverse, np.triu(inverse))
    np.testing.assert_allclose(inverse @ factor, np.eye(12), atol=1e-9)
    np.testing.assert_allclose(inverse.T @ inverse @ damped, np.eye(12), atol=1e-9)


@every_form
@pytest.mark.parametrize("block", [32, 64])
def test_how_many_columns_are_a_block_does_not_matter(form, block, monkeypatch):
    if form.group_size and form.group_size > block:
        pytest.skip("a block holds whole groups")
    weight, moments = gaussian(9, 192), correlated(192)
    expected = gptq._Columns(weight, moments, form).round_all()
    monkeypatch.setattr(gptq, "BLOCK", block)
    found = gptq._Columns(weight, moments, form).round_all()
    assert (found.values == expected.values).mean() > 0.99   # sums in another order
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-2)


def test_two_correlated_columns_by_hand(monkeypatch, plain_ranges):
    # Scale 1. Column 1 has the larger power and comes before column 2. 2.4 -> 2 leaves 0.4, and
    # column 2 becomes 1.3 + 0.4 * 0.8 / 1 = 1.62, so 2, where plain rounding gives 1. Errors:
    # 2 * 0.16 - 2 * 0.8 * 0.4 * 0.7 + 0.49 = 0.362; of plain rounding 0.602.
    monkeypatch.setattr(gptq, "DAMPING", 0.0)
    form, weight = Int4(None), np.float32([[7, 2.4, 1.3, 0]])
    moments = np.array([[1, 0, 0, 0], [0, 2, 0.8, 0], [0, 0.8, 1, 0], [0, 0, 0, 1]])
    codes = gptq._Columns(weight, moments, form).round_all()
    assert codes.values.tolist() == [[7, 2, 2, 0]]
    assert error(form, weight, moments, codes) == pytest.approx(0.362)
    assert error(form, weight, moments, form.encode(weight)) == pytest.approx(0.602)


@every_form
def test_columns_without_correlation_are_rounded_as_they_are(form, plain_ranges):
    weight = gaussian(7, 128)
    power = np.diag(np.random.default_rng(2).uniform(0.1, 3, 128))
    if isinstance(form, Codebook):   # its levels depend on the columns' power
        power = np.eye(128)
    found, expected = gptq._Columns(weight, power, form).round_all(), form.encode(weight)
    for field in dataclasses.fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(one, other)
        assert one is None or one.dtype == other.dtype


@every_form
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6))
@settings(max_examples=8, deadline=None)
def test_no_row_is_worse_than_rounding(form, seed, rows):
    weight, moments = gaussian(rows, 128, seed), correlated(128, seed)
    codes = gptq.gptq(weight, moments, form)
    rounded = error(form, weight, moments, form.encode(weight))
    assert (error(form, weight, moments, codes) <= rounded * (1 + 1e-9)).all()
    packed = form.pack(codes)   # the codes are codes of the format, the scales are float16
    back = form.unpack(packed, weight.shape)
    np.testing.assert_array_equal(back.values, codes.values)
    np.testing.assert_array_equal(back.scale, codes.scale)


@every_form
def test_correlation_is_made_use_of(form):
    weight, moments = gaussian(64, 256), correlated(256)
    found = error(form, weight, moments, gptq.gptq(weight, moments, form)).sum()
    assert found < 0.5 * error(form, weight, moments, form.encode(weight)).sum()


@every_form
def test_refinement_never_rises_and_ends_where_no_code_can_be_better(form, monkeypatch):
    weight, moments = gaussian(5, 128), correlated(128)
    monkeypatch.setattr(refine, "PASSES", 1)
    codes, last = form.encode(weight), np.inf
    for turn in range(40):
        if turn == 20:   # codes alone come to an end soon
            monkeypatch.setattr(
                refine._Descent, "_fit", lambda *_: np.zeros((5, form.group_size or 128))
            )
        total = error(form, weight, moments, codes)
        assert (total <= last * (1 + 1e-9)).all()
        last, codes = total, refine.refine(weight, moments, form, codes)
    top = (0, len(form.table) - 1) if isinstance(form, Codebook) else (0, form.top)
    if form.code_type is np.int8:
        top = (-form.half, form.half - 1)
    for column in range(0, 128, 9):
        for step in (-1, 1):
            values = codes.values.astype(int)
            values[:, column] = np.clip(values[:, column] + step, *top)
            moved = dataclasses.replace(codes, values=values.astype(codes.values.dtype))
            assert (error(form, weight, moments, moved) >= last * (1 - 1e-6)).all()


def test_the_refined_scale_is_the_least_squares_one(monkeypatch):
    # Codes 1, 2, 2 for weights 1.2, 2.4, 2.4: the scale that fits is 1.2, and the codes stay.
    form, weight = Int4(None), np.float32([[1.2, 2.4, 2.4, 0]])
    codes = dataclasses.replace(
        form.encode(weight), values=np.int8([[1, 2, 2, 0]]), scale=np.float32([[1]])
    )
    found = refine.refine(weight, np.eye(4), form, codes)
    assert found.values.tolist() == [[1, 2, 2, 0]]
    assert found.scale.tolist() == [[float(np.float16(1.2))]]
    assert codes.scale.tolist() == [[1]]   # what came in is left alone


def test_an_outlier_is_clipped_where_it_matters_little():
    group = np.array([[8.0, *np.tile([1.2, -1.2], 31), 1.2]])
    form = Int2(64)
    importance = np.ones(64)
    importance[0] = 1e-3
    scale, _ = clip.fit_clipped(form, group, importance)
    full, _ = form.fit(group.min(axis=1), group.max(axis=1))
    assert scale[0] == pytest.approx(0.4 * full[0], rel=1e-3)
    importance[0] = 1e6
    assert clip.fit_clipped(form, group, importance)[0][0] > 0.8 * full[0]


def test_inputs_that_are_always_zero_do_no_harm():
    weight, moments = gaussian(4, 64), np.zeros((64, 64))
    moments[:8, :8] = correlated(8)
    codes = gptq.gptq(weight, moments, Int4(32))
    assert np.isfinite(Int4(32).dequantize(codes)).all()


def test_a_method_must_exist_and_fit():
    assert choose_method("rtn", Int4()) is None
    assert choose_method("gptq", Int3()).name == "gptq"
    with pytest.raises(FormatError, match="'gtpq' is unknown; known are"):
        choose_method("gtpq", Int4())


@pytest.mark.parametrize("size", [32, 128, None])
def test_itf_is_never_worse_than_rounding_to_trits_and_mostly_far_better(size):
    form, weight, moments = GroupedTernary(size), gaussian(48, 128), correlated(128)
    codes = choose_method("itf", form).quantize(weight, moments, form)
    assert set(np.unique(codes.values)) == {-1, 0, 1} and codes.zero_point is None
    found = error(form, weight, moments, codes)
    rounded = error(form, weight, moments, form.encode(weight))
    assert (found <= rounded * (1 + 1e-9)).all()
    assert found.sum() < 0.5 * rounded.sum()


def test_itf_by_hand():
    # Scale 1.5 as in the format's test; without correlation every column is rounded as it is.
    weight = np.float32([[2, 1.5, -1, 0.5, 0]])
    codes = itf.itf(weight, np.eye(5), GroupedTernary(None))
    assert codes.values.tolist() == [[1, 1, -1, 0, 0]]
    assert codes.scale.tolist() == [[1.5]]


def test_a_format_that_a_method_does_not_make_is_refused():
    with pytest.raises(FormatError, match="gptq does not make int8; it makes hlq2, hlq3, int2, "):
        choose_method("gptq", Int8())
