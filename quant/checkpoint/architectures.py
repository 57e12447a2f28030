"""What each class of ``transformers`` fixes: a row for each architecture that is read.

Defaults are those of ``transformers`` 5 (``models/*/configuration_*.py``). What only one family's
config.json says is a function that a row names as ``more``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ...model import Activation, Family, Norms
from .experts import ExpertFields
from .files.fields import Fields
from .rope import RopeDefaults

__all__ = ["ARCHITECTURES", "Architecture"]

_LARGEST = 1e6
_PLAIN = RopeDefaults()
# From the config, the number of layers and head_dim, to fields of ``ModelConfig``.
More = Callable[[Fields, int, int], dict[str, Any]]


@dataclass(frozen=True)
class Architecture:
    """What one class of ``transformers`` fixes, and the defaults of what it leaves open.

    ``windows``: none; in all layers, if the config states one; in some, if ``use_sliding_window``
    says so; or "by type": in all but every ``full_every``-th, unless ``layer_types`` says which.
    """

    family: Family
    model_types: tuple[str, ...]
    activation: Activation = "silu"
    activation_field: str = "hidden_act"
    rms_norm_eps: float = 1e-6
    rope: RopeDefaults = _PLAIN
    num_kv_heads: int | None = None          # None: one for each head
    head_dim: int | None = None              # None: hidden_size / num_heads
    attention_bias: bool | None = None       # None: the config's field of this name
    mlp_bias: bool | None = False            # None: the config's field of this name
    o_bias: bool | None = None               # None: as attention_bias
    tied: bool = False                       # the default of tie_word_embeddings
    qk_norm: bool = False
    qk_norm_whole: bool = False
    sub_norm: bool = False
    norms: Norms = "before"
    gain_offset: float = 0.0
    master_weights: bool = False             # trained ternary, and the config need not say so
    windows: Literal["none", "all layers", "some layers", "by type"] = "none"
    window: int | None = 4096                # the default of sliding_window
    full_every: int | None = None            # None: no layer
    experts: ExpertFields | None = None
    more: More | None = None
    sizes: tuple[tuple[str, int], ...] = ()  # defaults of fields that others must state


def _optional(fields: Fields, name: str, default: float | None) -> float | None:
    """A positive number; null means that there is none, and absence the ``default``."""
    if fields.stated(name) and not fields.present(name):
        fields.ignore([name])
        return None
    if default is None and not fields.present(name):
        return None
    return fields.number(name, 1e-6, _LARGEST, default=default)


def _gemma(score_cap: float | None, logit_cap: float | None) -> More:
    """Gemma 2 and 3, with the defaults of their soft caps."""
    def more(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
        del num_layers
        scalar = fields.number("query_pre_attn_scalar", 1e-3, _LARGEST, default=256)
        fields.fixed("use_bidirectional_attention", False)
        fields.ignore(["cache_implementation", "hidden_act"])   # hidden_activation decides
        width = fields.raw("hidden_size") or 2304
        return {
            "embedding_scale": width**0.5,
            "score_scale": None if scalar == head_dim else scalar**-0.5,
            "score_cap": _optional(fields, "attn_logit_softcapping", score_cap),
            "logit_cap": _optional(fields, "final_logit_softcapping", logit_cap),
        }

    return more


def _granite(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
    """Granite 3: four multipliers."""
    del num_layers
    score = fields.number("attention_multiplier", 1e-6, _LARGEST, default=1.0)
    return {
        "embedding_scale": fields.number("embedding_multiplier", 1e-6, _LARGEST, default=1.0),
        "residual_scale": fields.number("residual_multiplier", 1e-6, _LARGEST, default=1.0),
        "score_scale": None if score == head_dim**-0.5 else score,
        "logit_scale": 1 / fields.number("logits_scaling", 1e-6, _LARGEST, default=1.0),
    }


def _smollm3(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
    """SmolLM3: every fourth layer turns nothing."""
    del head_dim
    every = fields.integer("no_rope_layer_interval", 1 << 20, default=4)
    turned = fields.raw("no_rope_layers")
    if turned is None:
        turned = [int((layer + 1) % every != 0) for layer in range(num_layers)]
    if not isinstance(turned, list) or len(turned) != num_layers or any(
        type(value) is not int or value not in (0, 1) for value in turned
    ):
        raise fields.refuse("no_rope_layers", f"a list of {num_layers} zeros and ones")
    return {"unturned_layers": tuple(layer for layer in range(num_layers) if not turned[layer])}


def _olmoe(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
    """OLMoE: queries, keys and values are not clipped."""
    del num_layers, head_dim
    fields.fixed("clip_qkv", None)
    return {}


def _gpt_oss(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
    """gpt-oss: attention sinks; its own code reads the original context elsewhere."""
    del num_layers, head_dim
    fields.ignore(["initial_context_length"])
    return {"sinks": True}


def _phi3(fields: Fields, num_layers: int, head_dim: int) -> dict[str, Any]:
    """Phi-3: fields that Phi-4-mini's own code would read."""
    del num_layers, head_dim
    fields.ignore(["embd_pdrop", "original_max_position_embeddings"])
    fields.fixed("lm_head_bias", False)
    for name in ("full_attn_mod", "interpolate_factor"):
        fields.fixed(name, 1)
    return {}


