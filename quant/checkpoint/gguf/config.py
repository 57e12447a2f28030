"""What a GGUF file's metadata says of the model, in the words of Hugging Face's config.json."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ....errors import CheckpointError
from ....model import RopeScaling
from ..files.fields import Fields, shown
from ..files.gguf_split import GgufModel
from .names import ROPE_FACTORS

__all__ = ["ARCHITECTURES", "BITNET", "huggingface_config"]

# The architectures by llama.cpp's names (the last two are those of bitnet.cpp): class and
# activation. llama.cpp computes "bitnet" with SiLU, bitnet.cpp its own with a squared ReLU.
ARCHITECTURES = {
    "llama": ("LlamaForCausalLM", "llama", "silu"),
    "qwen2": ("Qwen2ForCausalLM", "qwen2", "silu"),
    "qwen3": ("Qwen3ForCausalLM", "qwen3", "silu"),
    "bitnet": ("BitNetForCausalLM", "bitnet", "silu"),
    "bitnet-b1.58": ("BitNetForCausalLM", "bitnet", "relu2"),
    "bitnet-25": ("BitNetForCausalLM", "bitnet", "relu2"),
}
BITNET = ("bitnet", "bitnet-b1.58", "bitnet-25")
_ONLINE = {
    "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
}
_LIMIT = 1 << 30
# Of Llama 3.1 and 3.2, the models whose files have a tensor of rotary factors.
_LLAMA3 = [(factor, 8192) for factor in (8.0, 32.0)]


def huggingface_config(file: GgufModel) -> dict[str, Any]:
    """config.json of the model in ``file``; ``parse_config`` checks it further.

    Raises
    ------
    CheckpointError
        The architecture is not known, a key is missing or out of range, or could change the
        result and is not understood.
    """
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{file.path}: the architecture {shown(architecture)} is not supported; known are "
            f"{', '.join(ARCHITECTURES)}"
        )
    prefix = f"{architecture}."
    own = {key.removeprefix(prefix): value for key, value in file.metadata.items()
           if key.startswith(prefix)}
    fields = Fields(own, f"{file.path}: of {prefix}*")
    name, model_type, activation = ARCHITECTURES[architecture]
    heads = fields.integer("attention.head_count", _LIMIT)
    hidden = fields.integer("embedding_length", _LIMIT)
    head_dim = fields.integer("attention.key_length", _LIMIT, default=max(1, hidden // heads))
    config = {
        "architectures": [name], "model_type": model_type, "hidden_act": activation,
        "hidden_size": hidden, "intermediate_size": fields.integer("feed_forward_length", _LIMIT),
        "num_hidden_layers": fields.integer("block_count", _LIMIT),
        "num_attention_heads": heads, "head_dim": head_dim,
        "num_key_value_heads": fields.integer("attention.head_count_kv", _LIMIT, default=heads),
        "vocab_size": _vocabulary(file),
        "max_position_embeddings": fields.integer("context_length", _LIMIT),
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon", 0, 1),
        "rope_theta": fields.number("rope.freq_base", 1, 1e12, default=10_000.0),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "torch_dtype": "float32",
        **_tokens(file),
    }
    for key in ("rope.dimension_count", "attention.value_length"):
        fields.fixed(key, head_dim)
    if (scaling := _rope_scaling(fields, file, config)) is not None:
        config["rope_scaling"] = scaling
    _finish(fields, config["max_position_embeddings"])
    config |= _biases(architecture, file.tensors)
    if architecture in BITNET:
        config["quantization_config"] = _ONLINE
    return config


def _vocabulary(file: GgufModel) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError(f"{file.path} has no matrix token_embd.weight")
    return embedding.shape[0]


def _tokens(file: GgufModel) -> dict[str, Any]:
    """Begin and end tokens; "end of turn" ends a text too."""
    def token(kind: str) -> int | None:
        value = file.metadata.get(f"tokenizer.ggml.{kind}_token_id")
        if value is not None and (type(value) is not int or value < 0):
            raise CheckpointError(f"{file.path}: tokenizer.ggml.{kind}_token_id is {shown(value)}")
        return value

    end = [id for id in dict.fromkeys((token("eos"), token("eot"))) if id is not None]
    return {"bos_token_id": token("bos"), "eos_token_id": end[0] if len(end) == 1 else end or None}


def _biases(architecture: str, tensors: Iterable[str]) -> dict[str, bool]:
    """Which biases there are; the tensors are then required one by one."""
    biases = {}
    if architecture in ("llama", "qwen3", *BITNET):
        biases["attention_bias"] = "blk.0.attn_q.bias" in tensors
    if architecture == "llama":
        biases["mlp_bias"] = "blk.0.ffn_gate.bias" in tensors
    return biases


def _rope_scaling(
    fields: Fields, file: GgufModel, config: dict[str, Any]
) -> dict[str, Any] | None:
    kind = fields.choice("rope.scaling.type", ["none", "linear"], default="none")
    factor = fields.number("rope.scaling.factor", 1e-3, 1e6, default=1.0)
    fields.ignore(["rope.scaling.original_context_length", "rope.scaling.finetuned"])
    if ROPE_FACTORS in file.tensors:
        return _llama3(file, config)
    return {"rope_type": "linear", "factor": factor} if kind == "linear" and factor != 1 else None


def _llama3(file: GgufModel, config: dict[str, Any]) -> dict[str, Any]:
    """The published parameters whose factors the file has; other factors are refused."""
    from ....numerics import rope_factors  # noqa: PLC0415 - brings Numba, and few models need it

    tensor = file.tensors[ROPE_FACTORS]
    half = config["head_dim"] // 2
    if tensor.type.name != "F32" or tensor.shape != (half,):
        raise CheckpointError(f"{file.path}: {ROPE_FACTORS} is {tensor.type.name} "
                              f"{list(tensor.shape)}; it must be F32 [{half}]")
    factors = tensor.type.dequantize(file.rows(ROPE_FACTORS))[0]
    stated = file.metadata.get("trilobite.rope.original_context_length")
    own = [(float(factors.max()), stated)] if type(stated) is int and 0 < stated < _LIMIT else []
    for factor, original in own + _LLAMA3:
        if not math.isfinite(factor) or factor <= 0:
            continue
        scaling = RopeScaling("llama3", factor, 1.0, 4.0, original)
        expected = rope_factors(config["head_dim"], config["rope_theta"], scaling)
        if np.allclose(factors, expected, rtol=1e-5, atol=0):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": original,
            }
    raise CheckpointError(
        f"{file.path}: the rotary factors of {ROPE_FACTORS} are not those of Llama 3.1 or 3.2, "
        "the only ones that are understood"
    )


def _finish(fields: Fields, positions: int) -> None:
    """Tick off what cannot matter or is supported with one value only; refuse the rest."""
    fields.ignore(["vocab_size", "tensor_data_layout"])
    for key in ("expert_count", "expert_used_count"):
        fields.fixed(key, 0)
    fields.fixed("attention.causal", True)
    if fields.present("attention.sliding_window"):
        fields.integer("attention.sliding_window", _LIMIT, low=positions)
    fields.finish()
