"""Folders for ``transformers``: it loads them, and computes what the source computes."""

import json
import re

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from support.checkpoints import write_quantized
from trilobite.errors import FormatError, OutputError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.export.huggingface_tensors import FloatTensor
from trilobite.quant.formats import Int4, Int8, Ternary

HF = EXPORTERS["hf"]
TOKENS = torch.tensor([[0, 5, 17, 99, 3, 42]])


def logits(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model.eval()(TOKENS).logits.numpy()


@pytest.mark.parametrize("storage", ["online", "autobitlinear", "bitlinear", "older"])
def test_packed_bitnet_computes_what_its_source_computes(library, tmp_path, storage):
    record = export(library(storage), tmp_path / "out", HF)
    assert all(tensor.exact for tensor in record.tensors)
    source = "online-silu" if storage == "older" else "online"
    np.testing.assert_allclose(
        logits(tmp_path / "out"), logits(library(source)), rtol=0, atol=2e-5
    )


def test_packed_bitnet_is_read_back_as_the_same_trits(library, tmp_path):
    export(library("online"), tmp_path / "out", HF)
    with open_checkpoint(library("online")) as before, open_checkpoint(tmp_path / "out") as after:
        for name in before.config.linear_weights():
            first, second = before.weight(name).codes(), after.weight(name).codes()
            np.testing.assert_array_equal(first.values, second.values)
            np.testing.assert_array_equal(first.scale, second.scale)


def test_float32_of_codes_is_what_they_stand_for(library, tmp_path):
    with open_checkpoint(library("llama")) as checkpoint:
        linear = checkpoint.config.linear_weights()
    formats = {name: Int4(group_size=32) for name in linear} | {"lm_head.weight": Int8()}
    source = write_quantized(tmp_path / "quantized", library("llama"), formats)
    export(source, tmp_path / "out", HF)
    with open_checkpoint(source) as before, open_checkpoint(tmp_path / "out") as after:
        assert after.quantization is None
        for name in before.tensors:
            np.testing.assert_array_equal(before.read(name), after.read(name))
    assert logits(tmp_path / "out").shape == (1, 6, 128)


def test_master_weights_become_the_trits_that_the_model_computes_with(library, tmp_path):
    export(library("online"), tmp_path / "out", HF, "float32")
    with open_checkpoint(library("online")) as before, open_checkpoint(tmp_path / "out") as after:
        name = before.config.linear_weights()[0]
        np.testing.assert_array_equal(before.weight(name).dequantize(), after.read(name))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_bfloat16_rounds_as_ml_dtypes_does(numbers):
    values = np.array(numbers, np.float32)
    tensor = FloatTensor.__new__(FloatTensor)
    tensor.type = "BF16"
    expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(tensor._convert(values), expected)


def test_what_bitnet_cannot_hold_is_named(library, tmp_path):
    with pytest.raises(FormatError, match=re.escape("self_attn.q_proj.weight is in floats")):
        export(library("llama"), tmp_path / "out", HF, "bitnet")
    name = "model.layers.0.mlp.up_proj.weight"
    source = write_quantized(tmp_path / "q", library("llama"), {name: Ternary()})
    with pytest.raises(FormatError, match="q_proj"):
        export(source, tmp_path / "out", HF, "bitnet")
    with pytest.raises(FormatError, match="hf has no type 'q4_0'; it has auto, bitnet"):
        export(library("llama"), tmp_path / "out", HF, "q4_0")
    assert not (tmp_path / "out").exists()


def test_the_record_lies_in_the_folder_and_names_every_file(library, tmp_path):
    record = export(library("llama"), tmp_path / "out", HF)
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert written == json.loads(record.to_json())
    assert [file["name"] for file in written["files"]] == [
        "config.json", "generation_config.json", "model.safetensors"
    ]
    with pytest.raises(OutputError, match="exists"):
        export(library("llama"), tmp_path / "out", HF)
    export(library("llama"), tmp_path / "out", HF, overwrite=True)
