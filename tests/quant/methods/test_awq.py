"""AWQ: the search for scales, clipping, and what takes the scales up again."""

import numpy as np
import pytest

import trilobite
from support.checkpoints import edit_tensors
from support.llama_folder import contents, write_llama
from trilobite.errors import FormatError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Fp8, Hlq2, Hlq3, Int2, Int3, Int4, TernaryPlanes
from trilobite.quant.methods import awq, choose_method
from trilobite.quant.methods.calibration import row_errors
from trilobite.quant.output.safetensors_writer import TensorEntry
from trilobite.quant.pipeline import calibrated, folding, quantize
from trilobite.runtime.calibration_text import CalibrationText

OPTIONS = {"format": "int3,group_size=32", "method": "awq"}


@pytest.fixture
def text():
    return CalibrationText(np.random.default_rng(0).integers(0, 48, (6, 40)), "random", 0)


def scaled_inputs(K, seed=0):
    """Weights, and the moments of independent inputs, every eighth ten times as large."""
    rng = np.random.default_rng(seed)
    power = np.where(np.arange(K) % 8 == 0, 100.0, 1.0)
    return rng.standard_normal((40, K)).astype(np.float32), np.diag(power)


def test_columns_with_large_inputs_are_scaled_up():
    weight, moments = scaled_inputs(64)
    form = Int3(32)
    scales = awq.column_scales([weight], [form], moments, np.sqrt(np.diag(moments)))
    assert (scales[::8] > 1.2 * scales[1]).all() and scales.dtype == np.float32
    rounded = form.dequantize(form.encode(weight * scales)) / scales
    plain = form.dequantize(form.encode(weight))
    errors = [row_errors(one - weight.astype(float), moments).sum() for one in (rounded, plain)]
    assert errors[0] < 0.8 * errors[1]


def test_equal_inputs_leave_the_weight_alone():
    weight = scaled_inputs(64)[0]
    scales = awq.column_scales([weight], [Int4(32)], np.eye(64), np.ones(64))
    np.testing.assert_array_equal(scales, 1)


def test_inputs_that_are_always_zero_keep_scales_finite():
    weight, moments = scaled_inputs(64)
    moments[3] = 0
    scales = awq.column_scales([weight], [Int4(32)], moments, np.sqrt(np.diag(moments)))
    assert np.isfinite(scales).all() and (scales > 0).all()


@pytest.mark.parametrize("form", [Int2(32), Int3(None), Int4(64, symmetric=False)], ids=str)
def test_clipped_ranges_are_never_worse_than_rounding(form):
    weight, moments = scaled_inputs(128, 1)
    codes = choose_method("awq", form).quantize(weight, moments, form)
    errors = [row_errors(form.dequantize(one) - weight.astype(float), moments)
              for one in (codes, form.encode(weight))]
    assert (errors[0] <= errors[1] * (1 + 1e-9)).all() and errors[0].sum() < errors[1].sum()
    packed = form.pack(codes)
    np.testing.assert_array_equal(form.unpack(packed, weight.shape).values, codes.values)


def test_a_gain_and_its_columns_cancel_in_the_stored_type():
    gain, scales = np.float32([1.5, -0.75, 0, 2]), np.float32([1.1, 3, 2, 0.7])
    stored = TensorEntry("BF16", (4,))
    folded, columns = folding.fold_gain(gain, scales, stored)
    np.testing.assert_array_equal(stored.to_float32(stored.from_float32(folded)), folded)
    np.testing.assert_allclose(folded * columns, gain, rtol=1e-6)
    np.testing.assert_allclose(columns[[0, 1, 3]], scales[[0, 1, 3]], rtol=0.01)
    assert columns[2] == 1


