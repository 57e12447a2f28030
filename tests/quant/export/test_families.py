"""The dense families beyond Llama in each exported form, each judged by a program that reads it."""


import re

import numpy as np
import pytest
import torch
import transformers

import trilobite
from support.checkpoints import Variant, write_variant
from support.families import FAMILIES, GEMMA, YARN
from support.gguf_judge import run_llama_cpp
from support.onnx_models import OnnxDecoder, float_model, relative_difference
from support.transformers_judge import error_in_range
from trilobite.errors import CheckpointError
from trilobite.quant.export import EXPORTERS, export

TOKENS = [5, 17, 99, 3, 42, 7, 7, 120, 64, 2, 31, 88, 90, 11, 77, 9, 55, 23, 6, 101, 12, 3, 8, 50]
LENGTH_DEPENDENT = ["phi3-long", "phi4-mini", "llama-dynamic"]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """``family(name)``: the folder of one of ``FAMILIES``; not to be changed."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = write_variant(tmp_path_factory.mktemp(name), FAMILIES[name])
        return folders[name]

    return get


def stepped(decoder):
    """Logits of ten tokens in one piece, and of each token after them."""
    logits, past = decoder.feed([TOKENS[:10]], decoder.start())
    rows = [logits[0]]
    for token in TOKENS[10:]:
        logits, past = decoder.feed([[token]], past)
        rows.append(logits[0])
    return np.concatenate(rows)


def some(names, always):
    """``names`` as parameters, those that are not among ``always`` marked slow."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.slow)
            for name in names]


@pytest.mark.parametrize("opset", [None, pytest.param(21, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in LENGTH_DEPENDENT])
def test_onnxruntime_computes_what_the_runtime_does(family, tmp_path, name, opset):
    exporter = EXPORTERS["onnx"].with_opset(opset) if opset else EXPORTERS["onnx"]
    export(family(name), tmp_path / "out", exporter)
    expected = float_model(family(name)).logits(TOKENS)
    assert relative_difference(stepped(OnnxDecoder(tmp_path / "out")), expected) < 3e-6


@pytest.mark.parametrize("name", LENGTH_DEPENDENT)
def test_onnx_has_no_angles_that_depend_on_the_length(family, tmp_path, name):
    with pytest.raises(CheckpointError, match="whose angles depend on the length of a sequence"):
        export(family(name), tmp_path / "out", EXPORTERS["onnx"])


def transformers_logits(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        return model.eval()(torch.tensor([TOKENS])).logits[0].numpy()


@pytest.mark.parametrize("name", some(FAMILIES, ["gemma3", "granite", "olmo3", "phi4-mini"]))
def test_transformers_reads_the_floats_of_codes(family, tmp_path, name):
    trilobite.quantize(family(name), tmp_path / "int8", format="int8")
    export(tmp_path / "int8", tmp_path / "out", EXPORTERS["hf"], "float32")
    expected = float_model(tmp_path / "int8").logits(TOKENS)
    assert error_in_range(transformers_logits(tmp_path / "out"), expected) < 1e-5


def test_codes_of_fused_matrices_are_not_joined(family, tmp_path):
    trilobite.quantize(family("phi3"), tmp_path / "int8", format="int8")
    with pytest.raises(CheckpointError, match=re.escape("self_attn.qkv_proj and mlp.gate_up_proj")):
        export(tmp_path / "int8", tmp_path / "out", EXPORTERS["hf"], "compressed")


# llama.cpp fixes which layers have a window, or no rotary embedding.
PLAIN_GEMMA = {**GEMMA, "query_pre_attn_scalar": 16}
GGUF = {
    "gemma2": Variant("Gemma2", {
        **PLAIN_GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": Variant("Gemma3", {**PLAIN_GEMMA, "num_hidden_layers": 7},
                      config_class="Gemma3TextConfig"),
    "granite": FAMILIES["granite"],
    "olmo2": FAMILIES["olmo2"],
    "smollm3": Variant("SmolLM3", {"num_hidden_layers": 5, "pad_token_id": 2}),
    "qwen2-yarn": FAMILIES["qwen2-yarn"],
    "llama-yarn": Variant("Llama", {"rope_parameters": YARN}),
}


@pytest.mark.parametrize("name", some(GGUF, ["gemma2", "gemma3", "granite", "olmo2", "smollm3"]))
def test_llama_cpp_computes_the_same_logits(tmp_path, name):
    folder = write_variant(tmp_path / name, GGUF[name])
    export(folder, tmp_path / "model.gguf", EXPORTERS["gguf"])
    expected = trilobite.load(folder, kv="float32").logits(TOKENS)[-1]
    found = np.array(run_llama_cpp(tmp_path / "model.gguf", TOKENS, count=1)["logits"])
    # Its keys are float16, and so is its table of GELU.
    bound = 5e-3 if name.startswith("gemma") else 2e-3
    assert np.abs(found - expected).max() < bound * np.ptp(expected)


@pytest.mark.parametrize(("name", "words"), [
    ("gemma2", "a scale of attention scores of its own"), ("gemma3", "windows in other layers"),
    ("olmo3", "is a olmo3, which is not written to GGUF"), ("phi3", "is a phi3, which is not"),
    ("smollm3", "no rotary embedding in other layers"), ("ministral", "is a ministral, which"),
    ("llama-dynamic", "rotary scaling dynamic"),
])
def test_what_no_graph_of_llama_cpp_has_is_refused(family, tmp_path, name, words):
    with pytest.raises(CheckpointError, match=words):
        export(family(name), tmp_path / "model.gguf", EXPORTERS["gguf"])
    assert not (tmp_path / "model.gguf").exists()
