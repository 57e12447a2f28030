"""The language models of models that see, and ternary Llamas, against transformers."""

import json

import numpy as np
import pytest
import torch
import transformers

import trilobite
from support.checkpoints import TINY, Variant, edit_config, edit_tensors, write_variant
from support.families import GEMMA, MINISTRAL3
from support.transformers_judge import (
    error_in_range,
    expected_logits,
    random_prompt,
    runtime_logits,
)
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint, parse_config
from trilobite.quant.checkpoint.text_part import text_part

SIGHT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2, "image_size": 16, "patch_size": 8}


def write_seeing(folder, kind):
    """A tiny model that sees, of random weights."""
    torch.manual_seed(0)
    if kind == "gemma3":
        text = transformers.Gemma3TextConfig(**{**TINY, **GEMMA, "num_hidden_layers": 3})
        config = transformers.Gemma3Config(
            text_config=text, vision_config=SIGHT, mm_tokens_per_image=4, image_token_id=125,
            boi_token_id=126, eoi_token_id=127)
        model = transformers.Gemma3ForConditionalGeneration(config)
    else:
        text = transformers.Ministral3Config(
            **{**TINY, "head_dim": 16, "rope_parameters": MINISTRAL3})
        config = transformers.Mistral3Config(
            vision_config={**SIGHT, "model_type": "pixtral", "head_dim": 16}, text_config=text,
            tie_word_embeddings=False)
        model = transformers.Mistral3ForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "family"), [("gemma3", "gemma3"), ("mistral3", "ministral3")])
def test_the_language_model_is_read_alone(tmp_path, kind, family):
    folder = write_seeing(tmp_path / kind, kind)
    tokens, expected = expected_logits(
        folder, random_prompt(seed=5), transformers.AutoModelForImageTextToText)
    assert error_in_range(runtime_logits(folder, tokens), expected) < 1e-4
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.config.family == family
    trilobite.quantize(folder, tmp_path / "int8", format="int8")
    written = json.loads((tmp_path / "int8" / "config.json").read_text())
    assert "vision_config" not in written
    logits = trilobite.load(tmp_path / "int8").logits(tokens)
    assert error_in_range(logits, expected) < 0.1


def test_what_wrappers_leave_to_the_class_is_known():
    """The text_config of google/gemma-3-4b-it, as published."""
    raw = {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
        "initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "vision_config": {},
    }
    config = parse_config(text_part(raw, "config.json")[0], "config.json")
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (8, 4, 256)
    assert (config.rope_theta, config.window_rope.theta) == (1e6, 1e4)
    assert config.sliding_windows[:7] == (1024,) * 5 + (None, 1024)
    assert config.eos_token_ids == (1, 106)
    assert config.embedding_scale == 2560**0.5
    assert sum(np.prod(shape) for shape in config.tensor_shapes().values()) == 3_880_263_168


def test_a_language_model_that_is_not_read_is_named():
    raw = {"architectures": ["Mistral3ForConditionalGeneration"],
           "text_config": {"model_type": "rwkv"}}
    with pytest.raises(CheckpointError, match='in "text_config", "model_type" is "rwkv"'):
        text_part(raw, "config.json")


def test_a_llama_in_bitnets_packing_is_ternary(tmp_path):
    """Falcon3-1.58 and Falcon-E: LlamaForCausalLM with quant_method bitnet, scales that divide."""
    folder = write_variant(tmp_path / "falcon", Variant("Llama", {"head_dim": 24}))
    expected = {}

    def pack(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            scale = tensors[name].abs().mean()
            trits = (tensors[name] / scale).round().clamp(-1, 1)
            expected[name] = (trits * scale).numpy()
            tensors[name] = transformers.integrations.bitnet.pack_weights(trits)
            tensors[f"{name}_scale"] = (1 / scale).reshape(1)

    edit_tensors(folder, pack)
    edit_config(folder, lambda config: config.update(quantization_config={
        "modules_to_not_convert": ["lm_head"], "quant_method": "bitnet"}))
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.config.family == "llama"
        assert checkpoint.config.bitlinear
        for name, values in expected.items():
            np.testing.assert_allclose(checkpoint.weight(name).dequantize(), values, rtol=1e-6)
    tokens, theirs = expected_logits(folder, random_prompt(seed=6))
    found = runtime_logits(folder, tokens)
    assert error_in_range(found, theirs) < 2e-2
    assert (found.argmax(axis=1) == theirs.argmax(axis=1)).mean() >= 0.98
