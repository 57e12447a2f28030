"""Mixtures of experts through ``quantize``: expert by expert, each on its own tokens."""

import json
import shutil

import numpy as np
import pytest

import trilobite
from support.checkpoints import VARIANTS, write_variant
from support.llama_folder import contents
from trilobite.errors import TrilobiteError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.pipeline import quantize
from trilobite.quant.pipeline.expert_counts import FEW_TOKENS, starved_experts
from trilobite.quant.pipeline.journal import ResumableWriter
from trilobite.runtime.calibration import CalibrationRun
from trilobite.runtime.calibration_text import CalibrationText

FORMAT = "int4,group_size=32"
GATE = "model.layers.0.mlp.gate.weight"


@pytest.fixture
def model(tmp_path):
    return write_variant(tmp_path / "model", VARIANTS["qwen3-moe"])


@pytest.fixture
def text():
    return CalibrationText(np.random.default_rng(0).integers(0, 128, (5, 40)), "random", 0)


def test_experts_are_packed_and_routers_kept(tmp_path, model):
    manifest = quantize(model, tmp_path / "out", FORMAT)
    formats = {record.name: record.format for record in manifest.tensors}
    assert formats[GATE] is None
    assert sum(".experts." in name and form is not None for name, form in formats.items()) == 48
    with open_checkpoint(model) as source, open_checkpoint(tmp_path / "out") as out:
        np.testing.assert_array_equal(source.read(GATE), out.read(GATE))


def test_an_expert_sees_its_tokens_as_in_the_finished_model(tmp_path, model, text, monkeypatch):
    seen, runs = {}, []
    inputs = CalibrationRun.inputs

    def spy(run, stage):
        runs.append(run)
        for place, block in enumerate(inputs(run, stage)):
            if run is runs[0]:   # not of the exact one
                seen[run._layer.index, stage, place] = block.copy()
            yield block

    monkeypatch.setattr(CalibrationRun, "inputs", spy)
    quantize(model, tmp_path / "out", FORMAT, method="gptq", embedding="keep", calibration=text)
    finished = trilobite.load(tmp_path / "out")
    layers = finished.decoder.layers
    for place, sequence in enumerate(text.sequences):
        found = finished.intermediates(sequence.tolist())
        for layer in range(2):
            h = found[f"model.layers.{layer}.mlp.experts.input"]
            route = layers[layer].experts.router(h)
            for expert in range(8):
                tokens, _ = route.of(expert)
                np.testing.assert_array_equal(seen[layer, 2 + 2 * expert, place], h[tokens])


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_tokens_of_experts_are_counted_and_few_are_named(tmp_path, model, text, method):
    manifest = quantize(model, tmp_path / "out", FORMAT, method=method, calibration=text)
    counts = manifest.calibration["tokens_per_expert"]
    assert set(counts) == {"0", "1"}
    assert all(sum(layer) == 3 * text.tokens for layer in counts.values())
    few = [layer for layer in counts.values() for count in layer if count < FEW_TOKENS]
    assert manifest.warnings[-1].startswith(f"{len(few)} of 16 experts got fewer than 128 tokens")
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert written["calibration"]["tokens_per_expert"] == counts
    assert trilobite.load(tmp_path / "out").logits([1, 2, 3]).shape == (3, 128)


def test_a_killed_run_goes_on_after_the_experts_that_are_finished(
    tmp_path, model, text, monkeypatch
):
    def run(name):
        return quantize(model, tmp_path / name, FORMAT, method="gptq", calibration=text)

    expected = run("whole")
    finish, before, done, left = ResumableWriter.finish, set(tmp_path.iterdir()), [], []

    def watched(writer, tensor, record):
        finish(writer, tensor, record)
        done.append(tensor.name)
        if tensor.name == "model.layers.0.mlp.experts.4.up_proj.weight":   # what a kill leaves
            left[:] = set(tmp_path.iterdir()) - before
            shutil.copytree(left[0], tmp_path / "kept")
            raise KeyboardInterrupt

    monkeypatch.setattr(ResumableWriter, "finish", watched)
    with pytest.raises(KeyboardInterrupt):
        run("out")
    (tmp_path / "kept").rename(left[0])
    finished = set(done)
    done.clear()
    assert run("out") == expected
    assert not finished & set(done)
    assert len(finished) + len(done) == len(expected.tensors)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_few_tokens_are_said_with_the_first_experts():
    assert starved_experts({}) == []
    assert starved_experts({0: [128, 500]}) == []
    (sentence,) = starved_experts({0: [128, 3], 7: [0] * 20})
    assert sentence.startswith("21 of 22 experts got fewer than 128 tokens of the calibration text")
    assert "model.layers.0.mlp.experts.1 (3), model.layers.7.mlp.experts.0 (0)" in sentence
    assert sentence.count("mlp.experts") == 16
    assert " and 5 more" in sentence


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_export_refuses_experts_by_name(tmp_path, model, name):
    with pytest.raises(TrilobiteError, match=r"mixture of experts \(qwen3_moe\), which export"):
        export(model, tmp_path / "out", EXPORTERS[name])
    assert not (tmp_path / "out").exists()


def test_an_estimate_refuses_experts_by_name(model):
    with pytest.raises(TrilobiteError, match=r"mixture of experts \(qwen3_moe\), which an estimat"):
        trilobite.estimate(str(model))
