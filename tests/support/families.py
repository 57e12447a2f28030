"""Tiny random models of the dense families, with windows and contexts shorter than the tests'."""

from support.checkpoints import Variant

WINDOW = 16
HALF = 8   # of a head's 16 channels
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0,
        "original_max_position_embeddings": 32}
LONG = {
    "rope_type": "longrope", "rope_theta": 10_000.0,
    "short_factor": [1.0 + 0.05 * i for i in range(HALF)],
    "long_factor": [1.0 + 0.5 * i for i in range(HALF)],
}
PARTIAL = {
    **LONG, "partial_rotary_factor": 0.75, "short_factor": LONG["short_factor"][:6],
    "long_factor": LONG["long_factor"][:6],
}
GEMMA = {"head_dim": 16, "sliding_window": WINDOW, "query_pre_attn_scalar": 24, "pad_token_id": 2}
MULTIPLIERS = {"embedding_multiplier": 12.0, "logits_scaling": 0.25, "residual_multiplier": 0.22,
               "attention_multiplier": 0.09, "pad_token_id": 2}
MINISTRAL3 = {
    **YARN, "original_max_position_embeddings": 16, "beta_fast": 32.0, "beta_slow": 1.0,
    "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
}

# By name; what ``Variant`` says.
FAMILIES = {
    "gemma2": Variant("Gemma2", {
        **GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": Variant("Gemma3", {
        **GEMMA, "layer_types": ["sliding_attention", "full_attention"], "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": ROPE}}, config_class="Gemma3TextConfig"),
    "granite": Variant("Granite", MULTIPLIERS),
    "ministral": Variant("Ministral", {
        "head_dim": 16, "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"]}),
    "ministral3": Variant("Ministral3", {"head_dim": 16, "rope_parameters": MINISTRAL3}),
    "olmo2": Variant("Olmo2", {"pad_token_id": 2}),
    "olmo3": Variant("Olmo3", {
        "sliding_window": WINDOW, "pad_token_id": 2,
        "layer_types": ["sliding_attention", "full_attention"], "rope_parameters": {
            "full_attention": {**YARN, "rope_theta": 5e5},
            "sliding_attention": {**ROPE, "rope_theta": 5e5}}}),
    "phi3": Variant("Phi3", {"sliding_window": WINDOW, "pad_token_id": 2,
                             "original_max_position_embeddings": 128}),
    "phi3-long": Variant("Phi3", {
        "rope_parameters": LONG, "original_max_position_embeddings": 32, "pad_token_id": 2}),
    "phi4-mini": Variant("Phi3", {
        "rope_parameters": PARTIAL, "original_max_position_embeddings": 32, "pad_token_id": 2,
        "tie_word_embeddings": True}),
    "smollm3": Variant("SmolLM3", {"no_rope_layer_interval": 2, "pad_token_id": 2}),
    "qwen2-yarn": Variant("Qwen2", {"rope_parameters": YARN}),
    "llama-dynamic": Variant("Llama", {
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
        "max_position_embeddings": 32}),
}
