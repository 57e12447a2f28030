"""llama.cpp's names for tensors, and its order of the rows of q and k."""

from __future__ import annotations

import numpy as np

from ....model import ModelConfig, Norms

__all__ = ["ROPE_FACTORS", "canonical_rows", "gguf_name", "is_paired", "paired_rows", "scale_name"]

ROPE_FACTORS = "rope_freqs.weight"
_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_INNER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "self_attn.attn_sub_norm": "attn_sub_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
}
# Of models that norm what attention and feed-forward give.
_NORMED = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_PAIRED = ("llama", "granite", "smollm3")


def gguf_name(name: str, norms: Norms = "before") -> str:
    """llama.cpp's name of the tensor that is canonically called ``name``.

    ``norms``: where the model's layers have theirs.
    """
    if name in _OUTER:
        return _OUTER[name]
    _, _, layer, *inner, suffix = name.split(".")
    inner_name = ".".join(inner)
    short = _INNER[inner_name] if norms == "before" else _NORMED.get(inner_name) or (
        _INNER[inner_name])
    return f"blk.{layer}.{short}.{suffix}"


def scale_name(name: str) -> str:
    """The one-element tensor that multiplies the outputs of a linear weight, by canonical name."""
    return gguf_name(name).removesuffix("weight") + "scale"


def is_paired(name: str, architecture: str) -> bool:
    """Whether a tensor's rows are in the order of llama.cpp's own rotary embedding.

    That rotates neighbours; ours, like Hugging Face's, rotates element d with d + head_dim / 2.
    Some architectures have it, for the rows (and biases) of q and k.
    """
    return architecture in _PAIRED and (".q_proj." in name or ".k_proj." in name)


def paired_rows(rows: int, config: ModelConfig) -> np.ndarray:
    """The canonical row at each place of llama.cpp's order: int64 [rows]."""
    half = config.head_dim // 2
    return np.arange(rows).reshape(-1, 2, half).transpose(0, 2, 1).reshape(-1)


def canonical_rows(rows: int, config: ModelConfig) -> np.ndarray:
    """Inverse of ``paired_rows``: for each canonical row, where it stands in the file."""
    return np.arange(rows).reshape(-1, config.head_dim // 2, 2).transpose(0, 2, 1).reshape(-1)
