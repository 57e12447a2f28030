"""Tiny random checkpoints of every family, written by ``transformers`` as its users write them."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before torch is imported: the BitNet layers of transformers are decorated with torch.compile.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.integrations.bitnet import pack_weights

from trilobite.quant.formats import Format

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TINY = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 128,
    "bos_token_id": 0, "eos_token_id": 1,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 50_000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
ONLINE = {
    "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
}


@dataclass(frozen=True)
class Variant:
    """One way a checkpoint can be: ``<architecture>ForCausalLM`` with changes to ``TINY``."""

    architecture: str
    config: dict[str, Any] = field(default_factory=dict)
    old_rope: bool = False
    shard_bytes: int | None = None
    config_class: str | None = None   # where it is not <architecture>Config
    dtype: torch.dtype = torch.float32


VARIANTS = {
    "llama": Variant("Llama"),
    "llama-tied": Variant("Llama", {"tie_word_embeddings": True}),
    "llama-biases": Variant("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-head-dim": Variant("Llama", {"head_dim": 24}),
    "llama-one-kv-head": Variant("Llama", {"num_key_value_heads": 1}),
    "llama-no-groups": Variant("Llama", {"num_key_value_heads": 4}),
    "llama-old-rope": Variant("Llama", {"rope_parameters": {"rope_theta": 5e5}}, old_rope=True),
    "llama-llama3": Variant("Llama", {"rope_parameters": LLAMA3}),
    "llama-llama3-old": Variant("Llama", {"rope_parameters": LLAMA3}, old_rope=True),
    "llama-linear": Variant("Llama", {"rope_parameters": LINEAR}),
    "llama-linear-old": Variant("Llama", {"rope_parameters": LINEAR}, old_rope=True),
    "llama-sharded": Variant("Llama", shard_bytes=60_000),
    "llama-bf16": Variant("Llama", dtype=torch.bfloat16),
    "llama-f16": Variant("Llama", dtype=torch.float16),
    "mistral": Variant("Mistral", {"sliding_window": None}),
    "mistral-window": Variant("Mistral", {"sliding_window": 20}),
    "qwen2": Variant("Qwen2"),
    "qwen2-window": Variant(
        "Qwen2", {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}
    ),
    "qwen3": Variant("Qwen3", {"head_dim": 32}),
    "qwen3-biases": Variant("Qwen3", {"head_dim": 16, "attention_bias": True}),
    "qwen3-window": Variant(
        "Qwen3", {
            "head_dim": 16, "use_sliding_window": True, "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "qwen3-moe": Variant("Qwen3Moe", {
        "head_dim": 16, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    }),
    "qwen3-moe-dense-layer": Variant("Qwen3Moe", {
        "head_dim": 16, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
        "mlp_only_layers": [0],
    }),
    "olmoe": Variant("Olmoe", {"num_experts": 6, "num_experts_per_tok": 2}),
    "olmoe-normalized": Variant("Olmoe", {
        "num_experts": 6, "num_experts_per_tok": 3, "norm_topk_prob": True,
        "num_key_value_heads": 4,
    }),
    "gpt-oss": Variant("GptOss", {
        "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 20,
        "initializer_range": 0.5,
    }),
    "mixtral": Variant("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "bitnet-float": Variant("BitNet"),
    "bitnet-float-silu": Variant("BitNet", {"hidden_act": "silu", "attention_bias": True}),
}
MIXTURES = ["qwen3-moe", "qwen3-moe-dense-layer", "olmoe", "olmoe-normalized", "gpt-oss", "mixtral"]

# Master weights, the two packings, and master weights as the first reproduction stored them;
# "online-silu" is the same model as "older" in the terms of transformers.
BITNET_STORAGES = ("online", "autobitlinear", "bitlinear", "online-silu", "older")


def write_variant(folder: Path, variant: Variant, seed: int = 0) -> Path:
    """Write a checkpoint into ``folder`` with ``save_pretrained`` and return it."""
    described = variant.config_class or f"{variant.architecture}Config"
    config_class = getattr(transformers, described)
    model_class = getattr(transformers, f"{variant.architecture}ForCausalLM")
    torch.manual_seed(seed)
    model = model_class(config_class(**{**TINY, **variant.config}))
    _randomize(model)
    shards = {} if variant.shard_bytes is None else {"max_shard_size": variant.shard_bytes}
    model.to(variant.dtype).save_pretrained(folder, **shards)
    if variant.old_rope:
        edit_config(folder, _old_rope)
    return folder


def write_bitnet(folder: Path, storage: str, seed: int = 0) -> Path:
    """Write a BitNet in one of ``BITNET_STORAGES``; all from the same weights."""
    silu = storage in ("older", "online-silu")
    write_variant(folder, Variant("BitNet", {"hidden_act": "silu"} if silu else {}), seed)
    if storage == "older":
        _rename_older(folder)
    elif storage.startswith("online"):
        edit_config(folder, lambda config: config.update(quantization_config=ONLINE))
    else:
        _pack(folder, storage)
    return folder


def write_checkpoint(folder: Path, name: str) -> Path:
    """Write one of ``VARIANTS`` or of ``BITNET_STORAGES``."""
    if name in VARIANTS:
        return write_variant(folder, VARIANTS[name])
    return write_bitnet(folder, name)


def write_quantized(folder: Path, source: Path, formats: dict[str, Format]) -> Path:
    """Write ``source`` into ``folder`` as Trilobite does, the weights in ``formats`` packed."""
    shutil.copytree(source, folder)

    def quantize(tensors):
        for name, form in formats.items():
            packed = form.quantize(tensors.pop(name).float().numpy(), name)
            for suffix, part in packed.tensors.items():
                tensors[f"{name}_{suffix}"] = torch.from_numpy(part)

    def describe(config):
        if "quantization_config" in config:
            config["source_quantization_config"] = config["quantization_config"]
        config["quantization_config"] = {
            "quant_method": "trilobite", "version": 1, "format": "mixed",
            "tensors": {name: form.spec() for name, form in formats.items()},
        }

    edit_tensors(folder, quantize)
    edit_config(folder, describe)
    (folder / "manifest.json").write_text('{"format": "mixed"}')
    return folder


def edit_config(folder: Path, edit) -> None:
    """Let ``edit`` change the parsed config.json in place."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


