"""Key biases stay out of the quantized keys: the written rule in slow Python, and what it saves."""

import numpy as np
import pytest

from tests.runtime.kv_cache.test_packed import config, random_qkv
from trilobite import numerics
from trilobite.model import ModelConfig
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.kernels.attention.portable import TILE
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.elementwise import apply_rope
from trilobite.runtime.kv_cache.cache import Int8Cache, TiledInt8Cache, make_cache
from trilobite.runtime.kv_cache.key_scales import KeyRecorder, ScaledKeys, key_factors
from trilobite.runtime.kv_cache.steps import CacheSteps
from trilobite.runtime.kv_cache.unbiased import UnbiasedKeys
from trilobite.runtime.language_model import Session

F = np.float32
add, mul, sub = numerics.add, numerics.mul, numerics.sub


def tables(shape, count, scale=1):
    return numerics.rope_tables(shape, scale * np.arange(count))


def attend(cache, q, k, v, rope, pieces=None, window=None, layer=0):
    outputs, start = [], 0
    for count in pieces or [len(q)]:
        part = slice(start, start + count)
        outputs.append(cache.append_and_attend(
            layer, start, q[part].copy(), k[part].copy(), v[part], rope[0][part], rope[1][part],
            window))
        start += count
    return np.concatenate(outputs)


def slow_scores(q, k, bias, rope, n, t):
    """The score of token ``t`` for the query of token ``n``, one head, operation by operation."""
    half = len(bias) // 2
    root = F(1 / np.sqrt(len(bias)))
    plain = numerics.flush_array(k[t] - bias)[None, None]
    query = q[n][None, None].copy()
    apply_rope(plain, rope[0][t:t + 1], rope[1][t:t + 1])
    apply_rope(query, rope[0][n:n + 1], rope[1][n:n + 1])
    query = query[0, 0]
    codes, scales = numerics.quantize_activations(query[None])
    kept, kept_scales = numerics.quantize_activations(plain[0])
    dot = F(int(codes[0].astype(int) @ kept[0].astype(int)))
    score = mul(mul(dot, kept_scales[0]), mul(scales[0], root))
    total = F(0)
    for j in range(half):
        i = j + half
        along = mul(add(mul(query[j], bias[j]), mul(query[i], bias[i])), root)
        across = mul(sub(mul(query[i], bias[j]), mul(query[j], bias[i])), root)
        total = add(total, add(mul(along, rope[0][t, j]), mul(across, rope[1][t, j])))
    return add(score, total)


def test_scores_follow_the_written_rule_bit_for_bit():
    """Two tokens, values 1 and 0: the output is the first one's weight, which gives the scores."""
    shape = config(1, 1)
    q, k, _ = random_qkv(0, 2, shape)
    bias = np.linspace(-300, 200, 16).astype(F)[None]
    k += bias
    v = np.zeros_like(k)
    v[0] = 1
    rope = tables(shape, 2, 5)
    out = attend(UnbiasedKeys(Int8Cache(shape, 2), [bias], shape), q, k, v, rope)[1, 0, 0]
    scores = [slow_scores(q[:, 0], k[:, 0], bias[0], rope, 1, t) for t in range(2)]
    weights = [numerics.exp(sub(score, max(scores))) for score in scores]
    total = numerics.sum_lanes(np.array([*weights, *[F(0)] * (TILE - 2)], F))
    scaled = mul(weights[0], mul(F(1), F(1 / 127)))
    largest = max(F(2.0**-100), scaled)
    code = F(np.rint(mul(scaled, mul(F(32767), numerics.reciprocal(largest)))))
    exact = mul(mul(F(code * 127), mul(largest, F(1 / 32767))), numerics.reciprocal(total))
    assert out == exact


@pytest.mark.skipif("vnni" not in available_kernels(), reason="this CPU has no AVX-512 VNNI")
@pytest.mark.parametrize("window", [None, 45])
def test_tiles_give_the_bits_of_the_definition(window):
    shape = config(6, 3, 32)
    q, k, v = random_qkv(1, 3 * TILE + 5, shape)
    bias = 100 * np.random.default_rng(2).standard_normal((3, 32)).astype(F)
    rope = tables(shape, len(q))
    plain, tiled = (
        attend(UnbiasedKeys(kind(shape, len(q)), [bias], shape), q, k + bias, v, rope,
               [7, 60, 1, 33], window)
        for kind in (Int8Cache, TiledInt8Cache)
    )
    assert np.array_equal(plain, tiled)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
def test_prefill_and_decode_give_the_same_bits(kind):
    shape = config(4, 2, 16)
    q, k, v = random_qkv(3, 50, shape)
    bias = np.full((2, 16), 70, F)
    rope = tables(shape, 50)
    whole, single = (
        attend(UnbiasedKeys(make_cache(kind, shape, 50), [bias], shape), q, k + bias, v, rope,
               pieces)
        for pieces in ([50], [1] * 50)
    )
    assert np.array_equal(whole, single)


