"""Rotary tables: by hand, and against the frequencies that transformers computes."""

import dataclasses

import numpy as np
import pytest
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from trilobite.model import ModelConfig, RopeScaling
from trilobite.numerics import rope_tables

CONFIG = ModelConfig(
    family="llama", hidden_size=256, intermediate_size=512, num_layers=1, num_heads=4,
    num_kv_heads=4, head_dim=64, vocab_size=100, max_position_embeddings=131072,
    rms_norm_eps=1e-5, rope_theta=500000.0,
)


def test_by_hand():
    config = dataclasses.replace(CONFIG, head_dim=4, rope_theta=10000.0)
    cosine, sine = rope_tables(config, np.array([0, 3]))
    assert cosine.dtype == sine.dtype == np.float32
    assert np.array_equal(cosine, np.float32([[1, 1], [np.cos(3), np.cos(0.03)]]))
    assert np.array_equal(sine, np.float32([[0, 0], [np.sin(3), np.sin(0.03)]]))


def test_linear_scaling_stretches_positions():
    scaled = dataclasses.replace(CONFIG, rope_scaling=RopeScaling("linear", 4.0))
    for table, unscaled in zip(
        rope_tables(scaled, np.arange(0, 80, 4)), rope_tables(CONFIG, np.arange(20)), strict=True
    ):
        np.testing.assert_allclose(table, unscaled, atol=1e-6)


@pytest.mark.parametrize(
    "scaling",
    [
        None,
        RopeScaling("linear", 8.0),
        RopeScaling("llama3", 8.0, 1.0, 4.0, 8192),
        RopeScaling("llama3", 32.0, 1.0, 4.0, 8192),
        RopeScaling("llama3", 2.0, 2.0, 8.0, 64),
    ],
    ids=str,
)
def test_frequencies_are_those_of_transformers(scaling):
    config = dataclasses.replace(CONFIG, rope_scaling=scaling)
    parameters = {"rope_type": "default", "rope_theta": CONFIG.rope_theta}
    if scaling:
        parameters |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling and scaling.kind == "llama3":
        parameters |= {
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position_embeddings,
        }
    theirs = LlamaConfig(
        hidden_size=256, num_attention_heads=4, head_dim=64, rope_parameters=parameters,
        max_position_embeddings=CONFIG.max_position_embeddings,
    )
    if scaling:
        frequencies, factor = ROPE_INIT_FUNCTIONS[scaling.kind](theirs, "cpu")
        assert factor == 1.0
    else:
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

        frequencies = LlamaRotaryEmbedding(theirs).inv_freq
    _, sine = rope_tables(config, np.array([1]))
    np.testing.assert_allclose(sine[0], np.sin(frequencies.double().numpy()), rtol=3e-6)
