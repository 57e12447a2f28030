"""A small Llama checkpoint folder with random weights, written without ``transformers``."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from trilobite.quant.checkpoint import parse_config

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 48, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "tie_word_embeddings": False,
    "attention_bias": True, "bos_token_id": 0, "eos_token_id": 1,
}


def write_llama(folder: Path, dtype=ml_dtypes.bfloat16, **changes) -> dict[str, np.ndarray]:
    """Write ``CONFIG`` with ``changes`` and its weights into ``folder``; return the weights."""
    config = {**CONFIG, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    generator = np.random.default_rng(0)
    shapes = parse_config(config, folder / "config.json").tensor_shapes()
    tensors = {
        name: (generator.standard_normal(shape) * 0.1).astype(dtype)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return tensors


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