def test_heads_that_share_a_value_row_share_its_scale():
    class Config:
        num_heads, num_kv_heads, head_dim = 4, 2, 3

    values = np.arange(12.0)
    shared = folding.share_heads(Config, 1, values)
    assert shared.tolist() == [1.5, 2.5, 3.5, 7.5, 8.5, 9.5]
    assert folding.spread_heads(Config, 1, shared).tolist() == [
        1.5, 2.5, 3.5, 1.5, 2.5, 3.5, 7.5, 8.5, 9.5, 7.5, 8.5, 9.5]
    np.testing.assert_array_equal(folding.share_heads(Config, 3, values), values)


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_the_folded_model_computes_what_the_model_computes(tmp_path, text, monkeypatch, bias):
    """Whatever the scales are, only the rounding to INT4 may be left to see in the logits."""
    write_llama(tmp_path / "llama", initializer_range=0.1, attention_bias=bias)
    monkeypatch.setattr(   # equal for heads that share a scale
        calibrated, "column_scales",
        lambda weights, formats, hessian, magnitude: np.float32(np.exp(np.sin(1e3 * magnitude))),
    )
    options = {"format": "int4,group_size=32", "embedding": "keep"}
    quantize(tmp_path / "llama", tmp_path / "rtn", **options)
    manifest = quantize(tmp_path / "llama", tmp_path / "awq", **options, method="awq",
                        calibration=text)
    exact, rounded, folded = (
        trilobite.load(tmp_path / name).logits(text.sequences[0])
        for name in ("llama", "rtn", "awq")
    )
    spread = np.square(exact - exact.mean()).mean()
    errors = [np.square(one - exact).mean() / spread for one in (rounded, folded)]
    assert max(errors) < 0.02   # a factor left over would make it 1
    names = [record.name for record in manifest.tensors]
    assert len(names) == len(set(names)) == len(stored_tensors(tmp_path / "llama"))
    norm = "model.layers.1.post_attention_layernorm.weight"
    value_rows = "model.layers.0.self_attn.v_proj.weight"
    with open_checkpoint(tmp_path / "llama") as before, open_checkpoint(tmp_path / "awq") as after:
        columns = before.read(norm) / after.read(norm)
        assert columns.max() > 2 * columns.min()
        rows = [np.abs(one).sum(axis=1) for one in (
            before.read(value_rows) * (before.read(norm.replace("1.post_attention", "0.input")) /
                                       after.read(norm.replace("1.post_attention", "0.input"))),
            after.weight(value_rows).dequantize())]
    ratio = rows[0] / rows[1]
    assert (ratio.max() > 1.5 * ratio.min()) == (not bias)   # a bias keeps v's rows


def stored_tensors(folder):
    with open_checkpoint(folder) as checkpoint:
        return dict(checkpoint.tensors)


def test_the_same_inputs_give_the_same_bytes(tmp_path, text):
    write_llama(tmp_path / "llama")
    for name in ("one", "two"):
        quantize(tmp_path / "llama", tmp_path / name, **OPTIONS, calibration=text)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_queries_and_keys_are_rounded_and_never_clipped(tmp_path, text):
    """Each group has one weight far beyond the others, and clipping it pays for every linear."""
    write_llama(tmp_path / "llama")

    def spike(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            tensors[name][:, ::32] *= 4

    edit_tensors(tmp_path / "llama", spike)
    options = {**OPTIONS, "format": "int2,group_size=32"}
    quantize(tmp_path / "llama", tmp_path / "awq", **options, calibration=text)
    with open_checkpoint(tmp_path / "llama") as before, open_checkpoint(tmp_path / "awq") as after:
        norm = "model.layers.0.input_layernorm.weight"
        scales = before.read(norm) / after.read(norm)
        plain = {}
        for linear in "qkv":
            name = f"model.layers.0.self_attn.{linear}_proj.weight"
            codes = Int2(32, False).encode(before.read(name) * scales)
            plain[linear] = (after.weight(name).codes().scale == codes.scale).all()
    assert plain == {"q": True, "k": True, "v": False}


def test_a_format_whose_ranges_are_rows_is_refused():
    with pytest.raises(FormatError, match="awq does not make fp8"):
        choose_method("awq", Fp8())


@pytest.mark.parametrize("form", [Hlq2(), Hlq3(), TernaryPlanes()], ids=lambda form: form.name)
def test_a_format_that_fits_its_levels_is_refused(form):
    """HLQ3 came out worse than rounded; see the method."""
    makes = f"awq does not make {form.name}; it makes int2, int3, int4, ternary-group$"
    with pytest.raises(FormatError, match=makes):
        choose_method("awq", form)
