"""A model with a NaN or an infinity is refused before a byte of it is written."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from support.llama_folder import write_llama
from trilobite.errors import CheckpointError
from trilobite.quant.export import EXPORTERS, export


@pytest.mark.parametrize("target", ["gguf", "hf", "onnx"])
@pytest.mark.parametrize("name", ["lm_head.weight", "model.norm.weight"])
@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_nothing_is_written(tmp_path, monkeypatch, target, name, number):
    model = tmp_path / "model"
    write_llama(model)
    tensors = load_file(model / "model.safetensors")
    tensors[name] = tensors[name].copy()
    tensors[name].flat[-1] = number
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    (model / "tokenizer.json").unlink()
    exporter = EXPORTERS[target]
    plan = type(exporter).plan

    def planned(self, *arguments):
        made = plan(self, *arguments)
        monkeypatch.setattr(type(made), "write", lambda *_: pytest.fail("written"))
        return made

    monkeypatch.setattr(type(exporter), "plan", planned)
    with pytest.raises(CheckpointError, match=f"model.safetensors: {name} holds .*must be finite"):
        export(model, tmp_path / "out", exporter)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
