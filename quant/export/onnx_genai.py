"""``genai_config.json``: what onnxruntime-genai must know of a model folder."""

from __future__ import annotations

from typing import Any

from ...model import ModelConfig

__all__ = ["genai_config"]

# Decoder-only models are run alike; a family without a name of its own there takes llama's.
_TYPES = {"llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "qwen3": "qwen3"}


def genai_config(config: ModelConfig, filename: str, positions: int) -> dict[str, Any]:
    """The JSON object, for a decoder in ``filename`` that can take ``positions`` tokens."""
    inputs = {
        "input_ids": "input_ids",
        "attention_mask": "attention_mask",
        "past_key_names": "past_key_values.%d.key",
        "past_value_names": "past_key_values.%d.value",
    }
    outputs = {
        "logits": "logits",
        "present_key_names": "present.%d.key",
        "present_value_names": "present.%d.value",
    }
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": filename,
        "head_size": config.head_dim,
        "hidden_size": config.hidden_size,
        "inputs": inputs,
        "outputs": outputs,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_kv_heads,
    }
    ends = list(config.eos_token_ids)
    begin = 0 if config.bos_token_id is None else config.bos_token_id
    model = {
        "type": _TYPES.get(config.family, "llama"),
        "bos_token_id": begin,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "pad_token_id": ends[0] if ends else begin,
        "context_length": positions,
        "vocab_size": config.vocab_size,
        "decoder": decoder,
    }
    search = {
        "do_sample": False, "early_stopping": True, "max_length": positions, "min_length": 0,
        "num_beams": 1, "num_return_sequences": 1, "past_present_share_buffer": False,
        "repetition_penalty": 1.0, "temperature": 1.0, "top_k": 1, "top_p": 1.0,
    }
    return {"model": model, "search": search}
