"""Decoders for onnxruntime: it computes what the runtime does on the codes' float32 numbers."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

import trilobite
from support.checkpoints import MIXTURES, VARIANTS, write_quantized
from support.onnx_models import OnnxDecoder, float_model, relative_difference
from trilobite.errors import FormatError, ToolError, TrilobiteError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.export import onnx as onnx_target
from trilobite.quant.formats import (
    Fp8,
    GroupedTernary,
    Int2,
    Int3,
    Int4,
    Int4Fp8,
    Int8,
    Mxfp4,
    Nvfp4,
    Ternary,
)

ONNX = EXPORTERS["onnx"]
TOKENS = [0, 5, 17, 99, 3, 42, 7, 7, 120, 64, 2, 31, 88, 90, 11, 77, 1, 55, 23, 6, 101, 12]
FLOAT_ERROR = 2e-6     # of the logits' range: float32 in another order
INT8_ERROR = 0.05      # activations rounded to int8 by onnxruntime, on random weights


def quantized(folder, source, form, embedding=None):
    with open_checkpoint(source) as checkpoint:
        formats = dict.fromkeys(checkpoint.config.linear_weights(), form)
        if embedding:
            formats["model.embed_tokens.weight"] = embedding
            if not checkpoint.config.tie_word_embeddings:
                formats["lm_head.weight"] = embedding
    return write_quantized(folder, source, formats)


def in_steps(decoder, tokens):
    """Logits of a prompt of five tokens and of each token after it, fed one by one."""
    logits, past = decoder.feed([tokens[:5]], decoder.start())
    rows = [logits[0]]
    for token in tokens[5:]:
        logits, past = decoder.feed([[token]], past)
        rows.append(logits[0])
    return np.concatenate(rows)


DENSE = [name for name in VARIANTS if name not in MIXTURES]


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_of_experts_is_refused(library, tmp_path, name):
    with pytest.raises(TrilobiteError, match="is a mixture of experts .*, which export does not"):
        export(library(name), tmp_path / "out", ONNX)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [None, 21])
@pytest.mark.parametrize("name", [*DENSE, "online", "bitlinear", "older"])
def test_every_family_computes_what_the_runtime_does(library, tmp_path, name, opset):
    exporter = ONNX.with_opset(opset) if opset else ONNX
    export(library(name), tmp_path / "out", exporter)
    decoder = OnnxDecoder(tmp_path / "out")
    expected = float_model(library(name)).logits(TOKENS)
    logits, _ = decoder.feed([TOKENS], decoder.start())
    assert relative_difference(logits[0], expected) < FLOAT_ERROR
    assert relative_difference(in_steps(decoder, TOKENS), expected) < FLOAT_ERROR


FORMS = [
    Ternary(), Ternary("2bit"), GroupedTernary(32), GroupedTernary(None), Int2(32),
    Int2(None, True), Int3(32), Int3(None, True), Int4(32), Int4(32, False), Int4(None),
    Int4(None, False), Int8(), Fp8("row"), Fp8("tensor"), Mxfp4(), Nvfp4(), Int4Fp8(32),
]


@pytest.mark.parametrize("opset", [21, 24, 25, 26])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_format_stands_for_the_same_numbers(library, tmp_path, form, opset):
    source = quantized(tmp_path / "q", library("llama"), form, embedding=Int8())
    record = export(source, tmp_path / "out", ONNX.with_opset(opset))
    expected = float_model(source).logits(TOKENS)
    decoder = OnnxDecoder(tmp_path / "out")
    logits, _ = decoder.feed([TOKENS], decoder.start())
    assert relative_difference(logits[0], expected) < FLOAT_ERROR
    linear = next(each for each in record.tensors if each.name.endswith("up_proj.weight"))
    assert linear.exact
    two_bits = form.name in ("ternary", "ternary-group", "int2")
    assert linear.type.endswith("8") or linear.type.endswith(
        "INT2" if two_bits and opset >= 25 else "INT4") or linear.type == "FLOAT8E4M3FN"
    wider = form.name in ("int3", "mxfp4", "nvfp4") or (two_bits and opset < 25)
    assert (linear.note is not None) == wider


@pytest.mark.parametrize("form", [form for form in FORMS if form.name != "fp8"], ids=str)
@pytest.mark.parametrize("model", ["llama", "llama-tied"])
def test_matmulnbits_stands_for_the_same_numbers(library, tmp_path, form, model):
    source = quantized(tmp_path / "q", library(model), form, embedding=Int8())
    expected = float_model(source).logits(TOKENS)
    export(source, tmp_path / "float", ONNX, "matmulnbits-float")
    decoder = OnnxDecoder(tmp_path / "float")
    logits, _ = decoder.feed([TOKENS], decoder.start())
    assert relative_difference(logits[0], expected) < FLOAT_ERROR
    export(source, tmp_path / "int8", ONNX, "matmulnbits")
    decoder = OnnxDecoder(tmp_path / "int8")
    logits, _ = decoder.feed([TOKENS], decoder.start())
    assert FLOAT_ERROR < relative_difference(logits[0], expected) < INT8_ERROR


@pytest.mark.parametrize("opset", [None, 22])
@pytest.mark.parametrize("name", ["qwen3", "mistral-window"])
def test_a_batch_padded_on_the_left(library, tmp_path, name, opset):
    export(library(name), tmp_path / "out", ONNX.with_opset(opset) if opset else ONNX)
    decoder = OnnxDecoder(tmp_path / "out")
    short = TOKENS[:13]
    padding = len(TOKENS) - len(short)
    mask = np.ones((2, len(TOKENS) + 1), np.int64)
    mask[1, :padding] = 0
    ids = [TOKENS, [0] * padding + short]
    logits, past = decoder.feed(ids, decoder.start(2), mask[:, :-1])
    after, _ = decoder.feed([[9], [9]], past, mask)
    model = float_model(library(name))
    assert relative_difference(logits[1, padding:], model.logits(short)) < FLOAT_ERROR
    assert relative_difference(after[0, 0], model.logits([*TOKENS, 9])[-1]) < FLOAT_ERROR
    assert relative_difference(after[1, 0], model.logits([*short, 9])[-1]) < FLOAT_ERROR


@pytest.mark.parametrize(
    ("model", "format"),
    [("demo-llama", "int4,group_size=32"), ("demo-bitnet", None)],
)
def test_the_demo_models_continue_as_the_float_runtime_does(tmp_path, model, format):
    trilobite.quantize(model, tmp_path / "q", format)
    reference = float_model(tmp_path / "q")
    prompt = reference.tokenizer.encode("import os\n\n\ndef ")
    expected = reference.generate(prompt, max_new_tokens=24)
    list(expected)
    for type in ("qdq", "matmulnbits-float"):
        export(tmp_path / "q", tmp_path / "out", ONNX, type, overwrite=True)
        decoder = OnnxDecoder(tmp_path / "out")
        assert decoder.greedy(prompt, len(expected.tokens)) == expected.tokens
    model = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False)
    assert model.ir_version == 11 and model.opset_import[0].version == 23


def test_the_folder_has_what_onnxruntime_genai_needs(library, tmp_path):
    record = export(library("qwen2"), tmp_path / "out", ONNX)
    assert {file.name for file in record.files} == {
        "genai_config.json", "generation_config.json", "model.onnx", "model.onnx.data"
    }
    config = json.loads((tmp_path / "out" / "genai_config.json").read_text())
    model, decoder = config["model"], config["model"]["decoder"]
    assert (model["type"], model["vocab_size"], model["context_length"]) == ("qwen2", 128, 128)
    assert (decoder["num_hidden_layers"], decoder["num_key_value_heads"]) == (2, 2)
    assert (model["bos_token_id"], model["eos_token_id"]) == (0, 1)
    graph = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph
    names = {value.name for value in [*graph.input, *graph.output]}
    keys = [decoder[kind][f"{word}_{part}_names"] % layer for layer in range(2)
            for kind, word in (("inputs", "past"), ("outputs", "present"))
            for part in ("key", "value")]
    assert names == {"input_ids", "attention_mask", "logits", *keys}


def test_the_same_input_gives_the_same_bytes(library, tmp_path):
    first, second = (export(library("llama"), tmp_path / out, ONNX) for out in ("a", "b"))
    assert first.files == second.files


def test_what_cannot_be_exported_is_named_before_anything_is_written(library, tmp_path):
    source = quantized(tmp_path / "q", library("llama"), Fp8("row"))
    with pytest.raises(FormatError, match=r"q_proj.weight: MatMulNBits multiplies integers, not"):
        export(source, tmp_path / "out", ONNX, "matmulnbits")
    source = quantized(tmp_path / "e", library("llama"), Int4(32), embedding=Int4(32))
    with pytest.raises(FormatError, match=r"embed_tokens.weight is in int4; matmulnbits looks up"):
        export(source, tmp_path / "out", ONNX, "matmulnbits")
    with pytest.raises(FormatError, match="opset 27 is not written; choose 21 to 26"):
        ONNX.with_opset(27)
    assert not (tmp_path / "out").exists()


def test_an_embedding_in_any_format_is_looked_up(library, tmp_path):
    for form in (Int4(32), Fp8("row")):
        source = quantized(tmp_path / form.name, library("llama-tied"), Int8(), embedding=form)
        export(source, tmp_path / "out", ONNX, overwrite=True)
        decoder = OnnxDecoder(tmp_path / "out")
        logits, _ = decoder.feed([TOKENS], decoder.start())
        assert relative_difference(logits[0], float_model(source).logits(TOKENS)) < FLOAT_ERROR


def test_a_missing_package_is_named(library, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'trilobite\[onnx\]'"):
        export(library("llama"), tmp_path / "out", ONNX)
    assert not (tmp_path / "out").exists()


def test_onnx_is_imported_only_when_it_is_used():
    code = "import sys, trilobite.cli, trilobite.quant.export; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert onnx_target.__name__ == "trilobite.quant.export.onnx"
