"""Sizes of stored models against those that others published of their files."""

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.processors.stored_format import format_names, stored_format

GIB = 1 << 30

# llama-bench prints these: ggml-org/llama.cpp pull requests 2917, 3084, 2891; q8_0 of Qwen2.5:
# 18871; f16 of Qwen3 1.7B (its file has the head twice, 2.03 B weights): 22755; q4_k_m of Llama 3.2
# 3B: geerlingguy/ai-benchmarks issue 20; of TinyLlama: issue 51; of Llama 3 8B:
# XiongjieDai/GPU-Benchmarks-on-LLM-Inference.
PUBLISHED = [
    ("llama-2-7b", "q4_0", 3.56), ("llama-2-7b", "q8_0", 6.67), ("llama-2-7b", "f16", 12.55),
    ("llama-2-7b", "q4_k_m", 3.80), ("llama-2-7b", "q6_k", 5.15), ("llama-2-7b", "q5_k_m", 4.45),
    ("llama-2-7b", "q4_1", 3.95), ("llama-3.2-3b", "q4_k_m", 1.87),
    ("llama-3.1-8b", "q4_k_m", 4.58), ("tinyllama-1.1b", "q4_k_m", 636.18 / 1024),
    ("qwen2.5-1.5b", "q8_0", 1.53), ("qwen2.5-0.5b", "q4_0", 330.17 / 1024),
]


@pytest.mark.parametrize(("model", "name", "published"), PUBLISHED)
def test_a_model_is_as_large_as_its_published_file(model, name, published):
    found = stored_format(name).model_bytes(load_shape(model).config) / GIB
    assert found == pytest.approx(published, rel=0.02)


def test_executorch_stores_the_embedding_beside_the_head():
    """Llama 3.2 1B and 3B, SpinQuant: 1,083 and 2,435 MiB (ExecuTorch's examples/models/llama)."""
    for model, published in (("llama-3.2-1b", 1083), ("llama-3.2-3b", 2435)):
        found = stored_format("8da4w").model_bytes(load_shape(model).config) / (1 << 20)
        assert found == pytest.approx(published, rel=0.02)


def test_names_are_taken_in_capitals_too():
    assert stored_format("Q4_K_M") is stored_format("q4_k_m")
    with pytest.raises(EstimateError, match="no stored format 'q4_k_x'; known are f32, f16"):
        stored_format("q4_k_x")
    assert len(set(format_names())) == len(format_names())