@pytest.mark.parametrize(("kind", "error"), [("int8", 0.02), ("int4", 0.25), ("fp8", 0.06)])
def test_a_large_bias_costs_no_accuracy(kind, error):
    shape = config()
    q, k, v = random_qkv(4, 70, shape)
    bias = 600 * np.random.default_rng(5).standard_normal((2, 16)).astype(F)
    q /= 100   # else one token takes all the weight
    rope = tables(shape, 70)
    exact = attend(make_cache("float32", shape, 70), q, k + bias, v, rope)
    found = attend(UnbiasedKeys(make_cache(kind, shape, 70), [bias], shape), q, k + bias, v, rope)
    assert np.abs(found - exact).max() / np.abs(exact).max() < error


def test_layers_whose_rotations_differ_have_tables_of_their_own():
    shape = config()
    q, k, v = random_qkv(6, 40, shape)
    biases = [np.full((2, 16), 50, F)] * 3
    ropes = [tables(shape, 40), tables(shape, 40, 3), tables(shape, 40)]
    both = ModelConfig(**{**vars(shape), "num_layers": 3})
    cache = UnbiasedKeys(make_cache("int8", both, 40), biases, both)
    # Token by token: at position 0 the tables are the same.
    for n in range(40):
        part = slice(n, n + 1)
        got = [
            cache.append_and_attend(layer, n, q[part].copy(), k[part].copy(), v[part],
                                    rope[0][part], rope[1][part], None)
            for layer, rope in enumerate(ropes)
        ]
    for layer, rope in enumerate(ropes):
        single = UnbiasedKeys(make_cache("int8", shape, 40), biases[:1], shape)
        alone = attend(single, q, k, v, rope)
        assert np.array_equal(got[layer][0], alone[-1]), layer
    table = 2 * 8 * 40 * 4
    assert cache.nbytes == make_cache("int8", both, 40).nbytes + 2 * table


def test_static_factors_are_those_of_keys_without_biases():
    shape = config()
    q, k, v = random_qkv(7, 60, shape)
    bias = np.full((2, 16), 90, F)
    rope = tables(shape, 60)
    biased, plain = (KeyRecorder(shape, make_cache("int8", shape, 60)) for _ in range(2))
    attend(UnbiasedKeys(biased, [bias], shape), q, k + bias, v, rope)
    attend(plain, q, k, v, rope)
    np.testing.assert_allclose(biased.absmax, plain.absmax, rtol=1e-4)
    factors = key_factors(biased)
    cache = UnbiasedKeys(ScaledKeys(make_cache("int8", shape, 60), factors), [bias], shape)
    exact = attend(make_cache("float32", shape, 60), q / 30, k + bias, v, rope)
    found = attend(cache, q / 30, k + bias, v, rope)
    assert np.abs(found - exact).max() / np.abs(exact).max() < 0.02


class _Q8Cache(CacheSteps):
    """What llama.cpp's q8_0 keeps: blocks of 32 of keys, queries and values, a scale for each."""

    def __init__(self, shape, capacity):
        self.capacity = capacity
        self._exact = make_cache("float32", shape, capacity)

    def store(self, layer, start, keys, values):
        self._exact.store(layer, start, _q8_0(keys), _q8_0(values))

    def attend(self, layer, start, queries, window, bias=None):
        return self._exact.attend(layer, start, _q8_0(queries), window)


def _q8_0(x):
    blocks = x.reshape(-1, 32)
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / F(127)).astype(np.float16).astype(F)
    return (np.rint(blocks / np.maximum(scale, F(1e-8))) * scale).astype(F).reshape(x.shape)


def _qwen2(bias):
    """Random weights of a small Qwen2 whose key biases are as large as ``bias``."""
    shape = ModelConfig(
        family="qwen2", hidden_size=128, intermediate_size=256, num_layers=3, num_heads=4,
        num_kv_heads=2, head_dim=64, vocab_size=256, max_position_embeddings=128,
        rms_norm_eps=1e-6, rope_theta=1e4, qkv_bias=True,
    )
    rng = np.random.default_rng(0)

    def weights(name):
        dims = shape.tensor_shapes()[name]
        if name.endswith("k_proj.bias"):   # a few channels are far larger, as in the public files
            values = rng.standard_normal(dims)
            values[rng.choice(dims[0], 12, replace=False)] *= bias
            return values.astype(F)
        if len(dims) == 1:
            return np.ones(dims, F) if name.endswith("norm.weight") else np.zeros(dims, F)
        scale = 1 if "embed" in name else 1 / np.sqrt(dims[1])
        return (scale * rng.standard_normal(dims)).astype(F)

    return shape, Decoder(shape, weights)


@pytest.mark.parametrize(("bias", "least"), [(50, 0.95), (200, 0.81), (600, 0.69)])
def test_the_default_is_as_good_as_q8_0_for_large_biases(bias, least):
    shape, decoder = _qwen2(bias)
    ids = np.random.default_rng(1).integers(0, 256, 120)
    exact = decoder.logits(decoder.hidden(ids, make_cache("float32", shape, 120), 0))
    own = Session(decoder, "int8", 120)
    assert isinstance(own.cache, UnbiasedKeys)
    q8 = decoder.logits(decoder.hidden(ids, _Q8Cache(shape, 120), 0))
    agree = [
        (logits.argmax(axis=1) == exact.argmax(axis=1)).mean()
        for logits in (own.feed(ids.tolist()), q8)
    ]
    assert agree[0] >= max(least, agree[1]), agree
