"""Folders for ``transformers``: it loads them, and computes what the source computes."""

import json
import re

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from support.checkpoints import write_quantized
from trilobite.errors import FormatError, OutputError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.affine import unpack_words
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.export.huggingface_tensors import FloatTensor, pack_words
from trilobite.quant.formats import GroupedTernary, Int2, Int3, Int4, Int8, Ternary

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


FORMATS = [
    Int4(32), Int4(32, symmetric=False), Int4(None), Int3(64), Int2(32), Int8(), GroupedTernary(32),
]


@pytest.fixture(scope="module")
def compressed(library, tmp_path_factory):
    """``compressed(form)``: a folder in Trilobite's format and its export."""
    def write(form):
        folder = tmp_path_factory.mktemp("compressed")
        with open_checkpoint(library("llama")) as checkpoint:
            linear = checkpoint.config.linear_weights()
        linear = [name for name in linear if not name.endswith("down_proj.weight")]   # K = 96
        source = write_quantized(folder / "q", library("llama"), dict.fromkeys(linear, form))
        record = export(source, folder / "packed", HF, "compressed")
        assert all(tensor.exact for tensor in record.tensors)
        return source, folder / "packed", linear
    return write


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_compressed_tensors_decompresses_to_the_same_numbers(compressed, form):
    source, packed, linear = compressed(form)
    tensors = load_file(packed / "model.safetensors")
    groups = json.loads((packed / "config.json").read_text())["quantization_config"]
    group = groups["config_groups"]["group_0"]
    assert group["targets"] == [name.removesuffix(".weight") for name in linear]
    scheme = QuantizationScheme(
        targets=["Linear"], weights=QuantizationArgs(**group["weights"])
    )
    package = BaseCompressor.get_value_from_registry("pack-quantized")
    with open_checkpoint(packed) as after, open_checkpoint(source) as before:
        for name in before.tensors:
            np.testing.assert_array_equal(before.read(name), after.read(name))
        for name in linear:
            base = name.removesuffix("weight")
            state = {part.removeprefix(base): value for part, value in tensors.items()
                     if part.startswith(base)}
            theirs = package.decompress(state, scheme)["weight"].numpy()
            np.testing.assert_array_equal(before.read(name), theirs)


# transformers 5.24 with compressed-tensors 0.20 expects zero points unpacked, unlike the package
# itself, and refuses every asymmetric checkpoint.
@pytest.mark.parametrize("form", [Int4(32), Int8()], ids=str)
def test_transformers_computes_with_the_codes(compressed, tmp_path, form):
    source, packed, _ = compressed(form)
    export(source, tmp_path / "float", HF, "float32")
    np.testing.assert_allclose(logits(packed), logits(tmp_path / "float"), rtol=0, atol=2e-5)


def test_several_formats_in_one_folder(library, tmp_path):
    with open_checkpoint(library("llama")) as checkpoint:
        names = checkpoint.config.linear_weights()
    source = write_quantized(
        tmp_path / "q", library("llama"), {names[0]: Int4(32), names[1]: Int8(), names[2]: Int4(64)}
    )
    export(source, tmp_path / "packed", HF, "compressed")
    export(source, tmp_path / "float", HF, "float32")
    np.testing.assert_allclose(
        logits(tmp_path / "packed"), logits(tmp_path / "float"), rtol=0, atol=2e-5
    )


def test_floats_are_not_packed_by_themselves(library, tmp_path):
    with pytest.raises(FormatError, match="has no weight with integer codes"):
        export(library("llama"), tmp_path / "out", HF, "compressed")


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_packing_words_inverts_unpacking(bits, rows, columns, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, (rows, columns), np.uint8)
    words = pack_words(codes, bits)
    assert words.shape == (rows, -(-columns * bits // 32))
    np.testing.assert_array_equal(unpack_words(words, bits, columns), codes)
