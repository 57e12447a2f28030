"""Groups that fit a model's matrices, what may stay float, and asking where nobody chose."""

import re

import pytest

import trilobite
from support.llama_folder import write_llama
from trilobite.errors import FormatError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int2, Int4, Int4Fp8, Int8, Mxfp4
from trilobite.quant.formats.grammar import state_format
from trilobite.quant.pipeline import quantize
from trilobite.quant.plan.fitting import fit_format


@pytest.fixture
def llama(tmp_path):
    write_llama(tmp_path / "llama")   # K is 64, and 96 of down_proj
    return tmp_path / "llama"


@pytest.fixture
def smollm(tmp_path):
    """The shapes of SmolLM2 135M: no group of 128 columns fits K = 576."""
    write_llama(tmp_path / "smollm", hidden_size=576, intermediate_size=1536,
                num_attention_heads=9, num_key_value_heads=3, head_dim=64)
    return tmp_path / "smollm"


def linear_formats(folder):
    with open_checkpoint(folder) as checkpoint:
        return {str(checkpoint.format(name)) for name in checkpoint.config.linear_weights()}


def test_groups_that_nobody_gave_are_as_large_as_fit(tmp_path, smollm):
    manifest = quantize(smollm, tmp_path / "out", "int4")
    assert linear_formats(tmp_path / "out") == {"int4,group_size=64"}
    assert manifest.format == Int4(64).spec()
    assert manifest.totals.linear_bits_per_weight == 4.25
    (warning,) = manifest.warnings
    assert "Groups of 128 columns do not fit 12 of 14 matrices" in warning
    assert "model.layers.0.self_attn.q_proj.weight (K = 576): groups of 64 were taken" in warning


def test_groups_that_fit_are_not_changed(tmp_path):
    manifest = quantize("demo-llama", tmp_path / "out", "int4", dry_run=True)
    assert manifest.format == Int4(128).spec() and not manifest.warnings


@pytest.mark.parametrize("format", ["int4,group_size=128", Int4()], ids=str)
def test_groups_that_were_given_and_do_not_fit_are_refused(tmp_path, smollm, format):
    with pytest.raises(FormatError) as caught:
        quantize(smollm, tmp_path / "out", format)
    lines = str(caught.value).splitlines()
    assert len(lines) == 13
    assert "q_proj.weight: K = 576 is not a multiple of the group size 128" in lines[0]
    assert "--allow-float (allow_float=True)" in lines[-1]
    assert not (tmp_path / "out").exists()
    allowed = quantize(smollm, tmp_path / "out", format, allow_float=True)
    assert len(allowed.warnings) == 12 and allowed.totals.linear_bits_per_weight > 12


def test_a_rule_takes_the_groups_that_fit_its_matrices(tmp_path, llama):
    manifest = quantize(llama, tmp_path / "out", "int8", tensor_formats=["down_proj=int4"])
    formats = {record.name: record.format for record in manifest.tensors}
    assert formats["model.layers.1.mlp.down_proj.weight"] == Int4(32).spec()
    assert "Groups of 128 columns do not fit 2 of 2 matrices" in manifest.warnings[0]
    with pytest.raises(FormatError, match="K = 96 is not a multiple of the group size 64"):
        quantize(llama, tmp_path / "none", "int8", tensor_formats=["down=int4,group_size=64"])
    kept = quantize(llama, tmp_path / "kept", "int8", tensor_formats=["down=int4,group_size=64"],
                    allow_float=True)
    assert "It is kept in BF16" in kept.warnings[0]


def test_a_later_rule_replaces_groups_that_do_not_fit(tmp_path, llama):
    rules = ["_proj=int4,group_size=64", "down_proj=int8"]
    assert not quantize(llama, tmp_path / "out", "int8", tensor_formats=rules).warnings


@pytest.mark.parametrize("format", ["int4", "mxfp4"])
def test_too_much_that_stays_float_is_refused(tmp_path, format):
    write_llama(tmp_path / "llama", intermediate_size=100)   # of down_proj: no group fits
    with pytest.raises(FormatError) as caught:
        quantize(tmp_path / "llama", tmp_path / "out", format)
    *unfit, share, hint = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in unfit] == [
        f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)]
    assert share == "20% of the linear weights would stay float, more than 5%"
    assert "--allow-float" in hint and not (tmp_path / "out").exists()
    manifest = quantize(tmp_path / "llama", tmp_path / "out", format, allow_float=True)
    assert sum("It is kept in BF16" in warning for warning in manifest.warnings) == 2


def test_little_that_stays_float_is_a_warning(tmp_path):
    write_llama(tmp_path / "llama", intermediate_size=10)   # of down_proj: 4.5 %
    manifest = quantize(tmp_path / "llama", tmp_path / "out", "mxfp4")
    assert len(manifest.warnings) == 2 and "It is kept in BF16" in manifest.warnings[0]
    with pytest.raises(FormatError, match="K = 10 is not a multiple of 32"):
        quantize(tmp_path / "llama", tmp_path / "none", "mxfp4", strict=True)


def test_what_a_rule_keeps_may_be_any_share(tmp_path, llama):
    manifest = quantize(llama, tmp_path / "out", "int8", tensor_formats=["mlp=keep"])
    assert not manifest.warnings


@pytest.mark.parametrize(("format", "shapes", "chosen"), [
    ("int4", [(8, 256), (8, 128)], Int4(128)),
    ("int4", [(8, 192), (8, 128)], Int4(64)),
    ("int4", [(8, 96)], Int4(32)),
    ("int4", [(8, 100)], Int4(128)),                  # nothing fits: nothing is changed
    ("int4", [(8, 100), (8, 64), (9, 128)], Int4(64)),   # the rest stays float
    ("int4,group_size=128", [(8, 96)], Int4(128)),
    ("int4,group_size=row", [(8, 100)], Int4(None)),
    ("int2,symmetric", [(8, 64)], Int2(64, symmetric=True)),
    ("int4-fp8,tensor_scale=fireq", [(8, 32)], Int4Fp8(32, "fireq")),
    ("int8", [(8, 3)], Int8()),
    ("mxfp4", [(8, 3)], Mxfp4()),
])
def test_the_choice_of_groups(format, shapes, chosen):
    names = {str(index): shape for index, shape in enumerate(shapes)}
    fitted = fit_format(state_format(format), names)
    assert fitted.form == chosen
    assert (fitted.note is None) == (chosen == state_format(format).form)


def test_a_model_that_was_not_trained_ternary_asks_for_a_format(tmp_path):
    with pytest.raises(FormatError) as caught:
        trilobite.quantize("demo-llama", tmp_path / "out")
    message = str(caught.value)
    assert "demo-llama was not trained ternary" in message and "choose one" in message
    offers = re.findall(r"(int\d\S*) \((\d+\.\d+) stored bits per linear weight", message)
    for format, bits in offers:
        manifest = trilobite.quantize("demo-llama", tmp_path / "out", format, dry_run=True)
        assert f"{manifest.totals.linear_bits_per_weight:.2f}" == bits
    assert [format for format, _ in offers] == ["int8", "int4", "int3"]
    assert not (tmp_path / "out").exists()


def test_the_offers_fit_the_model(tmp_path, smollm):
    with pytest.raises(FormatError, match="int4,group_size=64 \\(4.25 stored bits"):
        quantize(smollm, tmp_path / "out")


def test_a_model_that_was_trained_ternary_stays_ternary(tmp_path):
    manifest = trilobite.quantize("demo-bitnet", tmp_path / "out")
    assert manifest.format == {"format": "ternary", "packing": "base3"}
    assert not manifest.warnings