def edit_tensors(folder: Path, edit) -> None:
    """Let ``edit`` change the tensors of model.safetensors in place."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def _randomize(model: torch.nn.Module) -> None:
    """Weights large enough for logits to differ; norms and biases that are not 1 and 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.dim() == 1:
                parameter.copy_(0.1 * noise + (1.0 if "norm" in name else 0.0))
            else:
                parameter.copy_(noise / parameter.shape[1] ** 0.5)


def _old_rope(config: dict[str, Any]) -> None:
    """``rope_parameters`` as transformers 4 spelled it."""
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **parameters}


def _rename_older(folder: Path) -> None:
    def rename(tensors):
        for name in list(tensors):
            older = name.replace("attn_sub_norm", "inner_attn_ln")
            older = older.replace("ffn_sub_norm", "ffn_layernorm")
            tensors[older] = tensors.pop(name)

    def describe(config):
        config.update(
            architectures=["BitnetForCausalLM"], model_type="llama", weight_bits=1, input_bits=8
        )
        _old_rope(config)

    edit_tensors(folder, rename)
    edit_config(folder, describe)


def _pack(folder: Path, linear_class: str) -> None:
    def pack(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            scale = tensors[name].abs().mean().clamp(min=1e-5)
            trits = (tensors[name] / scale).round().clamp(-1, 1)
            tensors[name] = pack_weights(trits)
            stored = scale if linear_class == "autobitlinear" else 1 / scale
            tensors[f"{name}_scale"] = stored.reshape(1)

    packed = {
        "quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": "offline",
    }
    edit_tensors(folder, pack)
    edit_config(folder, lambda config: config.update(quantization_config=packed))
