"""The dense families beyond Llama through the pipeline: what linears read, and folded gains."""

import numpy as np
import pytest

import trilobite
from support.checkpoints import write_variant
from support.families import FAMILIES
from trilobite.errors import TrilobiteError
from trilobite.model import LINEAR_NAMES, LINEAR_STAGES
from trilobite.quant.pipeline import calibrated, quantize
from trilobite.runtime.calibration import CalibrationRun
from trilobite.runtime.calibration_text import CalibrationText


@pytest.fixture
def text():
    return CalibrationText(np.random.default_rng(0).integers(3, 128, (4, 40)), "random", 0)


@pytest.mark.parametrize("name", ["gemma2", "olmo3", "phi4-mini"] + [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("gemma3", "granite", "ministral3", "smollm3")
])
def test_the_linears_see_what_the_finished_model_gives_them(tmp_path, text, monkeypatch, name):
    folder, inputs = write_variant(tmp_path / name, FAMILIES[name]), CalibrationRun.inputs
    seen, runs = {}, []

    def spy(run, stage):
        runs.append(run)
        for block in inputs(run, stage):
            for linear in LINEAR_STAGES[stage] if run is runs[0] else ():   # not of the exact one
                seen.setdefault(f"{run._layer.prefix}{linear}.input", []).append(block.copy())
            yield block

    monkeypatch.setattr(CalibrationRun, "inputs", spy)
    quantize(folder, tmp_path / "out", format="int3,group_size=32", method="gptq",
             embedding="keep", calibration=text)
    model = trilobite.load(tmp_path / "out")
    for index, sequence in enumerate(text.sequences):
        found = model.intermediates(sequence.tolist())
        for layer in range(2):
            for linear in LINEAR_NAMES:
                key = f"model.layers.{layer}.{linear}.input"
                np.testing.assert_array_equal(seen[key][index], found[key])


@pytest.mark.parametrize("name", ["gemma3", "olmo2"] + [
    pytest.param(name, marks=pytest.mark.slow) for name in ("gemma2", "granite", "phi3")
])
def test_the_folded_model_computes_what_the_model_computes(tmp_path, text, monkeypatch, name):
    """Whatever the scales are, only the rounding to INT4 may be left to see in the logits."""
    folder = write_variant(tmp_path / name, FAMILIES[name])
    monkeypatch.setattr(
        calibrated, "column_scales",
        lambda weights, formats, hessian, magnitude: np.float32(np.exp(np.sin(1e3 * magnitude))),
    )
    options = {"format": "int4,group_size=32", "embedding": "keep"}
    quantize(folder, tmp_path / "rtn", **options)
    quantize(folder, tmp_path / "awq", **options, method="awq", calibration=text)
    tokens = text.sequences[0].tolist()
    logits = [trilobite.load(path, kv="float32").logits(tokens)
              for path in (folder, tmp_path / "rtn", tmp_path / "awq")]
    errors = [np.abs(other - logits[0]).mean() for other in logits[1:]]
    assert errors[1] < 2.5 * errors[0]


def test_columns_are_scaled_by_weights_alone_where_a_norm_takes_them_up(tmp_path):
    gemma, olmo = (write_variant(tmp_path / name, FAMILIES[name]) for name in ("gemma2", "olmo2"))
    options = {"format": "int4-fp8,group_size=32", "embedding": "keep"}
    quantize(gemma, tmp_path / "cas", **options, method="cas")
    quantize(gemma, tmp_path / "rtn", **options)
    tokens = list(range(3, 40))
    logits = [trilobite.load(path, kv="float32").logits(tokens)
              for path in (gemma, tmp_path / "rtn", tmp_path / "cas")]
    errors = [np.abs(other - logits[0]).mean() for other in logits[1:]]
    assert errors[1] < 1.5 * errors[0]
    with pytest.raises(TrilobiteError, match="they read, and this olmo2 has none there"):
        quantize(olmo, tmp_path / "no", **options, method="cas")
    assert not (tmp_path / "no").exists()
