"""What holds for every number format: rows of ``support.format_table``."""

import itertools
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from support.format_table import FORMAT_TABLE, FormatCase, nmse
from trilobite.errors import FormatError
from trilobite.quant.formats import FORMATS, Codes, PackedWeight, format_from_spec
from trilobite.quant.formats.codebook import Codebook
from trilobite.quant.formats.hlq import Hlq

every_format = pytest.mark.parametrize("case", FORMAT_TABLE, ids=str)

# Up to 2**15, so that float16 scales stay finite, and down to float32's smallest subnormal.
magnitudes = st.floats(-(2.0**15), 2.0**15, width=32, allow_subnormal=True)
exponents = st.integers(-40, 8)


@st.composite
def matrices(draw, columns):
    """float32 [1 to 5, columns to 3 * columns or 1 to 23]: arbitrary values, or a scaled normal."""
    multiples = draw(st.integers(1, 3 if columns > 2 else 11))
    shape = (draw(st.integers(1, 5)), columns * multiples)
    if draw(st.booleans()):
        return draw(hnp.arrays(np.float32, shape, elements=magnitudes))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = np.float32(2.0 ** draw(exponents))
    return generator.standard_normal(shape, dtype=np.float32) * scale


def packed_ones(case: FormatCase) -> dict[str, np.ndarray]:
    packed: PackedWeight = case.format.quantize(np.ones((3, case.columns), np.float32))
    return dict(packed.tensors)


def has_scale_codes(case: FormatCase) -> bool:
    return case.format.layout((3, case.columns))["scale"].dtype == np.uint8


@cache
def gaussian():
    return np.random.default_rng(0).standard_normal((2048, 1024)).astype(np.float32)


def test_every_registered_format_has_a_row():
    assert {case.format.name for case in FORMAT_TABLE} == set(FORMATS.own)


@every_format
def test_error_on_a_gaussian_and_stored_bits(case: FormatCase):
    weight = gaussian()
    packed = case.format.quantize(weight)
    assert nmse(packed.dequantize(), weight) == pytest.approx(case.gaussian_nmse, rel=0.02)
    assert 8 * packed.nbytes / (2048 * 1024) == case.stored_bits
    assert case.format.stored_bits_per_weight((2048, 1024)) == case.stored_bits


@every_format
@given(data=st.data())
@settings(max_examples=30)
def test_pack_and_unpack_round_trip(case: FormatCase, data):
    weight = data.draw(matrices(case.columns))
    codes = case.format.encode(weight)
    packed = case.format.pack(codes)
    back = case.format.unpack(packed, weight.shape)
    assert_same_codes(back, codes)
    for suffix, layout in case.format.layout(weight.shape).items():
        assert packed[suffix].dtype == layout.dtype
        assert packed[suffix].shape == layout.shape
        assert packed[suffix].nbytes == layout.nbytes
    assert list(packed) == list(case.format.layout(weight.shape))


