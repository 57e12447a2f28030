"""Compiled rounding to INT4: the bytes of the format's own, the errors."""

import numpy as np
import pytest

from support.llama_folder import contents, write_llama
from support.packed_checkpoints import write_gptq
from trilobite.errors import FormatError
from trilobite.quant.formats import Int4
from trilobite.quant.pipeline import quantize
from trilobite.quant.rounding import rounded_blocks
from trilobite.quant.rounding.error_meter import errors_of
from trilobite.quant.rounding.int4 import round_int4

FORMS = [Int4(128), Int4(32, symmetric=False), Int4(64), Int4(None), Int4(None, symmetric=False)]


@pytest.mark.parametrize("form", FORMS, ids=repr)
@pytest.mark.parametrize("scale", [1e-8, 0.02, 1000])
def test_the_bytes_are_those_of_the_format(form, scale):
    weight = np.random.default_rng(0).standard_normal((70, 512)).astype(np.float32)
    weight *= np.float32(scale)
    weight[3], weight[4, :64], weight[5] = 0, 0, np.abs(weight[5])
    weight[6, ::2] *= np.float32(0.5)
    codes = form.encode(weight)
    tensors, errors = round_int4(form, weight)
    for suffix, expected in form.pack(codes).items():
        assert tensors[suffix].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[suffix], expected)
    expected = errors_of(weight, form.dequantize(codes))
    assert errors[:2] == pytest.approx(expected[:2], rel=1e-9)
    assert errors.largest == expected.largest


def test_every_tie_of_a_scale():
    weight = np.zeros((1, 32), np.float32)
    weight[0, :8] = 7, 0.5, 1.5, -0.5, -2.5, 6.5, -6.5, -7
    tensors, _ = round_int4(Int4(32), weight)
    expected = Int4(32).quantize(weight).tensors["packed"]
    np.testing.assert_array_equal(tensors["packed"], expected)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("column", [0, 17, 63])
def test_an_infinite_number_is_refused_wherever_it_is(bad, symmetric, column):
    weight = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    weight[2, column] = bad
    with pytest.raises(FormatError), np.errstate(invalid="ignore"):
        round_int4(Int4(64, symmetric=symmetric), weight)


def test_zeros_of_either_sign_are_one_number():
    weight = np.zeros((2, 64), np.float32)
    weight[0, ::3], weight[1] = -0.0, -0.0
    for form in (Int4(32), Int4(32, symmetric=False)):
        tensors, _ = round_int4(form, weight)
        for suffix, expected in form.pack(form.encode(weight)).items():
            np.testing.assert_array_equal(tensors[suffix], expected)


def test_a_scale_that_overflows_is_refused():
    with pytest.raises(FormatError, match="float16 ends at 65504"):
        round_int4(Int4(32), np.full((4, 32), 1e9, np.float32))


@pytest.mark.parametrize("format", ["int4,group_size=32", "int4,group_size=32,asymmetric"])
def test_the_pipeline_writes_the_same_folder(tmp_path, monkeypatch, format):
    write_llama(tmp_path / "llama")
    quantize(tmp_path / "llama", tmp_path / "numpy", format)
    monkeypatch.setattr(rounded_blocks, "COMPILED_VALUES", 0)
    monkeypatch.setattr("trilobite.quant.rounding.weight_blocks.BLOCK_VALUES", 500)
    quantize(tmp_path / "llama", tmp_path / "compiled", format)
    assert contents(tmp_path / "compiled") == contents(tmp_path / "numpy")


def test_stored_codes_of_a_large_weight_stay_as_they_are(tmp_path, monkeypatch):
    """Random codes leave ends of their range unused: rounding their numbers would change scales."""
    write_llama(tmp_path / "llama")
    write_gptq(tmp_path / "llama", 4, 32)
    form = Int4(32, symmetric=False)
    quantize(tmp_path / "llama", tmp_path / "numpy", form)
    monkeypatch.setattr(rounded_blocks, "COMPILED_VALUES", 0)
    manifest = quantize(tmp_path / "llama", tmp_path / "compiled", form)
    assert contents(tmp_path / "compiled") == contents(tmp_path / "numpy")
    assert all(record.nmse == 0 for record in manifest.tensors if "_proj" in record.name)
