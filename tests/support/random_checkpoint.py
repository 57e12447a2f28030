"""Checkpoint folders of random weights, of any size, as ``trilobite quantize`` writes them."""

import json
import shutil
from pathlib import Path

from safetensors.numpy import save_file

import trilobite
from trilobite.model import ModelConfig
from trilobite.quant.formats import Format
from trilobite.quant.formats.base import PackedWeight
from trilobite.runtime.random_weights import random_weights

DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-bitnet"


def write_random_checkpoint(folder: Path, config: ModelConfig, form: Format) -> Path:
    """Write a BitNet of random weights in ``form`` into ``folder``, with the demo's tokenizer.

    With experts, a Qwen3-MoE.
    """
    folder.mkdir(parents=True)
    weights, tensors, formats = random_weights(config, form), {}, {}
    for name in config.tensor_shapes():
        weight = weights(name)
        if isinstance(weight, PackedWeight):
            formats[name] = weight.format.spec()
            tensors |= {f"{name}_{suffix}": part for suffix, part in weight.tensors.items()}
        else:
            tensors[name] = weight
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    described = json.loads((DEMO / "config.json").read_text())
    described["source_quantization_config"] = described["quantization_config"]
    described |= {
        "hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers, "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads, "head_dim": config.head_dim,
        "vocab_size": config.vocab_size, "hidden_act": config.activation,
        "max_position_embeddings": config.max_position_embeddings,
        "rope_theta": config.rope_theta, "tie_word_embeddings": config.tie_word_embeddings,
        "quantization_config": {
            "quant_method": "trilobite", "version": 1, "format": "mixed", "tensors": formats,
        },
    }
    if config.experts:
        described |= _mixture(config)
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "manifest.json").write_text('{"format": "mixed"}')
    for file in DEMO.glob("token*.json"):
        shutil.copy(file, folder)
    return folder


def _mixture(config: ModelConfig) -> dict:
    """What config.json says of a Qwen3-MoE instead."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
        "num_experts": config.experts.count, "num_experts_per_tok": config.experts.chosen,
        "moe_intermediate_size": config.experts.intermediate_size,
        "norm_topk_prob": config.experts.normalized, "source_quantization_config": None,
    }
