"""GPTQ through the pipeline: what it sees, what it writes, and that it does so every time."""

import json

import numpy as np
import pytest

import trilobite
from support.llama_folder import contents, write_llama
from trilobite.errors import FormatError
from trilobite.model import LINEAR_NAMES, LINEAR_STAGES
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.methods.calibration import hessian, row_errors
from trilobite.quant.output.manifest import Manifest
from trilobite.quant.pipeline import quantize
from trilobite.runtime.calibration import CalibrationRun
from trilobite.runtime.calibration_text import CalibrationText

OPTIONS = {"format": "int3,group_size=32", "method": "gptq"}
GATE = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture
def llama(tmp_path):
    write_llama(tmp_path / "llama", initializer_range=0.1)
    return tmp_path / "llama"


@pytest.fixture
def text():
    return CalibrationText(np.random.default_rng(0).integers(0, 48, (6, 40)), "random", 0)


def test_the_linears_see_what_the_finished_model_gives_them(tmp_path, llama, text, monkeypatch):
    seen, runs = {}, []
    inputs = CalibrationRun.inputs

    def spy(run, stage):
        runs.append(run)
        for block in inputs(run, stage):
            for name in LINEAR_STAGES[stage] if run is runs[0] else ():   # not of the exact one
                seen.setdefault(f"{run._layer.prefix}{name}.input", []).append(block.copy())
            yield block

    monkeypatch.setattr(CalibrationRun, "inputs", spy)
    quantize(llama, tmp_path / "out", **OPTIONS, embedding="keep", calibration=text)
    model = trilobite.load(tmp_path / "out")
    assert model.kv == "int8"
    for index, sequence in enumerate(text.sequences):
        found = model.intermediates(sequence.tolist())
        for layer in range(2):
            for name in LINEAR_NAMES:
                key = f"model.layers.{layer}.{name}.input"
                np.testing.assert_array_equal(seen[key][index], found[key])


def test_errors_are_recorded_and_below_those_of_rounding(tmp_path, llama, text):
    manifest = quantize(llama, tmp_path / "out", **OPTIONS, calibration=text)
    written = (tmp_path / "out" / "manifest.json").read_text()
    assert Manifest.from_json(written) == manifest
    assert manifest.method == "gptq"
    assert json.loads(written)["calibration"] == text.describe()
    model = trilobite.load(tmp_path / "out")
    blocks = [model.intermediates(sequence.tolist())["model.layers.0.mlp.gate_proj.input"]
              for sequence in text.sequences]
    moments = hessian(blocks, 64)
    with open_checkpoint(llama) as source, open_checkpoint(tmp_path / "out") as out:
        weight, packed = source.read(GATE).astype(np.float64), out.weight(GATE)
        linear = set(source.config.linear_weights())
    rounded = packed.format.quantize(weight).dequantize()
    errors = [row_errors(other - weight, moments).sum() for other in (packed.dequantize(), rounded)]
    assert errors[0] < 0.6 * errors[1]
    record = next(record for record in manifest.tensors if record.name == GATE)
    squares = row_errors(weight, moments).sum()
    # int8 embeddings are exact to 0.5 %, and the inputs were those of float embeddings
    assert record.output_nmse == pytest.approx(errors[0] / squares, rel=0.05)
    for record in manifest.tensors:
        assert (record.output_nmse is None) == (record.name not in linear)


def test_the_same_inputs_give_the_same_bytes(tmp_path, llama, text):
    for name in ("one", "two"):
        quantize(llama, tmp_path / name, **OPTIONS, calibration=text)
    quantize(llama, tmp_path / "rounded", "int3,group_size=32")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one") != contents(tmp_path / "rounded")


def test_gptq_without_a_text_is_refused(tmp_path, llama):
    with pytest.raises(FormatError, match="gptq needs calibration text"):
        quantize(llama, tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_names_the_method_and_reads_no_weight(tmp_path, llama, text):
    manifest = quantize(llama, tmp_path / "out", **OPTIONS, calibration=text, dry_run=True)
    assert (manifest.method, manifest.calibration) == ("gptq", text.describe())
    assert all(record.output_nmse is None for record in manifest.tensors)


def test_a_weight_that_float16_scales_cannot_hold_is_named(tmp_path, text):
    write_llama(tmp_path / "llama", dtype=np.float32)
    weights = write_llama(tmp_path / "huge", dtype=np.float32)
    weights[GATE][:] = 1e9
    from safetensors.numpy import save_file

    save_file(weights, tmp_path / "huge" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FormatError, match=f"^{GATE}: .*float16"):
        quantize(tmp_path / "huge", tmp_path / "out", **OPTIONS, calibration=text)
    assert not (tmp_path / "out").exists()


def test_plain_rounding_records_no_calibration(tmp_path, llama, text):
    manifest = quantize(llama, tmp_path / "out", "int4,group_size=32", calibration=text)
    assert (manifest.method, manifest.calibration) == ("rtn", None)
