"""config.json: what is understood, what is harmless, what is refused and how that is said."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.checkpoints import ONLINE, VARIANTS
from trilobite.errors import CheckpointError
from trilobite.model import ModelConfig, RopeScaling
from trilobite.quant.checkpoint import parse_config

PATH = Path("folder/config.json")
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "bos_token_id": 0,
    "eos_token_id": 1,
}
# As published for 1bitLLM/bitnet_b1_58-large.
OLDER_BITNET = {
    "architectures": ["BitnetForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 1536,
    "initializer_range": 0.02, "input_bits": 8, "intermediate_size": 4096,
    "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 16,
    "num_hidden_layers": 24, "num_key_value_heads": 16, "pad_token_id": 32000,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "torch_dtype": "float32", "use_cache": True,
    "vocab_size": 32002, "weight_bits": 1,
}


def parse(config=None, /, **changes):
    return parse_config({**(config or LLAMA), **changes}, PATH)


def named(architecture, **changes):
    kind = architecture.removesuffix("ForCausalLM").lower()
    return {**LLAMA, "architectures": [architecture], "model_type": kind, **changes}


def test_llama_in_full():
    assert parse() == ModelConfig(
        family="llama", hidden_size=64, intermediate_size=96, num_layers=2, num_heads=4,
        num_kv_heads=2, head_dim=16, vocab_size=128, max_position_embeddings=256,
        rms_norm_eps=1e-5, rope_theta=10000.0, bos_token_id=0, eos_token_ids=(1,),
    )


def test_older_bitnet_has_the_published_number_of_parameters():
    config = parse(OLDER_BITNET)
    assert (config.family, config.activation, config.head_dim) == ("bitnet", "silu", 96)
    assert config.bitlinear
    assert config.sub_norm
    assert sum(math.prod(shape) for shape in config.tensor_shapes().values()) == 728_842_752


@pytest.mark.parametrize(("name", "family", "expected"), [
    ("llama-tied", "llama", {"tie_word_embeddings": True}),
    ("llama-biases", "llama", {"qkv_bias": True, "o_bias": True, "mlp_bias": True}),
    ("llama-head-dim", "llama", {"head_dim": 24}),
    ("llama-one-kv-head", "llama", {"num_kv_heads": 1}),
    ("llama-old-rope", "llama", {"rope_theta": 5e5, "rope_scaling": None}),
    ("llama-llama3", "llama", {
        "rope_theta": 5e4, "rope_scaling": RopeScaling("llama3", 8.0, 1.0, 4.0, 32),
    }),
    ("llama-linear-old", "llama", {"rope_scaling": RopeScaling("linear", 4.0)}),
    ("mistral", "mistral", {"sliding_windows": ()}),
    ("mistral-window", "mistral", {"sliding_windows": (20, 20)}),
    ("qwen2", "qwen2", {"qkv_bias": True, "o_bias": False, "sliding_windows": ()}),
    ("qwen2-window", "qwen2", {"sliding_windows": (None, 12)}),
    ("qwen3", "qwen3", {"qk_norm": True, "head_dim": 32, "qkv_bias": False}),
    ("qwen3-biases", "qwen3", {"qkv_bias": True, "o_bias": True}),
    ("qwen3-window", "qwen3", {"sliding_windows": (16, None)}),
    ("bitnet-float", "bitnet", {"activation": "relu2", "sub_norm": True, "bitlinear": False}),
    ("bitnet-float-silu", "bitnet", {"activation": "silu", "o_bias": True, "rope_theta": 5e5}),
    ("online", "bitnet", {"bitlinear": True}),
    ("bitlinear", "bitnet", {"bitlinear": True}),
    ("older", "bitnet", {"bitlinear": True, "sub_norm": True, "activation": "silu"}),
])
def test_what_transformers_writes_is_understood(library, name, family, expected):
    path = library(name) / "config.json"
    config = parse_config(json.loads(path.read_text()), path)
    assert config.family == family
    assert {field: getattr(config, field) for field in expected} == expected


def test_every_variant_has_rope_in_both_spellings(library):
    old = [name for name, variant in VARIANTS.items() if variant.old_rope]
    assert len(old) == 3
    for name in old:
        raw = json.loads((library(name) / "config.json").read_text())
        assert "rope_parameters" not in raw
        assert "rope_theta" in raw


@pytest.mark.parametrize(("changes", "expected"), [
    ({"num_key_value_heads": None}, {"num_kv_heads": 4}),
    ({"head_dim": None}, {"head_dim": 16}),
    ({"hidden_act": "swish"}, {"activation": "silu"}),
    ({"eos_token_id": [1, 7]}, {"eos_token_ids": (1, 7)}),
    ({"eos_token_id": None, "bos_token_id": None}, {"eos_token_ids": (), "bos_token_id": None}),
    ({"architectures": None}, {"family": "llama"}),
    ({"an_unknown_field": None}, {"family": "llama"}),
    ({"transformers_version": "9", "temperature": 0.6, "id2label": {}}, {"family": "llama"}),
    ({"quantization_config": {"quant_method": "bitnet"}}, {"bitlinear": True}),
    ({"rope_scaling": {"rope_type": "default"}}, {"rope_scaling": None}),
    ({"rope_parameters": {"rope_theta": 3e5}, "rope_theta": None}, {"rope_theta": 3e5}),
    ({"rope_theta": None}, {"rope_theta": 10000.0}),
    ({"partial_rotary_factor": 1}, {"head_dim": 16}),
])
def test_spellings(changes, expected):
    config = parse(**changes)
    assert {field: getattr(config, field) for field in expected} == expected


def test_llama3_scaling_without_original_length_takes_the_whole():
    scaling = {"rope_type": "llama3", "factor": 2, "low_freq_factor": 1, "high_freq_factor": 4}
    assert parse(rope_scaling=scaling).rope_scaling == RopeScaling("llama3", 2.0, 1.0, 4.0, 256)


def test_windows_without_layer_types_start_at_max_window_layers():
    old = named("Qwen2ForCausalLM", num_hidden_layers=3, sliding_window=8, max_window_layers=1)
    assert parse(old, use_sliding_window=True).sliding_windows == (None, 8, 8)
    assert parse(old, use_sliding_window=True, max_window_layers=3).sliding_windows == ()
    assert parse(old).sliding_windows == ()


def test_defaults_of_an_absent_field_are_those_of_the_architecture():
    bare = {name: value for name, value in LLAMA.items() if name not in (
        "num_key_value_heads", "rms_norm_eps", "rope_theta", "hidden_act"
    )}
    bitnet = {**bare, "architectures": ["BitNetForCausalLM"], "model_type": "bitnet"}
    bitnet.update(num_attention_heads=10, hidden_size=160)
    config = parse(bitnet)
    assert (config.num_kv_heads, config.rms_norm_eps, config.rope_theta, config.activation) == (
        5, 1e-5, 500_000.0, "relu2"
    )
    mistral = {**bare, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}
    assert parse(mistral, num_attention_heads=8).sliding_windows == (4096, 4096)
    qwen3 = {**LLAMA, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    assert parse(qwen3).head_dim == 128


@pytest.mark.parametrize(("config", "message"), [
    (named("GemmaForCausalLM"), 'architecture ["GemmaForCausalLM"] is not supported; known are '
     "LlamaForCausalLM, MistralForCausalLM"),
    (named("LlamaForCausalLM", architectures=None, model_type="mamba"),
     'architecture of model_type "mamba" is not supported'),
    (named("LlamaForCausalLM", architectures=["LlamaForCausalLM", "X"]), "is not supported"),
    (named("LlamaForCausalLM", architectures="LlamaForCausalLM"), "is not supported"),
    (named("LlamaForCausalLM", architectures=[{}]), "is not supported"),
    (named("LlamaForCausalLM", model_type="qwen2"), '"model_type" is "qwen2"; it must be "llama"'),
    (named("LlamaForCausalLM", logit_scale=0.5),
     'the field "logit_scale" (here 0.5) is not understood'),
    (named("LlamaForCausalLM", sliding_window=64), 'the field "sliding_window" (here 64)'),
    (named("LlamaForCausalLM", hidden_act="gelu"),
     '"hidden_act" is "gelu"; it must be one of "silu", "swish", "relu2"'),
    (named("LlamaForCausalLM", hidden_size=0),
     '"hidden_size" is 0; it must be an integer from 1 to'),
    (named("LlamaForCausalLM", hidden_size=-64), '"hidden_size" is -64'),
    (named("LlamaForCausalLM", hidden_size=64.0), '"hidden_size" is 64.0'),
    (named("LlamaForCausalLM", hidden_size=True), '"hidden_size" is true'),
    (named("LlamaForCausalLM", hidden_size="64"), '"hidden_size" is "64"'),
    (named("LlamaForCausalLM", hidden_size=1 << 40), '"hidden_size" is 1099511627776'),
    (named("LlamaForCausalLM", hidden_size=66),
     '"hidden_size" is 66; it must be a multiple of the 4 attention heads'),
    (named("LlamaForCausalLM", hidden_size=12), '"head_dim" is null; it must be even'),
    (named("LlamaForCausalLM", head_dim=15), '"head_dim" is 15; it must be even'),
    (named("LlamaForCausalLM", num_hidden_layers=10**9), '"num_hidden_layers" is 1000000000'),
    (named("LlamaForCausalLM", vocab_size=None), 'the field "vocab_size" is missing'),
    (named("LlamaForCausalLM", num_key_value_heads=3),
     '"num_key_value_heads" is 3; it must be a divisor of the 4 attention heads'),
    (named("LlamaForCausalLM", num_key_value_heads=8), '"num_key_value_heads" is 8'),
    (named("LlamaForCausalLM", rms_norm_eps=float("nan")), '"rms_norm_eps" is NaN'),
    (named("LlamaForCausalLM", rms_norm_eps="1e-5"), '"rms_norm_eps" is "1e-5"'),
    (named("LlamaForCausalLM", tie_word_embeddings=1), '"tie_word_embeddings" is 1'),
    (named("LlamaForCausalLM", bos_token_id=128),
     '"bos_token_id" is 128; it must be an integer from 0 to 127'),
    (named("LlamaForCausalLM", eos_token_id=[1, 128]), '"eos_token_id" is [1, 128]'),
    (named("LlamaForCausalLM", partial_rotary_factor=0.5), '"partial_rotary_factor" is 0.5'),
    (named("MistralForCausalLM", attention_bias=True),
     '"attention_bias" is true; it must be false, the only value that is supported'),
    (named("MistralForCausalLM", sliding_window=0), '"sliding_window" is 0'),
    (named("Qwen2ForCausalLM", mlp_bias=True), '"mlp_bias" is true'),
    (named("Qwen2ForCausalLM", layer_types=["full_attention"]),
     '"layer_types" is ["full_attention"]; it must be a list of 2 words'),
    (named("Qwen2ForCausalLM", layer_types=["full_attention", "linear_attention"]),
     '"layer_types" is ["full_attention", "linear_attention"]'),
    (named("Qwen2ForCausalLM", layer_types=["full_attention", "sliding_attention"]),
     "without sliding_attention"),
    (named("Qwen2ForCausalLM", use_mrope=True), '"use_mrope" is true'),
    ({**OLDER_BITNET, "weight_bits": 2}, '"weight_bits" is 2; it must be 1'),
    ({**OLDER_BITNET, "input_bits": 4}, '"input_bits" is 4; it must be 8'),
])
def test_refused_by_name(config, message):
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        parse(config)
    assert str(error.value).startswith(str(PATH))


@pytest.mark.parametrize(("scaling", "message"), [
    ({"type": "ntk", "factor": 4.0}, '"type" is "ntk"; it must be one of "default", "linear", '),
    ({"rope_type": "proportional", "factor": 4.0}, '"rope_type" is "proportional"'),
    ({"rope_type": "dynamic"}, 'the field "factor" is missing'),
    ({"rope_type": "yarn", "factor": 4.0, "beta_fast": 0}, '"beta_fast" is 0'),
    ({"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0] * 7},
     '"long_factor" is'),
    ({"rope_type": "linear", "factor": 2.0, "llama_4_scaling_beta": -1}, '"llama_4_scaling_beta"'),
    ({"rope_type": "linear"}, 'the field "factor" is missing'),
    ({"rope_type": "linear", "factor": 0}, '"factor" is 0'),
    ({"rope_type": "linear", "factor": 2.0, "attention_factor": 1.5}, '"attention_factor"'),
    ({"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}, "partial_rotary"),
    ({"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0}, "the 10000 that stands outside"),
    ({"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4},
     '"high_freq_factor" is 4; it must be above "low_freq_factor", 4'),
    ({"full_attention": {"rope_type": "default"}}, 'the field "full_attention"'),
    ([1, 2], "it must be a JSON object"),
])
@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_rope_is_refused_by_name(spelling, scaling, message):
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        parse(**{spelling: scaling})
    assert f'"{spelling}"' in str(error.value)


def test_rope_spelled_twice_must_agree():
    linear = {"rope_type": "linear", "factor": 2.0}
    assert parse(rope_scaling=linear, rope_parameters=linear).rope_scaling.factor == 2.0
    with pytest.raises(CheckpointError, match='"rope_scaling" and "rope_parameters" contradict'):
        parse(rope_scaling=linear, rope_parameters={**linear, "factor": 4.0})


@pytest.mark.parametrize("quantization", [
    {"bits": 2}, {"modules_to_not_convert": None},
    {"modules_to_not_convert": ["lm_head", "model.embed_tokens"]},
])
def test_notes_of_bitnet_packers_change_nothing(quantization):
    noted = parse(quantization_config={**ONLINE, **quantization}, is_bitnet_config=True,
                  max_sequence_length=2048, neftune_noise_alpha=5)
    assert noted == parse(quantization_config=ONLINE)


@pytest.mark.parametrize(("quantization", "message"), [
    ({"quant_method": "hqq", "bits": 4}, '"quant_method" is "hqq"; it must be one of '),
    ({"bits": 4}, 'the field "quant_method" is missing'),
    ("bitnet", '"quantization_config" is "bitnet"; it must be a JSON object'),
    ({**ONLINE, "linear_class": "linear"}, '"linear_class" is "linear"'),
    ({**ONLINE, "quantization_mode": "dynamic"}, '"quantization_mode" is "dynamic"'),
    ({**ONLINE, "use_rms_norm": True}, '"use_rms_norm" is true'),
    ({**ONLINE, "modules_to_not_convert": []}, '"modules_to_not_convert" is []'),
    ({**ONLINE, "modules_to_not_convert": ["lm_head", "q_proj"]}, '["lm_head", "q_proj"]; it must'),
    ({**ONLINE, "stride": 2}, 'the field "stride" (here 2) is not understood'),
    ({"quant_method": "trilobite", "version": 2, "tensors": {}}, '"version" is 2'),
    ({"quant_method": "trilobite", "version": 1, "tensors": []}, '"tensors" is []'),
    ({"quant_method": "trilobite", "version": 1, "tensors": {"a": 1}}, "the format of a is 1"),
    ({"quant_method": "trilobite", "version": 1, "tensors": {"a": {"format": "int5"}}},
     "the format of a is damaged"),
    ({"quant_method": "trilobite", "version": 1,
      "tensors": {"a": {"format": "int4", "group_size": "x"}}}, "the format of a is damaged"),
])
def test_quantization_is_refused_by_name(quantization, message):
    with pytest.raises(CheckpointError, match=re.escape(message)):
        parse(quantization_config=quantization)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(["Llama", "Mistral", "Qwen2", "Qwen3", "BitNet", "Bitnet"]),
    st.sampled_from([*LLAMA, "rope_scaling", "rope_parameters", "layer_types", "sliding_window",
                     "use_sliding_window", "max_window_layers", "quantization_config",
                     "tie_word_embeddings", "attention_bias", "source_quantization_config"]),
    json_values,
)
def test_any_value_anywhere_is_understood_or_refused(architecture, field, value):
    config = named(f"{architecture}ForCausalLM", **{field: value})
    try:
        understood = parse(config)
    except CheckpointError as error:
        assert str(error).startswith(str(PATH))
    else:
        assert isinstance(understood, ModelConfig)
