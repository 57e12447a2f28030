"""What a model is: the description that every other part of the toolkit reads."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from .errors import TrilobiteError

__all__ = [
    "LINEAR_NAMES",
    "LINEAR_STAGES",
    "Activation",
    "Experts",
    "Family",
    "LayerNorms",
    "ModelConfig",
    "Norms",
    "Rope",
    "RopeScaling",
    "refuse_experts",
]

Family = Literal[
    "llama", "mistral", "qwen2", "qwen3", "bitnet", "gemma2", "gemma3", "phi3", "smollm3", "olmo2",
    "olmo3", "granite", "ministral", "ministral3", "mixtral", "olmoe", "qwen3_moe",
    "gpt_oss",
]
Activation = Literal["silu", "relu2", "gelu_tanh"]

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

    As ``transformers`` ``modeling_rope_utils`` has them. ``linear`` divides every frequency by
    ``factor``; ``llama3`` divides the low ones, keeps the high ones and blends between them (Llama
    3.1); ``yarn`` blends between channels that turn ``beta_fast`` and ``beta_slow`` times over the
    original context (arXiv 2309.00071), whole channels if ``whole``; ``longrope`` divides each by
    a number of its own, of ``short`` up to the original context and of ``long`` beyond it (arXiv
    2402.13753); ``dynamic`` raises the base with the length of the sequence. ``magnitude``
    multiplies cosine and sine.
    """

    kind: Literal["linear", "llama3", "yarn", "longrope", "dynamic"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    whole: bool = True
    short: tuple[float, ...] = ()
    long: tuple[float, ...] = ()
    magnitude: float = 1.0


@dataclass(frozen=True)
class Rope:
    """Rotary embedding of a layer: of the first ``width`` channels of each head; 0: none."""

    width: int
    theta: float
    scaling: RopeScaling | None = None


@dataclass(frozen=True)
class LayerNorms:
    """Names of the norms around a layer's two halves; None: there is none at this place."""

    attention_in: str | None
    attention_out: str | None
    feed_forward_in: str | None
    feed_forward_out: str | None

    @property
    def names(self) -> list[str]:
        """Those that there are, in the order of a forward pass."""
        places = (self.attention_in, self.attention_out, self.feed_forward_in,
                  self.feed_forward_out)
        return [name for name in places if name is not None]


Norms = Literal["before", "after", "around"]
_NORMS: dict[Norms, LayerNorms] = {
    "before": LayerNorms("input_layernorm", None, "post_attention_layernorm", None),
    "after": LayerNorms(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
    "around": LayerNorms("input_layernorm", "post_attention_layernorm",
                         "pre_feedforward_layernorm", "post_feedforward_layernorm"),
}


@dataclass(frozen=True)
class Experts:
    """Feed-forward networks of which a router chooses some for each token.

    ``count`` experts of ``intermediate_size`` each; the ``chosen`` ones with the largest router
    logits are used, each times its share: a softmax over the chosen ones where ``normalized``, else
    over all. ``layers`` says which layers have experts (empty: all); the others have one network.

    ``joined``: gate and up are the even and the odd rows of one matrix. ``biases``: every matrix of
    an expert, and the router, has one. ``limit``: the gate is at most that, up at most that in
    magnitude, and (up + 1) * gate * sigmoid(1.702 * gate) is the gated activation (gpt-oss).
    """

    count: int
    chosen: int
    intermediate_size: int
    normalized: bool
    layers: tuple[bool, ...] = ()
    joined: bool = False
    biases: bool = False
    limit: float | None = None

    def stages(self, expert: int) -> tuple[tuple[str, ...], ...]:
        """The matrices of an expert, as in ``ModelConfig.stages``."""
        inputs = ("gate_up_proj",) if self.joined else ("gate_proj", "up_proj")
        prefix = f"mlp.experts.{expert}."
        return tuple(f"{prefix}{name}" for name in inputs), (f"{prefix}down_proj",)


def refuse_experts(config: ModelConfig, name: str, what: str) -> None:
    """Raise ``TrilobiteError`` if the model ``name`` has experts: ``what`` does not know them."""
    if config.experts is not None:
        raise TrilobiteError(
            f"{name} is a mixture of experts ({config.family}), which {what} does not know yet"
        )


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
    experts: Experts | None = None
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    norms: Norms = "before"      # where a layer has its norms, see ``layer_norms``
    gain_offset: float = 0.0     # is added to every norm's weight (Gemma: 1)
    qk_norm_whole: bool = False  # q and k are normed over all heads together
    rotary_width: int | None = None        # channels of a head that are turned; None: all
    window_rope: Rope | None = None        # of layers with a window; None: as in all others
    unturned_layers: tuple[int, ...] = ()  # without rotary embedding
    query_growth: float = 0.0    # see ``query_factors``
    query_period: int = 1        # tokens, of ``query_growth``
    score_scale: float | None = None   # multiplies q k; None: 1 / sqrt(head_dim)
    score_cap: float | None = None     # c: scores become c * tanh(score / c)
    logit_cap: float | None = None     # the same of logits
    sinks: bool = False          # every head has a score of its own beside those of the tokens
    embedding_scale: float = 1.0
    residual_scale: float = 1.0  # of what attention and feed-forward add to the residual stream
    logit_scale: float = 1.0

    @property
    def layer_norms(self) -> LayerNorms:
        """Which norms a layer has around its halves."""
        return _NORMS[self.norms]

    def window(self, layer: int) -> int | None:
        """How many positions (its own included) a token of ``layer`` attends to; None: all."""
        return self.sliding_windows[layer] if self.sliding_windows else None

    def rope(self, layer: int) -> Rope:
        """The rotary embedding of ``layer``."""
        if layer in self.unturned_layers:
            return Rope(0, self.rope_theta)
        if self.window_rope is not None and self.window(layer) is not None:
            return self.window_rope
        width = self.head_dim if self.rotary_width is None else self.rotary_width
        return Rope(width, self.rope_theta, self.rope_scaling)

    @property
    def plain_keys(self) -> bool:
        """Whether a key is what its projection gives, turned as a whole, in every layer."""
        return not (self.qk_norm or self.unturned_layers or self.rotary_width)

    def refusal(self, known: Container[str]) -> str | None:
        """The peculiarities that are not among ``known``, in words after "has"; None: none."""
        words = [words for name, words in self.peculiarities().items() if name not in known]
        return " and ".join(words) or None

    def peculiarities(self) -> dict[str, str]:
        """By name, what an engine must have beyond a Llama's layer, in words after "it has".

        Who describes or runs models in another way refuses what it does not know. Biases,
        activation and ``sub_norm`` are not among them.
        """
        scaling = self.rope_scaling
        found = {
            "experts": (self.experts is not None, "experts that a router chooses"),
            "qk_norm": (self.qk_norm, "norms of queries and keys"),
            "qk_norm_whole": (self.qk_norm_whole, "norms over all heads together"),
            "windows": (any(self.sliding_windows), "sliding windows"),
            "norms": (self.norms != "before", f"norms {self.norms} attention and feed-forward"),
            "gain_offset": (self.gain_offset != 0,
                            f"norm weights to which {self.gain_offset:g} is added"),
            "rotary_width": (self.rotary_width not in (None, self.head_dim),
                             "rotary embedding of a part of each head"),
            "window_rope": (self.window_rope is not None,
                            "rotary angles of their own in layers with a window"),
            "unturned_layers": (bool(self.unturned_layers), "layers without rotary embedding"),
            "query_growth": (self.query_growth != 0, "queries that grow with the position"),
            "score_scale": (self.score_scale is not None, "a scale of attention scores of its own"),
            "score_cap": (self.score_cap is not None, "soft-capped attention scores"),
            "sinks": (self.sinks, "attention sinks"),
            "logit_cap": (self.logit_cap is not None, "soft-capped logits"),
            "embedding_scale": (self.embedding_scale != 1, "scaled embeddings"),
            "residual_scale": (self.residual_scale != 1, "scaled residual updates"),
            "logit_scale": (self.logit_scale != 1, "scaled logits"),
        }
        if scaling is not None:
            found[f"rope_{scaling.kind}"] = (True, f"rotary scaling {scaling.kind}")
        return {name: words for name, (there, words) in found.items() if there}

    def has_experts(self, layer: int) -> bool:
        """Whether the feed-forward of ``layer`` is made of experts."""
        if self.experts is None:
            return False
        return self.experts.layers[layer] if self.experts.layers else True

    def stages(self, layer: int) -> tuple[tuple[str, ...], ...]:
        """``linears`` by shared input, as ``LINEAR_STAGES``: each expert has two of its own."""
        if self.experts is None or not self.has_experts(layer):
            return LINEAR_STAGES
        experts = [stage for expert in range(self.experts.count)
                   for stage in self.experts.stages(expert)]
        return (*LINEAR_STAGES[:2], *experts)

    def linears(self, layer: int) -> tuple[str, ...]:
        """The matrices of ``layer``: ``LINEAR_NAMES``, or those of attention and of all experts."""
        return tuple(name for stage in self.stages(layer) for name in stage)

    def linear_shape(self, name: str) -> tuple[int, int]:
        """Shape [M, K] of one of ``linears``."""
        if self.experts is not None and name.startswith("mlp.experts."):
            width = self.experts.intermediate_size
            if name.endswith("down_proj"):
                return self.hidden_size, width
            return (2 if self.experts.joined else 1) * width, self.hidden_size
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
        """Whether one of ``linears`` adds a bias."""
        if self.experts is not None and name.startswith("mlp.experts."):
            return self.experts.biases
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
            for norm in self.layer_norms.names:
                shapes[f"{prefix}{norm}.weight"] = (self.hidden_size,)
            if self.qk_norm:
                heads, kv = (self.num_heads, self.num_kv_heads) if self.qk_norm_whole else (1, 1)
                shapes[f"{prefix}self_attn.q_norm.weight"] = (heads * self.head_dim,)
                shapes[f"{prefix}self_attn.k_norm.weight"] = (kv * self.head_dim,)
            if self.sinks:
                shapes[f"{prefix}self_attn.sinks"] = (self.num_heads,)
            if self.sub_norm:
                attention_width = self.num_heads * self.head_dim
                shapes[f"{prefix}self_attn.attn_sub_norm.weight"] = (attention_width,)
                shapes[f"{prefix}mlp.ffn_sub_norm.weight"] = (self.intermediate_size,)
            if self.experts is not None and self.has_experts(layer):
                shapes[f"{prefix}mlp.gate.weight"] = (self.experts.count, self.hidden_size)
                if self.experts.biases:
                    shapes[f"{prefix}mlp.gate.bias"] = (self.experts.count,)
            for name in self.linears(layer):
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
            for name in self.linears(layer)
        ]
