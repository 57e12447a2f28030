"""Formats by tensor: rules, what does not fit, and a number of bits to spend."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trilobite
from support.llama_folder import contents, write_llama
from trilobite.errors import FormatError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Fp8, Int4, Int8, Mxfp4, Ternary
from trilobite.quant.output.manifest import Manifest
from trilobite.quant.pipeline import quantize
from trilobite.quant.plan.mixed import Choice, allocate, parse_rule
from trilobite.tools.progress import Silent

DOWN = "model.layers.1.mlp.down_proj.weight"
Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def llama(tmp_path):
    write_llama(tmp_path / "llama")   # K is 64, and 96 of down_proj
    return tmp_path / "llama"


def formats(manifest):
    return {record.name: record.format for record in manifest.tensors if record.format}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("down_proj=int8", Int8()),
        ("x=int4,group_size=32,symmetric=false", Int4(32, symmetric=False)),
        ("x=int4,group_size=row", Int4(None)), ("x=int4,asymmetric", Int4(symmetric=False)),
        ("x=fp8,granularity=row", Fp8("row")),
        ("x=mxfp4,scale_rule=ceil", Mxfp4("ceil")),
        ("x=ternary,packing=2bit", Ternary("2bit")),
        ("x=keep", None),
        ("(?=.*q)=int8=int8", Int8()),   # the last = that a format follows
    ],
)
def test_rules_are_read(text, form):
    stated = parse_rule(text).stated
    assert (stated and stated.form) == form


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8", "must be RE=FORMAT"), ("x=int5", "must be RE=FORMAT"), ("=int8", "must be RE"),
        ("x=int4,group_size", "int4 has no option 'group_size'; its options are group_size=32"),
        ("x=int4,group_size=48", "group_size must be"), ("x=int8,bits=3", "'bits=3'; it has none"),
        ("x=int4,asymmetric,symmetric=true", "symmetric is given twice"),
        ("(=int8", "no regular expression"), ("x=keep,packing=2bit", "keep has no options"),
    ],
)
def test_wrong_rules_are_refused(text, message):
    with pytest.raises(FormatError, match=message):
        parse_rule(text)


def test_a_later_rule_wins_and_the_rest_stays(tmp_path, llama):
    rules = ["_proj=int4,group_size=32", r"layers\.1\.=fp8", "down_proj=keep", "embed=keep"]
    manifest = quantize(llama, tmp_path / "out", "int8", tensor_formats=rules)
    found = formats(manifest)
    assert found[Q] == {"format": "int4", "group_size": 32, "symmetric": True}
    assert found["model.layers.1.mlp.up_proj.weight"]["format"] == "fp8"
    assert DOWN not in found and "model.embed_tokens.weight" not in found
    assert found["lm_head.weight"] == {"format": "int8"}
    assert list(manifest.tensor_formats) == rules
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["tensors"] == found
    assert Manifest.from_json((tmp_path / "out" / "manifest.json").read_text()) == manifest
    logits = trilobite.load(tmp_path / "out").logits([1, 2, 3])
    assert np.isfinite(logits).all()


def test_a_rule_that_matches_nothing_is_refused(tmp_path, llama):
    with pytest.raises(FormatError, match="'q_prj=int8' matches no matrix of this model"):
        quantize(llama, tmp_path / "out", "int8", tensor_formats=["q_prj=int8"])
    with pytest.raises(FormatError, match="matches no matrix"):   # norms are not matrices
        quantize(llama, tmp_path / "out", "int8", tensor_formats=["layernorm=int8"])
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_kept_with_the_reason(tmp_path, llama):
    manifest = quantize(llama, tmp_path / "out", "int4,group_size=64", allow_float=True)
    assert manifest.warnings == tuple(
        f"model.layers.{layer}.mlp.down_proj.weight: K = 96 is not a multiple of the group size "
        "64; what fits: 32, one group per row. It is kept in BF16" for layer in (0, 1)
    )
    assert DOWN not in formats(manifest) and Q in formats(manifest)
    with open_checkpoint(llama) as source, open_checkpoint(tmp_path / "out") as written:
        np.testing.assert_array_equal(written.weight(DOWN), source.read(DOWN))


def test_strict_makes_it_an_error(tmp_path, llama):
    with pytest.raises(FormatError, match="K = 96") as caught:
        quantize(llama, tmp_path / "out", "int4,group_size=64", strict=True, allow_float=True)
    assert len(str(caught.value).splitlines()) == 2
    assert not (tmp_path / "out").exists()


def test_ternary_by_a_rule_is_labelled_too(tmp_path, llama):
    rules = ["down_proj=ternary"]
    manifest = quantize(llama, tmp_path / "out", "int8", tensor_formats=rules)
    assert "NOT TRAINED TERNARY" in manifest.warnings[0]


def test_a_method_rounds_what_it_does_not_make(tmp_path):
    text = trilobite.calibration("demo-llama", sequences=1)
    rules = [r"layers\.0\.mlp\.=fp8", r"layers\.1\.=keep", r"layers\.[23]\.=int8"]
    manifest = quantize("demo-llama", tmp_path / "out", "int4", method="gptq", calibration=text,
                        tensor_formats=rules)
    rounded = quantize("demo-llama", tmp_path / "rounded", "fp8")
    by_name = {record.name: record for record in manifest.tensors}
    up = "model.layers.0.mlp.up_proj.weight"
    assert by_name[up].nmse == {r.name: r for r in rounded.tensors}[up].nmse
    assert by_name[up].output_nmse > 0
    assert by_name[Q].format["format"] == "int4"
    assert by_name["model.layers.1.self_attn.q_proj.weight"].format is None


def tables(draw):
    sizes = draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    return {
        str(index): [
            Choice(Int8(), bits * size, draw(st.integers(0, 100)) / 100) for bits in (2, 3, 4, 8)
        ]
        for index, size in enumerate(sizes)
    }, sum(sizes)


@given(st.data())
def test_the_budget_is_kept_and_no_step_is_left(data):
    choices, weights = tables(data.draw)
    target = data.draw(st.floats(2, 8))
    chosen = allocate(choices, target, weights)
    bits = sum(choice.bits for choice in chosen.values())
    assert bits <= target * weights + 1e-9
    for name, some in choices.items():
        for other in some:
            if other.error < chosen[name].error and other.bits > chosen[name].bits:
                assert bits + other.bits - chosen[name].bits > target * weights - 1e-9
    assert chosen == allocate(choices, target, weights)


def test_the_greedy_choice_is_the_best_where_steps_are_alike():
    choices = {
        name: [Choice(Int8(), bits, error * 4.0**-bits) for bits in (2, 3, 4)]
        for name, error in (("a", 1.0), ("b", 5.0), ("c", 0.1))
    }
    chosen = allocate(choices, 3, 3)
    error = sum(choice.error for choice in chosen.values())
    best = min(
        sum(choice.error for choice in some) for some in itertools.product(*choices.values())
        if sum(choice.bits for choice in some) <= 9
    )
    assert error == best
    assert [chosen[name].bits for name in "abc"] == [3, 4, 2]


class Notes(Silent):
    def __init__(self):
        self.sentences = []

    def note(self, sentence):
        self.sentences.append(sentence)


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_target_is_met_within_a_step(tmp_path, calibrated):
    text = trilobite.calibration("demo-llama", sequences=1) if calibrated else None
    notes = Notes()
    manifest = quantize("demo-llama", tmp_path / "out", target_bpw=3.0, calibration=text,
                        progress=notes)
    assert manifest.format == {"format": "mixed"} and manifest.target_bits_per_weight == 3.0
    assert manifest.method == "rtn"
    step = 768 * 256 * 4.1 / manifest.totals.linear_weights   # int4 to int8 of the largest weight
    assert 3.0 - step < manifest.totals.linear_bits_per_weight <= 3.0
    assert len({spec["format"] for spec in formats(manifest).values()}) > 2
    assert ("of the outputs" if calibrated else "of the weights") in notes.sentences[0]
    again = quantize("demo-llama", tmp_path / "again", target_bpw=3.0, calibration=text)
    assert again == manifest
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"target_bpw": 2.0}, "cannot be reached: the smallest formats take 2.188"),
     ({"target_bpw": 0.5}, "must be 1 to 16"), ({"target_bpw": float("nan")}, "must be 1 to 16"),
     ({"target_bpw": 3.0, "format": "int8"}, "leave out format int8")],
)
def test_targets_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(FormatError, match=message):
        quantize("demo-llama", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
