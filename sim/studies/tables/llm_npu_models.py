"""The models of llm.npu's figures of graphs (arXiv 2407.05858), by their config.json."""

from __future__ import annotations

from ....model import ModelConfig

__all__ = ["GEMMA_2B", "GEMMA_BUILD_SECONDS", "QWEN_1_8B"]

# The family has no part in graphs and tasks.
GEMMA_2B = ModelConfig(
    family="llama", hidden_size=2048, intermediate_size=16384, num_layers=18, num_heads=8,
    num_kv_heads=1, head_dim=256, vocab_size=256000, max_position_embeddings=8192,
    rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=True,
)
GEMMA_BUILD_SECONDS = 11.9   # to build and optimize the graphs of one chunk
QWEN_1_8B = ModelConfig(   # Qwen1.5-1.8B
    family="llama", hidden_size=2048, intermediate_size=5504, num_layers=24, num_heads=16,
    num_kv_heads=16, head_dim=128, vocab_size=151936, max_position_embeddings=32768,
    rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=False,
)