@pytest.mark.parametrize(
    "case", [case for case in FORMAT_TABLE if not isinstance(case.format, Codebook)], ids=str
)
@given(data=st.data())
@settings(max_examples=30)
def test_quantizing_again_changes_no_code(case: FormatCase, data):
    weight = data.draw(matrices(case.columns))
    once = case.format.quantize(weight)
    again = case.format.quantize(once.dequantize())
    codes = once.codes()
    scale = codes.scale if codes.global_scale is None else codes.scale / codes.global_scale
    step = np.repeat(scale, weight.shape[1] // codes.scale.shape[1], axis=1)
    # A subnormal scale has few bits: its group may clip, and have another scale the next time.
    stored = once.tensors["scale"].dtype
    smallest = np.finfo(stored if stored.kind == "f" else np.float32).tiny
    if codes.global_scale is not None:
        smallest = 2.0**-6 / codes.global_scale   # E4M3's smallest normal number
    normal = np.broadcast_to(step >= smallest, weight.shape)
    if case.idempotent:
        np.testing.assert_array_equal(again.codes().values[normal], codes.values[normal])
    else:   # the range may shrink by a step when both ends round inwards
        moved = np.abs(again.dequantize() - once.dequantize())
        assert (moved <= step)[normal].all()


@every_format
@given(data=st.data())
@settings(max_examples=30)
def test_row_blocks_concatenate_to_the_whole(case: FormatCase, data):
    weight = data.draw(matrices(case.columns))
    size = data.draw(st.integers(1, weight.shape[0]))
    blocks = [weight[start : start + size] for start in range(0, weight.shape[0], size)]
    statistics = case.format.statistics(iter(blocks))
    packed = [case.format.pack(case.format.encode(block, statistics)) for block in blocks]
    whole = case.format.quantize(weight)
    for suffix, layout in case.format.layout(weight.shape).items():
        joined = np.concatenate([block[suffix] for block in packed]) if layout.per_row else (
            packed[0][suffix])
        np.testing.assert_array_equal(joined, whole.tensors[suffix])


@every_format
@given(data=st.data())
@settings(max_examples=30)
def test_scales_are_usable_and_values_finite(case: FormatCase, data):
    weight = data.draw(matrices(case.columns))
    packed = case.format.quantize(weight)
    assert np.isfinite(packed.dequantize()).all()
    scale = packed.codes().scale
    assert scale.dtype == np.float32
    if isinstance(case.format, Hlq):   # the last is the offset
        scale = scale[..., :-1]
    assert (scale > 0).all()


@every_format
def test_zeros_stay_zeros(case: FormatCase):
    packed = case.format.quantize(np.zeros((3, 2 * case.columns), np.float32))
    assert not packed.dequantize().any()


@every_format
def test_signs_survive(case: FormatCase):
    weight = np.tile(np.float32([1, -1]), (2, case.columns))
    np.testing.assert_array_equal(np.sign(case.format.quantize(weight).dequantize()), weight)


@every_format
def test_spec_builds_the_same_format(case: FormatCase):
    spec = json.loads(json.dumps(case.format.spec()))
    assert format_from_spec(spec) == case.format


@every_format
def test_a_parameter_that_does_not_exist_is_refused(case: FormatCase):
    with pytest.raises(FormatError, match="rounding"):
        format_from_spec({**case.format.spec(), "rounding": "up"})


@pytest.mark.parametrize("name", ["int5", None, 4, ["int4"]])
def test_an_unknown_format_is_refused(name):
    with pytest.raises(FormatError, match="known are"):
        format_from_spec({"format": name})


@every_format
def test_only_matrices_fit(case: FormatCase):
    for shape in ((4,), (2, 2, 2), (0, 128), (4, 0)):
        with pytest.raises(FormatError, match=r"^model\.norm"):
            case.format.quantize(np.zeros(shape, np.float32), "model.norm")


@every_format
def test_only_matrices_are_encoded(case: FormatCase):
    for shape in ((128,), (2, 2, 128), (0, 128), (4, 0), ()):
        with pytest.raises(FormatError, match=rf"^rows: {case.format.name} holds a matrix"):
            case.format.encode(np.zeros(shape, np.float32))


@every_format
def test_only_float32_is_encoded(case: FormatCase):
    for dtype in map(np.dtype, (bool, object, np.int8, np.float64, np.complex64)):
        with pytest.raises(FormatError, match=f"encodes a float32 matrix .* not {dtype}"):
            case.format.encode(np.ones((2, case.columns), dtype))
    with pytest.raises(FormatError, match="encodes a float32 matrix .* not list"):
        case.format.encode([[1.0] * case.columns])


@pytest.mark.parametrize(
    "case", [case for case in FORMAT_TABLE if case.columns > 8], ids=str
)
def test_columns_that_fill_no_groups_are_not_encoded(case: FormatCase):
    with pytest.raises(FormatError, match="^rows: K = "):
        case.format.encode(np.ones((2, case.columns + 8), np.float32))


@every_format
def test_values_that_are_no_numbers_are_refused(case: FormatCase):
    for bad in (np.nan, np.inf, -np.inf):
        weight = np.ones((3, case.columns), np.float32)
        weight[1, -1] = bad
        with pytest.raises(FormatError, match=r"^q_proj: NaN or infinity"):
            case.format.quantize(weight, "q_proj")


@every_format
def test_bad_scales_are_refused(case: FormatCase):
    tensors = packed_ones(case)
    scales = [suffix for suffix, tensor in tensors.items()
              if tensor.dtype.kind == "f" and suffix.endswith("scale")]
    for suffix, bad in itertools.product(scales, (np.nan, np.inf, -1, 0)):
        damaged = np.array(tensors[suffix])
        damaged.flat[-1] = bad
        with pytest.raises(FormatError, match="scale"):
            case.format.unpack({**tensors, suffix: damaged}, (3, case.columns))


@pytest.mark.parametrize("case", [case for case in FORMAT_TABLE if has_scale_codes(case)], ids=str)
def test_bad_scale_codes_are_refused(case: FormatCase):
    powers_of_two = case.format.name == "mxfp4"   # every code up to 252 is one
    for bad in (253, 0xFF) if powers_of_two else (0, 0x7F, 0x80, 0xFF, 253):
        tensors = packed_ones(case)
        tensors["scale"] = np.array(tensors["scale"])
        tensors["scale"].flat[-1] = bad
        with pytest.raises(FormatError, match="scale"):
            case.format.unpack(tensors, (3, case.columns))


@every_format
def test_missing_and_misshapen_tensors_are_refused(case: FormatCase):
    shape = (3, case.columns)
    for suffix in case.format.layout(shape):
        tensors = packed_ones(case)
        stored = tensors.pop(suffix)
        with pytest.raises(FormatError, match=f"{case.format.name}.*{suffix}"):
            case.format.unpack(tensors, shape)
        with pytest.raises(FormatError, match=suffix):
            case.format.unpack({**tensors, suffix: stored[:, :0]}, shape)
        with pytest.raises(FormatError, match=suffix):
            case.format.unpack({**tensors, suffix: stored.astype(np.float64)}, shape)


def assert_same_codes(left: Codes, right: Codes):
    assert left.values.dtype == right.values.dtype
    np.testing.assert_array_equal(left.values, right.values)
    np.testing.assert_array_equal(left.scale, right.scale)
    assert (left.zero_point is None) == (right.zero_point is None)
    if left.zero_point is not None:
        np.testing.assert_array_equal(left.zero_point, right.zero_point)
    np.testing.assert_array_equal(left.global_scale, right.global_scale)


@every_format
@given(data=st.data())
@settings(max_examples=30)
def test_verify_refuses_what_unpack_refuses(case: FormatCase, data):
    weight = data.draw(matrices(case.columns))
    tensors = {
        suffix: part.copy() for suffix, part in case.format.quantize(weight).tensors.items()
    }
    suffix = data.draw(st.sampled_from(sorted(tensors)))
    stored = tensors[suffix].reshape(-1).view(np.uint8)
    stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))

    def error_of(check):
        try:
            check(tensors, weight.shape)
        except FormatError as error:
            return str(error)
        return None

    assert error_of(case.format.verify) == error_of(case.format.unpack)
