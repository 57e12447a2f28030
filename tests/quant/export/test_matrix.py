"""Files in x files out: whatever is read can be written, and the other tool computes the same."""

import os

import numpy as np
import pytest

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import torch
import transformers

from support.checkpoints import VARIANTS, Variant, write_bitnet, write_quantized, write_variant
from support.gguf_judge import run_llama_cpp
from support.onnx_models import OnnxDecoder, float_model
from support.packed_checkpoints import write_awq, write_compressed, write_gptq
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.formats import Int4
from trilobite.quant.pipeline import quantize

TOKENS = [0, 5, 17, 99, 3, 42]
# Of the logits' range: llama.cpp keeps keys and values as float16; with packed weights it rounds
# activations to int8, with bfloat16 ones to bfloat16, which random weights show most.
ERROR, ROUNDED_ERROR = 2e-3, 0.02


def _float(folder):
    return write_variant(folder, VARIANTS["llama"])


def _packed(folder, write):
    write(_float(folder))
    return folder


def _trilobite(folder):
    source = _float(folder.with_name("float"))
    with open_checkpoint(source) as checkpoint:
        names = checkpoint.config.linear_weights()
    return write_quantized(folder, source, dict.fromkeys(names, Int4(32)))


def _gguf(folder, type):
    folder.mkdir()
    file = folder / "model.gguf"
    export(_float(folder / "source"), file, EXPORTERS["gguf"], type)
    return file


INPUTS = {
    "float32": _float,
    "bfloat16": lambda folder: write_variant(folder, VARIANTS["llama-bf16"]),
    "sharded": lambda folder: write_variant(folder, VARIANTS["llama-sharded"]),
    "trilobite int4": _trilobite,
    "gptq": lambda folder: _packed(folder, lambda f: write_gptq(f, 4, 32)),
    "gptq act-order": lambda folder: _packed(folder, lambda f: write_gptq(f, 4, 32, "gptq", True)),
    "awq": lambda folder: _packed(folder, lambda f: write_awq(f, 32)),
    "compressed int4": lambda folder: _packed(folder, lambda f: write_compressed(f, "int4-group")),
    "compressed asymmetric": lambda folder: _packed(
        folder, lambda f: write_compressed(f, "int4-group-asymmetric")),
    "compressed fp8": lambda folder: _packed(folder, lambda f: write_compressed(f, "fp8-channel")),
    "compressed nvfp4": lambda folder: _packed(folder, lambda f: write_compressed(f, "nvfp4")),
    "compressed mxfp4": lambda folder: _packed(folder, lambda f: write_compressed(f, "mxfp4")),
    "gguf q4_0": lambda folder: _gguf(folder, "q4_0"),
    "gguf q8_0": lambda folder: _gguf(folder, "q8_0"),
    "gguf f16": lambda folder: _gguf(folder, "f16"),
}
QUICK = ("trilobite int4", "gptq", "gguf q4_0", "compressed nvfp4")


def _transformers(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model.eval()(torch.tensor([TOKENS])).logits.numpy()[0, -1]


def _llama_cpp(file):
    pytest.importorskip("llama_cpp")
    return np.array(run_llama_cpp(file, TOKENS, 1)["logits"])


def _onnxruntime(folder):
    decoder = OnnxDecoder(folder)
    return decoder.feed([TOKENS], decoder.start())[0][0][-1]


# Target, type and judge. The types that hold any numbers, so that every cell is a comparison.
OUTPUTS = {
    "gguf": ("auto", _llama_cpp),
    "hf": ("float32", _transformers),
    "onnx": ("qdq", _onnxruntime),
}
CELLS = [
    pytest.param(source, target, id=f"{source} to {target}",
                 marks=() if source in QUICK else pytest.mark.slow)
    for source in INPUTS for target in OUTPUTS
]


@pytest.mark.parametrize(("source", "target"), CELLS)
def test_the_other_tool_computes_the_same(tmp_path, source, target):
    path = INPUTS[source](tmp_path / "in")
    type, judge = OUTPUTS[target]
    out = tmp_path / ("out.gguf" if target == "gguf" else "out")
    record = export(path, out, EXPORTERS[target], type)
    assert {t.exact for t in record.tensors if t.source.endswith("_proj.weight")} == {True}
    expected = float_model(path).logits(TOKENS)[-1]
    rounds = target == "gguf" and any(t.type[0] in "QB" for t in record.tensors)
    error = ROUNDED_ERROR if rounds else ERROR
    assert np.abs(judge(out) - expected).max() < error * np.ptp(expected)


@pytest.mark.parametrize("source", ["gptq", "awq", "compressed int4", "trilobite int4"])
def test_int4_codes_go_to_compressed_tensors_as_they_are(tmp_path, source):
    path = INPUTS[source](tmp_path / "in")
    export(path, tmp_path / "out", EXPORTERS["hf"], "compressed")
    with open_checkpoint(path) as before, open_checkpoint(tmp_path / "out") as after:
        for name in before.tensors:
            np.testing.assert_array_equal(before.read(name), after.read(name))
        name = before.config.linear_weights()[0]
        first, second = before.encoded(name, 0, 8), after.encoded(name, 0, 8)
        np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize("storage", ["online", "autobitlinear", "bitlinear"])
def test_bitnet_from_each_storage_to_packed(tmp_path, storage):
    path = write_bitnet(tmp_path / "in", storage)
    quantize(path, tmp_path / "ternary", "ternary", embedding="keep")
    export(tmp_path / "ternary", tmp_path / "out", EXPORTERS["hf"], "bitnet")
    expected = _transformers(path)
    assert np.abs(_transformers(tmp_path / "out") - expected).max() < 1e-5 * np.ptp(expected)


def test_trits_survive_every_stop(tmp_path):
    """Packed BitNet to Trilobite to GGUF to Trilobite to packed BitNet."""
    wide = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "hidden_act": "silu",
            "tie_word_embeddings": True}
    folder = write_variant(tmp_path / "float", Variant("BitNet", wide))
    from support.checkpoints import ONLINE, edit_config

    edit_config(folder, lambda config: config.update(quantization_config=ONLINE))
    export(folder, tmp_path / "packed", EXPORTERS["hf"], "bitnet")
    quantize(tmp_path / "packed", tmp_path / "ours", "ternary", embedding="keep")
    export(tmp_path / "ours", tmp_path / "model.gguf", EXPORTERS["gguf"], "tq1_0")
    quantize(tmp_path / "model.gguf", tmp_path / "again", "ternary", embedding="keep")
    export(tmp_path / "again", tmp_path / "back", EXPORTERS["hf"], "bitnet")
    first = (tmp_path / "packed" / "model.safetensors").read_bytes()
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == first
