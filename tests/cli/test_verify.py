"""``verify engine`` and ``verify decoder``, and how they were spelt before."""

import dataclasses

import pytest

import trilobite.api.verify as api
from support.command import refuses, run, run_json
from support.small_engine import write_small_engine
from trilobite.cli.verify import _translate


@pytest.fixture
def small_engine(tmp_path):
    return write_small_engine(tmp_path)


def test_every_sum_is_equal(ternary, small_engine):
    options = ("--layer", "2", "--tokens", "2", "--hardware", small_engine)
    value = run_json("verify", "engine", ternary, *options)
    assert value["mismatches"] == 0
    assert len(value["rows"]) == 7
    assert value["cycles"] == sum(row["predicted_cycles"] for row in value["rows"])
    former = run("verify", ternary, *options, "--json", "-")
    assert former.exit_code == 0
    assert "write `trilobite verify engine ...`" in former.stderr
    assert f'"cycles": {value["cycles"]}' in former.stdout


def test_the_first_difference_is_named_and_the_exit_code_is_1(ternary, small_engine, monkeypatch):
    honest = api.layer_matrices

    def with_one_wrong_sum(*arguments):
        matrices = honest(*arguments)
        expected = matrices[4].expected.copy()
        expected[1, 77] += 1
        matrices[4] = dataclasses.replace(matrices[4], expected=expected)
        return matrices

    monkeypatch.setattr(api, "layer_matrices", with_one_wrong_sum)
    result = run("verify", "engine", ternary, "--tokens", "2", "--hardware", small_engine)
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "model.layers.0.mlp.gate_proj (768 x 256) differs first at token 1, output 77" in text


@pytest.mark.parametrize(("arguments", "said"), [
    (["engine", "demo-bitnet", "--layer", "9"], "layers 0 to 3"),
    (["engine", "demo-bitnet", "--stall", "1"], "stall"),
    (["engine", "demo-bitnet", "--tokens", "0"], "At least 1 token"),
    (["engine", "demo-llama"], "float"),
    (["decoder", "demo-llama"], "--format ternary"),
    (["decoder", "demo-bitnet", "--hardware", "vcu118"], "vcu118"),
    (["shape", "gpt-9"], "gpt-9"),
    (["shape", "bitnet-0.73b", "--ddr", "delay=3"], "'delay=3' must be NAME=NUMBER"),
    (["demo-bitnet", "--block", "half"], "--block is tlmm or all, not 'half'"),
    (["engine"], "MODEL"),
])
def test_bad_input_is_one_sentence(arguments, said):
    assert refuses(run("verify", *arguments), said)


def test_a_model_that_is_not_ternary_is_refused(tmp_path):
    assert run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int8").exit_code == 0
    assert refuses(run("verify", "engine", tmp_path / "q"), "--format ternary")


@pytest.mark.parametrize(("former", "now"), [
    ("m", "engine m"), ("m --layer 1", "engine m --layer 1"), ("--layer 1 m", "engine --layer 1 m"),
    ("m --block tlmm", "engine m"), ("m --block=all -n 2", "decoder m -n 2"),
    ("--block all m", "decoder m"), ("--shape s --phase decode", "shape s --phase decode"),
    ("--phase prefill --shape=s", "shape s --phase prefill"),
])
def test_former_spellings(former, now):
    assert _translate(former.split()) == now.split()


def test_the_commands_are_listed_and_have_examples():
    assert "Example: trilobite verify" in run("verify", "--help").stdout
    for command in ("engine", "decoder", "shape"):
        assert command in run("verify", "--help").stdout
        assert f"Example: trilobite verify {command}" in run("verify", command, "--help").stdout
