"""Folders that Trilobite quantized: every format reads back, and every part is checked."""

import re
import shutil

import numpy as np
import pytest
import torch

from support.checkpoints import edit_config, edit_tensors, write_quantized
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Fp8, Int4, Int8, PackedWeight, Ternary

LAYER = "model.layers.0."
FORMATS = {
    "model.embed_tokens.weight": Int8(),
    f"{LAYER}self_attn.q_proj.weight": Ternary(),
    f"{LAYER}self_attn.k_proj.weight": Ternary(packing="2bit"),
    f"{LAYER}self_attn.v_proj.weight": Int4(group_size=32),
    f"{LAYER}self_attn.o_proj.weight": Int4(group_size=None, symmetric=False),
    f"{LAYER}mlp.gate_proj.weight": Fp8(),
    f"{LAYER}mlp.up_proj.weight": Fp8(granularity="tensor"),
}
GATE, Q = f"{LAYER}mlp.gate_proj.weight", f"{LAYER}self_attn.q_proj.weight"
V, OUT = f"{LAYER}self_attn.v_proj.weight", f"{LAYER}self_attn.o_proj.weight"


@pytest.fixture(scope="module")
def quantized(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized") / "llama"
    return write_quantized(folder, library("llama"), FORMATS)


@pytest.fixture
def damaged(quantized, tmp_path):
    return shutil.copytree(quantized, tmp_path / "damaged")


def test_every_format_reads_back(library, quantized):
    with open_checkpoint(library("llama")) as source, open_checkpoint(quantized) as checkpoint:
        assert list(checkpoint.tensors) == list(source.tensors)
        for name in source.tensors:
            weight = checkpoint.weight(name)
            if name not in FORMATS:
                np.testing.assert_array_equal(weight, source.read(name))
                continue
            expected = FORMATS[name].quantize(source.read(name))
            assert isinstance(weight, PackedWeight)
            assert (weight.format, weight.shape) == (FORMATS[name], expected.shape)
            assert list(weight.tensors) == list(expected.tensors)
            for suffix, part in expected.tensors.items():
                assert weight.tensors[suffix].dtype == part.dtype
                np.testing.assert_array_equal(weight.tensors[suffix], part)
            whole = expected.dequantize()
            np.testing.assert_array_equal(checkpoint.read(name), whole)
            np.testing.assert_array_equal(checkpoint.rows(name, 5, 21), whole[5:21])
            info = checkpoint.tensors[name]
            assert (info.dtype, info.nbytes) == (FORMATS[name].name, expected.nbytes)


def test_what_a_quantized_folder_says_of_itself(quantized):
    with open_checkpoint(quantized) as checkpoint:
        assert checkpoint.quantization["quant_method"] == "trilobite"
        assert checkpoint.manifest == {"format": "mixed"}
        assert not checkpoint.config.bitlinear
        assert checkpoint.format(Q) == checkpoint.stored_format(Q) == checkpoint.weight(Q).format


@pytest.mark.parametrize("storage", ["online", "older"])
def test_bitnet_stays_bitnet(library, tmp_path, storage):
    with open_checkpoint(library(storage)) as source:
        formats = dict.fromkeys(source.config.linear_weights(), Ternary())
        folder = write_quantized(tmp_path / storage, library(storage), formats)
        with open_checkpoint(folder) as checkpoint:
            assert checkpoint.config == source.config
            for name in formats:
                ours, theirs = checkpoint.weight(name).tensors, source.weight(name).tensors
                np.testing.assert_array_equal(ours["packed"], theirs["packed"])


def test_packed_bitnet_source_is_described_but_not_looked_for(library, tmp_path):
    with open_checkpoint(library("online")) as source:
        formats = dict.fromkeys(source.config.linear_weights(), Ternary())
    folder = write_quantized(tmp_path / "repacked", library("online"), formats)
    edit_config(folder, lambda config: config["source_quantization_config"].update(
        linear_class="bitlinear", quantization_mode="offline"
    ))
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.config.bitlinear


@pytest.mark.parametrize(("edit", "message"), [
    (lambda tensors: tensors.pop(f"{V}_scale"), f"the tensor {V}_scale is in no file"),
    (lambda tensors: tensors.pop(f"{OUT}_zero_point"), f"tensor {OUT}_zero_point is in no file"),
    (lambda tensors: tensors.update({f"{V}_zero_point": torch.zeros(32, 2)}),
     f"the tensor {V}_zero_point is no part of a llama model"),
    (lambda tensors: tensors.update({f"{V}_packed": torch.zeros(32, 31, dtype=torch.uint8)}),
     f"{V}_packed has shape [32, 31]; config.json calls for [32, 32]"),
    (lambda tensors: tensors.update({f"{V}_packed": torch.zeros(32, 32, dtype=torch.int8)}),
     f"{V}_packed is stored as I8; it must be U8"),
    (lambda tensors: tensors.update({f"{V}_scale": torch.ones(32, 2)}),
     f"{V}_scale is stored as F32; it must be F16"),
])
def test_parts_that_do_not_fit_are_refused(damaged, edit, message):
    edit_tensors(damaged, edit)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(damaged)


@pytest.mark.parametrize(("edit", "message"), [
    (lambda specs: specs.update({"model.norm.weight": Int8().spec()}),
     '"quantization_config" gives a format to model.norm.weight, which is no matrix'),
    (lambda specs: specs.update({"x": Int8().spec()}), "gives a format to x, which is no matrix"),
    (lambda specs: specs.update({V: {"format": "int5"}}), f"the format of {V} is damaged"),
    (lambda specs: specs.update({V: {"format": ["int4"]}}), f"the format of {V} is damaged"),
    (lambda specs: specs.update({V: {"format": "int4", "bits": 3}}), f"of {V} is damaged"),
    (lambda specs: specs.update({V: Int4(group_size=128).spec()}), f"{V}: K = 64"),
    (lambda specs: specs.update({V: Int8().spec()}), f"{V}_packed has shape [32, 32]; config"),
    (lambda specs: specs.pop(V), f"the tensor {V} is in no file"),
])
def test_specs_that_do_not_fit_are_refused(damaged, edit, message):
    edit_config(damaged, lambda config: edit(config["quantization_config"]["tensors"]))
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(damaged)


def test_damaged_manifest(damaged):
    (damaged / "manifest.json").write_text('{"format": ')
    with pytest.raises(CheckpointError, match=r"manifest\.json is not valid JSON"):
        open_checkpoint(damaged)


@pytest.mark.parametrize(("part", "value", "message"), [
    (f"{Q}_packed", 243, f"{Q} is damaged: ternary: byte 243"),
    (f"{GATE}_packed", 0x7F, f"{GATE} is damaged: fp8"),
    (f"{GATE}_scale", float("nan"), f"{GATE}_scale holds nan at [40, 0]"),
    (f"{V}_scale", float("inf"), f"{V}_scale holds inf at [20, 0]"),
])
def test_codes_that_no_encoder_writes_are_refused(damaged, part, value, message):
    row = 20 if part.startswith(V) else 40
    edit_tensors(damaged, lambda tensors: tensors[part][row].fill_(value))
    name = part.rsplit("_", 1)[0]
    with open_checkpoint(damaged) as checkpoint:
        checkpoint.rows(name, 0, row)
        for read in (checkpoint.read, checkpoint.weight):
            with pytest.raises(CheckpointError, match=re.escape(message)):
                read(name)