ARCHITECTURES = {
    "LlamaForCausalLM": Architecture("llama", ("llama",), mlp_bias=None),
    "MistralForCausalLM": Architecture(
        "mistral", ("mistral",), num_kv_heads=8, attention_bias=False, windows="all layers"
    ),
    "Qwen2ForCausalLM": Architecture(
        "qwen2", ("qwen2",), num_kv_heads=32, attention_bias=True, o_bias=False,
        windows="some layers",
    ),
    "Qwen3ForCausalLM": Architecture(
        "qwen3", ("qwen3",), num_kv_heads=32, head_dim=128, qk_norm=True, windows="some layers"
    ),
    "BitNetForCausalLM": Architecture(
        "bitnet", ("bitnet",), activation="relu2", rms_norm_eps=1e-5, rope=RopeDefaults(500_000.0),
        num_kv_heads=5, sub_norm=True,
    ),
    # The first reproduction (1bitLLM/bitnet_b1_58-*): a Llama with SubLN, master weights only.
    "BitnetForCausalLM": Architecture(
        "bitnet", ("bitnet", "llama"), sub_norm=True, master_weights=True
    ),
    "Gemma2ForCausalLM": Architecture(
        "gemma2", ("gemma2",), activation="gelu_tanh", activation_field="hidden_activation",
        num_kv_heads=4, head_dim=256, tied=True, norms="around", gain_offset=1.0,
        windows="by type", full_every=2, more=_gemma(score_cap=50.0, logit_cap=30.0),
    ),
    "Gemma3ForCausalLM": Architecture(
        "gemma3", ("gemma3_text",), activation="gelu_tanh", activation_field="hidden_activation",
        num_kv_heads=4, head_dim=256, tied=True, qk_norm=True, norms="around", gain_offset=1.0,
        rope=RopeDefaults(1e6, window_theta=1e4), windows="by type", full_every=6,
        more=_gemma(score_cap=None, logit_cap=None), sizes=(
            ("hidden_size", 2304), ("intermediate_size", 9216), ("num_hidden_layers", 26),
            ("num_attention_heads", 8), ("vocab_size", 262_208),
            ("max_position_embeddings", 131_072)),
    ),
    "GptOssForCausalLM": Architecture(
        "gpt_oss", ("gpt_oss",), rms_norm_eps=1e-5, rope=RopeDefaults(1.5e5), num_kv_heads=8,
        head_dim=64, attention_bias=True, windows="by type", window=128, full_every=2,
        experts=ExpertFields(("num_local_experts", "num_experts"), 128, 4, "intermediate_size",
                             True, gpt_oss=True),
        more=_gpt_oss,
    ),
    "GraniteForCausalLM": Architecture("granite", ("granite",), mlp_bias=None, more=_granite),
    "MinistralForCausalLM": Architecture(
        "ministral", ("ministral",), num_kv_heads=8, attention_bias=False, windows="by type"
    ),
    "Ministral3ForCausalLM": Architecture(
        "ministral3", ("ministral3",), num_kv_heads=8, head_dim=128, rms_norm_eps=1e-5,
        attention_bias=False, windows="all layers", window=None,
    ),
    "MixtralForCausalLM": Architecture(
        "mixtral", ("mixtral",), rms_norm_eps=1e-5, rope=RopeDefaults(1e6), num_kv_heads=8,
        attention_bias=False, windows="all layers", window=None,
        experts=ExpertFields(("num_local_experts", "num_experts"), 8, 2, "intermediate_size", True),
    ),
    "OlmoeForCausalLM": Architecture(
        "olmoe", ("olmoe",), rms_norm_eps=1e-5, qk_norm=True, qk_norm_whole=True,
        experts=ExpertFields(("num_experts", "num_local_experts"), 64, 8, "intermediate_size",
                             None),
        more=_olmoe,
    ),
    "Olmo2ForCausalLM": Architecture(
        "olmo2", ("olmo2",), rms_norm_eps=1e-5, qk_norm=True, qk_norm_whole=True, norms="after"
    ),
    "Olmo3ForCausalLM": Architecture(
        "olmo3", ("olmo3",), rms_norm_eps=1e-5, qk_norm=True, qk_norm_whole=True, norms="after",
        rope=RopeDefaults(5e5, window_theta=5e5), windows="by type", full_every=4,
    ),
    "Phi3ForCausalLM": Architecture(
        "phi3", ("phi3",), rms_norm_eps=1e-5, attention_bias=False, windows="all layers",
        window=None, more=_phi3,
        rope=RopeDefaults(partial=True, renamed=(("su", "longrope"), ("yarn", "longrope"))),
    ),
    "Qwen3MoeForCausalLM": Architecture(
        "qwen3_moe", ("qwen3_moe",), num_kv_heads=4, qk_norm=True, windows="some layers",
        experts=ExpertFields(("num_experts", "num_local_experts"), 128, 8,
                             "moe_intermediate_size", None, some_layers=True),
    ),
    "SmolLM3ForCausalLM": Architecture(
        "smollm3", ("smollm3",), num_kv_heads=4, mlp_bias=None, tied=True, windows="some layers",
        more=_smollm3,
    ),
}
