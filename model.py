"""What a model is: the description that every other part of the toolkit reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LINEAR_NAMES", "LINEAR_STAGES", "Activation", "ModelConfig", "RopeScaling"]

Family = Literal["llama", "mistral", "qwen2", "qwen3", "bitnet"]
Activation = Literal["silu", "relu2"]

# Matrices of a decoder layer that share an input, in the order in which a forward pass uses them.
LINEAR_STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
LINEAR_NAMES = tuple(name for stage in LINEAR_STAGES for name in stage)   # all seven


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched for contexts longer than those trained on.

    ``linear`` divides every frequency by ``factor``; ``llama3`` divides the low ones, keeps the
    high ones and blends between them (Llama 3.1, ``transformers`` ``modeling_rope_utils``).
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer, as far as its arithmetic goes.

    Shapes: a linear weight is [M, K] (output rows, reduction); ``q_proj`` is
    [num_heads * head_dim, hidden_size], ``k_proj`` and ``v_proj`` [num_kv_heads * head_dim,
    hidden_size], ``o_proj`` [hidden_size, num_heads * head_dim].
    """

    family: Family
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    activation: Activation = "silu"
    tie_word_embeddings: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False        # RMSNorm over each head of q and k, before the rotary embedding
    sub_norm: bool = False       # RMSNorm before o_proj and before down_proj (BitNet's SubLN)
    bitlinear: bool = False      # linears were trained ternary with int8 activations
    sliding_windows: tuple[int | None, ...] = ()   # per layer; empty: every layer sees all
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    def window(self, layer: int) -> int | None:
        """How many positions (its own included) a token of ``layer`` attends to; None: all."""
        return self.sliding_windows[layer] if self.sliding_windows else None

    def linear_shape(self, name: str) -> tuple[int, int]:
        """Shape [M, K] of one of ``LINEAR_NAMES``."""
        heads, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {
            "self_attn.q_proj": (heads, self.hidden_size),
            "self_attn.k_proj": (kv, self.hidden_size),
            "self_attn.v_proj": (kv, self.hidden_size),
            "self_attn.o_proj": (self.hidden_size, heads),
            "mlp.gate_proj": (self.intermediate_size, self.hidden_size),
            "mlp.up_proj": (self.intermediate_size, self.hidden_size),
            "mlp.down_proj": (self.hidden_size, self.intermediate_size),
        }[name]

    def has_bias(self, name: str) -> bool:
        """Whether one of ``LINEAR_NAMES`` adds a bias."""
        if name.startswith("mlp."):
            return self.mlp_bias
        return self.o_bias if name.endswith("o_proj") else self.qkv_bias

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the model under its canonical (Hugging Face) name, with its shape."""
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocab_size, self.hidden_size)
        }
        for layer in range(self.num_layers):
            prefix = f"model.layers.{layer}."
            shapes[f"{prefix}input_layernorm.weight"] = (self.hidden_size,)
            shapes[f"{prefix}post_attention_layernorm.weight"] = (self.hidden_size,)
            if self.qk_norm:
                shapes[f"{prefix}self_attn.q_norm.weight"] = (self.head_dim,)
                shapes[f"{prefix}self_attn.k_norm.weight"] = (self.head_dim,)
            if self.sub_norm:
                attention_width = self.num_heads * self.head_dim
                shapes[f"{prefix}self_attn.attn_sub_norm.weight"] = (attention_width,)
                shapes[f"{prefix}mlp.ffn_sub_norm.weight"] = (self.intermediate_size,)
            for name in LINEAR_NAMES:
                shapes[f"{prefix}{name}.weight"] = self.linear_shape(name)
                if self.has_bias(name):
                    shapes[f"{prefix}{name}.bias"] = self.linear_shape(name)[:1]
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        return shapes

    def linear_weights(self) -> list[str]:
        """Canonical names of all layers' linear weights, layer by layer."""
        return [
            f"model.layers.{layer}.{name}.weight"
            for layer in range(self.num_layers)
            for name in LINEAR_NAMES
        ]
