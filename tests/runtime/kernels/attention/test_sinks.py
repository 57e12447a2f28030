"""Attention sinks: a score of each head that has no value behind it, in every cache."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

import trilobite
from support.checkpoints import VARIANTS, write_variant
from support.transformers_judge import error_in_range
from trilobite.model import ModelConfig
from trilobite.runtime.kv_cache.cache import Int8Cache, KVKind, make_cache

CONFIG = ModelConfig(
    family="gpt_oss", hidden_size=64, intermediate_size=64, num_layers=1, num_heads=4,
    num_kv_heads=2, head_dim=32, vocab_size=8, max_position_embeddings=128, rms_norm_eps=1e-5,
    rope_theta=1e4, sinks=True,
)
TOKENS = 71
SINKS = np.array([-3, 0.5, 4, -80], np.float32)


def inputs():
    generator = np.random.default_rng(0)
    return (generator.standard_normal((TOKENS, heads, 32), np.float32) for heads in (4, 2, 2))


def expected(q, k, v, window, sinks):
    """By numpy in float64, one token and head at a time."""
    out = np.empty(q.shape)
    for n in range(TOKENS):
        seen = slice(max(0, n - window + 1) if window else 0, n + 1)
        for head in range(4):
            scores = k[seen, head // 2].astype(np.float64) @ q[n, head] / np.sqrt(32)
            weights = np.exp(scores)
            out[n, head] = weights @ v[seen, head // 2] / (weights.sum() + np.exp(sinks[head]))
    return out


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("kind", get_args(KVKind))
def test_sinks_take_their_share(kind, window):
    """With no more error than the cache has without them."""
    q, k, v = inputs()
    cache = make_cache(kind, CONFIG, TOKENS)
    cache.store(0, 0, k, v)
    found, without = cache.attend(0, 0, q, window, SINKS), cache.attend(0, 0, q, window)
    error = np.abs(found - expected(q, k, v, window, SINKS)).max()
    usual = np.abs(without - expected(q, k, v, window, np.full(4, -np.inf))).max()
    assert error < 1.5 * usual
    assert np.abs(found - without).max() > 0.5 > usual
    alone = np.concatenate([cache.attend(0, n, q[n:n + 1], window, SINKS) for n in range(TOKENS)])
    np.testing.assert_array_equal(alone, found)


def test_every_kernel_gives_the_same_bits(kernel):
    q, k, v = inputs()
    caches = make_cache("int8", CONFIG, TOKENS), Int8Cache(CONFIG, TOKENS)
    for cache in caches:
        cache.store(0, 0, k, v)
    found, portable = (cache.attend(0, 0, q, 20, SINKS) for cache in caches)
    np.testing.assert_array_equal(found, portable)


def test_a_sink_far_below_all_scores_changes_nothing():
    q, k, v = inputs()
    cache = make_cache("int8", replace(CONFIG, num_layers=1), TOKENS)
    cache.store(0, 0, k, v)
    nothing = np.full(4, -3e38, np.float32)
    np.testing.assert_array_equal(cache.attend(0, 0, q, None, nothing), cache.attend(0, 0, q, None))


def test_sinks_reach_quantized_keys_less_their_biases(tmp_path):
    folder = write_variant(tmp_path / "model", VARIANTS["gpt-oss"])
    tokens = np.random.default_rng(1).integers(2, 128, 40).tolist()
    exact, rounded = (trilobite.load(folder, kv=kv).logits(tokens) for kv in ("float32", "int8"))
    assert error_in_range(rounded, exact) < 0.05
