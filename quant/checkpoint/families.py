"""config.json into ``ModelConfig``: what each architecture's fields mean.

Every field is either understood, or known not to change the arithmetic, or refused by name. A new
architecture is one row of ``ARCHITECTURES`` as long as it differs from Llama only in what a row can
say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...model import Activation, ModelConfig, RopeScaling
from .architectures import ARCHITECTURES, Architecture
from .experts import take_experts
from .files.fields import Fields, shown
from .files.special_tokens import end_token_ids
from .quantization import BitnetStorage, parse_quantization
from .rope import take_ropes

__all__ = ["MAX_LAYERS", "MAX_POSITIONS", "MAX_VOCABULARY", "MAX_WIDTH", "parse_config"]

# Far above any model, far below what would make the toolkit slow before it looks at a tensor.
MAX_WIDTH = 1 << 20
MAX_LAYERS = 4096
MAX_VOCABULARY = 1 << 24
MAX_POSITIONS = 1 << 30


# Activation functions by their names in ``transformers.activations.ACT2FN``.
_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu", "swish": "silu", "relu2": "relu2", "gelu_pytorch_tanh": "gelu_tanh",
}
_DEFAULT_NAMES = {"gelu_tanh": "gelu_pytorch_tanh"}   # where they differ

# Fields that say how the model was trained, stored or sampled, not what it computes.
_BOOKKEEPING = (
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path",
    "attn_implementation", "auto_map", "dtype", "name_or_path", "tokenizer_class", "torch_dtype",
    "torchscript", "transformers.js_config", "transformers_version", "unsloth_fixed",
    "unsloth_version", "use_bfloat16", "use_cache", "return_dict", "output_attentions",
    "output_hidden_states", "pad_token_id", "sep_token_id", "cls_token_id", "is_decoder",
    "is_bitnet_config", "is_llama_config", "quantization_config", "source_quantization_config",
)
_TRAINING = (
    "attention_dropout", "chunk_size_feed_forward", "classifier_dropout", "finetuning_task",
    "hidden_dropout", "id2label", "initializer_range", "label2id", "max_sequence_length",
    "neftune_noise_alpha", "num_labels", "output_router_logits", "pretraining_tp",
    "problem_type", "resid_pdrop", "router_aux_loss_coef", "router_jitter_noise",
    "task_specific_params",
)
_GENERATION = (
    "bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty",
    "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_scores", "prefix", "remove_invalid_values",
    "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "temperature",
    "top_k", "top_p", "typical_p",
)


def parse_config(raw: dict[str, Any], path: Path) -> ModelConfig:
    """Turn the content of config.json into the description of a model.

    Parameters
    ----------
    raw
        The parsed JSON object.
    path
        Its file, for error messages.

    Raises
    ------
    CheckpointError
        The architecture is unknown, a field is missing, out of range, contradicts another one,
        or could change the result and is not understood.
    """
    fields = Fields(raw, str(path))
    architecture = _architecture(fields, path)
    storage = parse_quantization(raw, path).bitnet
    sizes = dict(architecture.sizes)

    def size(name: str, most: int) -> int:
        return fields.integer(name, most, default=sizes.get(name))

    num_heads = size("num_attention_heads", MAX_WIDTH)
    hidden_size = size("hidden_size", MAX_WIDTH)
    num_layers = size("num_hidden_layers", MAX_LAYERS)
    vocab_size = size("vocab_size", MAX_VOCABULARY)
    max_positions = size("max_position_embeddings", MAX_POSITIONS)
    head_dim = _head_dim(fields, architecture, hidden_size, num_heads)
    ropes = take_ropes(fields, path, max_positions, head_dim, architecture.rope)
    activation = architecture.activation
    attention_bias = _bias(fields, "attention_bias", architecture.attention_bias)
    config = ModelConfig(
        family=architecture.family,
        hidden_size=hidden_size,
        intermediate_size=size("intermediate_size", MAX_WIDTH),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=_num_kv_heads(fields, architecture, num_heads),
        head_dim=head_dim,
        vocab_size=vocab_size,
        max_position_embeddings=_positions(max_positions, ropes["rope_scaling"]),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-12, 1.0, default=architecture.rms_norm_eps),
        **ropes,
        activation=_ACTIVATIONS[fields.choice(
            architecture.activation_field, _ACTIVATIONS,
            default=_DEFAULT_NAMES.get(activation, activation),
        )],
        tie_word_embeddings=fields.boolean("tie_word_embeddings", default=architecture.tied),
        qkv_bias=attention_bias,
        o_bias=attention_bias if architecture.o_bias is None else architecture.o_bias,
        mlp_bias=_bias(fields, "mlp_bias", architecture.mlp_bias),
        qk_norm=architecture.qk_norm,
        qk_norm_whole=architecture.qk_norm_whole,
        sub_norm=architecture.sub_norm,
        norms=architecture.norms,
        gain_offset=architecture.gain_offset,
        bitlinear=_bitlinear(fields, architecture, storage),
        sliding_windows=_windows(fields, architecture, num_layers),
        experts=take_experts(fields, architecture.experts, num_layers, MAX_WIDTH),
        bos_token_id=fields.optional_integer("bos_token_id", vocab_size - 1, low=0),
        eos_token_ids=end_token_ids(fields, vocab_size),
        **(architecture.more(fields, num_layers, head_dim) if architecture.more else {}),
    )
    _finish(fields)
    return config


def _architecture(fields: Fields, path: Path) -> Architecture:
    """The row that ``architectures`` names or, where it is absent, ``model_type``."""
    model_type = fields.raw("model_type")
    names = fields.raw("architectures")
    if names is None:
        names = [name for name, row in ARCHITECTURES.items() if row.model_types[0] == model_type]
        names = names[:1]
    known = list(ARCHITECTURES)
    if not isinstance(names, list) or len(names) != 1 or names[0] not in known:
        found = f"of model_type {shown(model_type)}" if names == [] else shown(names)
        raise CheckpointError(
            f'{path}: "architectures": architecture {found} is not supported; known are '
            f"{', '.join(known)}"
        )
    architecture = ARCHITECTURES[names[0]]
    if model_type is not None and model_type not in architecture.model_types:
        raise fields.refuse(
            "model_type", f'"{architecture.model_types[0]}", as its architecture is {names[0]}'
        )
    return architecture


def _num_kv_heads(fields: Fields, architecture: Architecture, num_heads: int) -> int:
    """Key and value heads; an explicit null means one for each head."""
    default = architecture.num_kv_heads
    if default is None or fields.stated("num_key_value_heads"):
        default = num_heads
    count = fields.integer("num_key_value_heads", num_heads, default=default)
    if num_heads % count:
        raise fields.refuse("num_key_value_heads", f"a divisor of the {num_heads} attention heads")
    return count


def _head_dim(
    fields: Fields, architecture: Architecture, hidden_size: int, num_heads: int
) -> int:
    default = architecture.head_dim or hidden_size // num_heads
    if not fields.present("head_dim") and not architecture.head_dim and hidden_size % num_heads:
        raise fields.refuse(
            "hidden_size", f'a multiple of the {num_heads} attention heads, or "head_dim" be given'
        )
    head_dim = fields.integer("head_dim", MAX_WIDTH, default=default)
    if head_dim % 2:
        raise fields.refuse("head_dim", f"even, as rotary embeddings need (it is {head_dim})")
    return head_dim


def _bias(fields: Fields, name: str, implied: bool | None) -> bool:
    """A bias that the config switches, or that the architecture fixes."""
    if implied is None:
        return fields.boolean(name, default=False)
    fields.fixed(name, implied)
    return implied


def _bitlinear(fields: Fields, architecture: Architecture, storage: BitnetStorage | None) -> bool:
    if architecture.master_weights:
        fields.fixed("weight_bits", 1)
        fields.fixed("input_bits", 8)
        return True
    return storage is not None


def _positions(stated: int, scaling: RopeScaling | None) -> int:
    """How far a model reaches: kinds of scaling that state the context before they stretch it."""
    if scaling is not None and scaling.kind in ("dynamic", "yarn"):
        stretched = int(scaling.factor * scaling.original_max_position_embeddings)
        return min(max(stated, stretched), MAX_POSITIONS)
    return stated


def _windows(
    fields: Fields, architecture: Architecture, num_layers: int
) -> tuple[int | None, ...]:
    """How far each layer sees; empty where every layer sees everything."""
    if architecture.windows == "none":
        return ()
    window = fields.optional_integer("sliding_window", MAX_POSITIONS)
    if not fields.stated("sliding_window"):
        window = architecture.window
    if architecture.windows == "all layers":
        return () if window is None else (window,) * num_layers
    if architecture.windows == "some layers":
        if not fields.boolean("use_sliding_window", default=False):
            window = None
        first = fields.integer("max_window_layers", 1 << 20, low=0, default=28)
        usual = [layer >= first for layer in range(num_layers)]
    else:
        every = architecture.full_every
        for name in ("_sliding_window_pattern", "sliding_window_pattern") if every else ():
            every = fields.integer(name, 1 << 20, default=every)
        usual = [every is None or (layer + 1) % every != 0 for layer in range(num_layers)]
    sliding = _sliding_layers(fields, num_layers, window, usual)
    return tuple(window if slides else None for slides in sliding) if any(sliding) else ()


def _sliding_layers(
    fields: Fields, num_layers: int, window: int | None, usual: list[bool]
) -> list[bool]:
    """Which layers have a window: by ``layer_types``, else as ``usual``."""
    kinds = fields.raw("layer_types")
    if kinds is None:
        return [window is not None and slides for slides in usual]
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != num_layers or any(
        kind not in known for kind in kinds
    ):
        raise fields.refuse("layer_types", f"a list of {num_layers} words out of {known}")
    sliding = [kind == "sliding_attention" for kind in kinds]
    if any(sliding) and window is None:
        raise fields.refuse("layer_types", "without sliding_attention, as there is no window")
    return sliding


def _finish(fields: Fields) -> None:
    """Tick off what cannot matter and what is supported with one value only; refuse the rest."""
    fields.ignore(_BOOKKEEPING)
    fields.ignore(_TRAINING)
    fields.ignore(_GENERATION)
    for name in ("is_encoder_decoder", "add_cross_attention", "use_mrope", "rope_interleaved"):
        fields.fixed(name, False)
    fields.fixed("pruned_heads", {})
    fields.finish()
