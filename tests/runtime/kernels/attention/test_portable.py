"""Attention against plain float64 attention, against a slow integer model, and prefill = decode."""

from typing import get_args

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite import numerics
from trilobite.errors import TrilobiteError
from trilobite.model import ModelConfig
from trilobite.runtime.kernels.attention.portable import TILE
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.elementwise import apply_rope
from trilobite.runtime.kv_cache.cache import Int8Cache, KVKind, TiledInt8Cache, make_cache

needs_vnni = pytest.mark.skipif(
    "vnni" not in available_kernels(), reason="this CPU has no AVX-512 VNNI"
)


def config(heads=4, kv_heads=2, head_dim=16):
    return ModelConfig(
        family="llama", hidden_size=heads * head_dim, intermediate_size=8, num_layers=1,
        num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim, vocab_size=8,
        max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=1e4,
    )


def random_qkv(seed, tokens, heads=4, kv_heads=2, head_dim=16):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.standard_normal((tokens, count, head_dim)).astype(np.float32)
        for count in (heads, kv_heads, kv_heads)
    )


def exact_attention(q, k, v, window=None):
    """Causal attention in float64 by the textbook formula."""
    tokens, heads, head_dim = q.shape
    group = heads // k.shape[1]
    distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    hidden = (distance < 0) | (distance >= (window or tokens))
    out = np.empty(q.shape)
    for head in range(heads):
        key, value = k[:, head // group].astype(float), v[:, head // group].astype(float)
        scores = np.where(hidden, -np.inf, q[:, head] @ key.T / np.sqrt(head_dim))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ value
    return out


def run(kind, q, k, v, window=None, pieces=None):
    """Attend ``pieces`` (token counts) one after the other through one cache."""
    cache = make_cache(kind, config(q.shape[1], k.shape[1], q.shape[2]), len(q))
    outputs, start = [], 0
    for count in pieces or [len(q)]:
        part = slice(start, start + count)
        cache.store(0, start, k[part], v[part])
        outputs.append(cache.attend(0, start, q[part], window))
        start += count
    return np.concatenate(outputs)


@pytest.mark.parametrize("tokens", [1, 2, TILE - 1, TILE, TILE + 1, 3 * TILE + 5])
@pytest.mark.parametrize("window", [None, 1, 7, TILE, 50])
def test_float_attention_is_attention(tokens, window):
    q, k, v = random_qkv(tokens, tokens)
    np.testing.assert_allclose(
        run("float32", q, k, v, window), exact_attention(q, k, v, window), atol=3e-6
    )


@pytest.mark.parametrize("tokens", [1, TILE, 3 * TILE + 5])
@pytest.mark.parametrize("window", [None, 40])
def test_int8_attention_is_near(tokens, window):
    q, k, v = random_qkv(tokens, tokens)
    error = run("int8", q, k, v, window) - exact_attention(q, k, v, window)
    assert np.sqrt(np.mean(error**2)) < 0.012   # int8 steps of q, k and v on unit normals


@given(
    seed=st.integers(0, 1000),
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    kind=st.sampled_from(["float32", "int8"]),
    window=st.sampled_from([None, 3, 33]),
)
@settings(max_examples=40, deadline=None)
def test_prefill_and_decode_give_the_same_bits(seed, pieces, kind, window):
    q, k, v = random_qkv(seed, sum(pieces))
    whole = run(kind, q, k, v, window)
    assert np.array_equal(run(kind, q, k, v, window, pieces), whole)
    assert np.array_equal(run(kind, q, k, v, window, [1] * len(q)), whole)


def slow_int8_attention(q, k, v):
    """One head by the written rule, in scalar steps: what a circuit would do."""
    f32 = np.float32
    width = q.shape[1]
    codes = [np.empty(x.shape, np.int8) for x in (q, k, v)]
    scales = [
        [numerics.quantize_activation(row, code) for row, code in zip(x, out, strict=True)]
        for x, out in zip((q, k, v), codes, strict=True)
    ]
    out = np.empty_like(q)
    for n in range(len(q)):
        scale = numerics.mul(scales[0][n], f32(1 / np.sqrt(width)))
        maximum, total = f32(-np.inf), f32(0)
        accumulated = np.zeros(width, np.float32)
        for tile in range(0, n + 1, TILE):
            tokens = range(tile, min(tile + TILE, n + 1))
            scores = []
            for t in tokens:
                dot = f32(int(codes[0][n].astype(int) @ codes[1][t].astype(int)))
                scores.append(numerics.mul(numerics.mul(dot, scales[1][t]), scale))
            highest = max(maximum, *scores)
            shrink = numerics.exp(numerics.sub(maximum, highest))
            weights = [numerics.exp(numerics.sub(score, highest)) for score in scores]
            total = numerics.add(
                numerics.mul(total, shrink), numerics.sum_lanes(np.array(weights, np.float32))
            )
            maximum = highest
            scaled = [numerics.mul(w, scales[2][t]) for w, t in zip(weights, tokens, strict=True)]
            largest = max(f32(2.0**-100), *scaled)
            to_code = numerics.mul(f32(32767), numerics.reciprocal(largest))
            integers = [int(np.rint(numerics.mul(w, to_code))) for w in scaled]
            step = numerics.mul(largest, f32(1 / 32767))
            for d in range(width):
                pairs = zip(integers, tokens, strict=True)
                exact = sum(weight * int(codes[2][t, d]) for weight, t in pairs)
                accumulated[d] = numerics.add(
                    numerics.mul(accumulated[d], shrink), numerics.mul(f32(exact), step)
                )
        inverse = numerics.reciprocal(total)
        out[n] = [numerics.mul(value, inverse) for value in accumulated]
    return out


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
def test_int8_attention_follows_the_written_rule_bit_for_bit(scale):
    q, k, v = random_qkv(5, 2 * TILE + 3, heads=1, kv_heads=1)
    q *= np.float32(scale)
    expected = slow_int8_attention(q[:, 0], k[:, 0], v[:, 0])
    assert np.array_equal(run("int8", q, k, v)[:, 0], expected)


def test_extreme_codes_do_not_overflow():
    tokens, head_dim = 2 * TILE, 128
    q = np.full((tokens, 1, head_dim), -1e30, np.float32)
    v = np.full((tokens, 1, head_dim), 3e30, np.float32)
    out = run("int8", q, np.full_like(q, 1e-30), v)
    np.testing.assert_allclose(out, 3e30, rtol=1e-2)


def test_one_far_larger_score_takes_all():
    q, k, v = random_qkv(9, 70, heads=1, kv_heads=1)
    k[3] = 1000 * q[69]
    out = run("int8", q, k, v)[69, 0]
    np.testing.assert_allclose(out, v[3, 0], atol=0.05)


def test_query_heads_share_their_key_value_head():
    q, k, v = random_qkv(2, 20, heads=6, kv_heads=3)
    whole = run("int8", q, k, v)
    for head in range(6):
        alone = run("int8", q[:, head:head + 1], k[:, [head // 2]], v[:, [head // 2]])
        assert np.array_equal(whole[:, head], alone[:, 0])


def test_a_full_cache_says_how_much_is_needed():
    _, k, v = random_qkv(0, 9)
    cache = make_cache("int8", config(), 8)
    with pytest.raises(TrilobiteError, match="holds 8 tokens; 9"):
        cache.store(0, 0, k, v)
    with pytest.raises(TrilobiteError, match="'int5'"):
        make_cache("int5", config(), 8)


@pytest.mark.parametrize("kind", get_args(KVKind))
def test_nothing_is_read_or_written_outside_of_a_cache(kind, kernel):
    q, k, v = (np.ones((3, heads, 16), np.float32) for heads in (4, 2, 2))
    cache = make_cache(kind, config(4, 2, 16), 8)
    for start, sentence in ((6, "holds 8 tokens; 9 are needed"), (-1, "begin with 0, not -1")):
        with pytest.raises(TrilobiteError, match=sentence):
            cache.store(0, start, k, v)
        with pytest.raises(TrilobiteError, match=sentence):
            cache.attend(0, start, q, None)
    cache.store(0, 5, k, v)
    assert cache.attend(0, 5, q, None).shape == q.shape


def test_cache_sizes():
    assert make_cache("float32", config(), 10).nbytes == 2 * 2 * 10 * 16 * 4
    assert Int8Cache(config(), 10).nbytes == 2 * 2 * 10 * (16 + 4)
    # Whole tiles of tokens, whole vectors of elements.
    assert TiledInt8Cache(config(head_dim=20), 33).nbytes == 2 * 2 * 2 * TILE * (32 + 4)


def test_only_the_window_is_read():
    q, k, v = random_qkv(4, 60)
    cache = make_cache("int8", config(), 60)
    cache.store(0, 0, k, v)
    clean = cache.attend(0, 59, q[59:], 10)
    cache.store(0, 0, 100 * k[:50], 100 * v[:50])
    assert np.array_equal(cache.attend(0, 59, q[59:], 10), clean)


def attended(cache, q, k, v, window, pieces):
    start, outputs = 0, []
    for count in pieces:
        part = slice(start, start + count)
        cache.store(0, start, k[part], v[part])
        outputs.append(cache.attend(0, start, q[part], window))
        start += count
    return np.concatenate(outputs)


@needs_vnni
@given(
    seed=st.integers(0, 1000),
    pieces=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    heads=st.sampled_from([(1, 1), (4, 2), (6, 2), (5, 5)]),
    head_dim=st.sampled_from([2, 16, 20, 64, 96, 128]),
    window=st.sampled_from([None, 1, 3, TILE, 33, 70]),
    scale=st.sampled_from([1e-30, 1e-6, 1.0, 30.0, 1e5, 1e30]),
)
@settings(max_examples=60, deadline=None)
def test_the_tiled_cache_gives_the_bits_of_the_plain_one(
    seed, pieces, heads, head_dim, window, scale
):
    q, k, v = random_qkv(seed, sum(pieces), *heads, head_dim)
    k *= np.float32(scale)
    v[::3] *= np.float32(1 / scale)   # scales of values that differ by more than int16 can hold
    shape = config(*heads, head_dim)
    plain, tiled = (
        attended(kind(shape, len(q)), q, k, v, window, pieces)
        for kind in (Int8Cache, TiledInt8Cache)
    )
    assert np.array_equal(plain, tiled)


@needs_vnni
def test_the_tiled_cache_on_the_largest_codes():
    q = np.ones((40, 2, 128), np.float32)
    q[:, 1] = -1
    for k, v in ((q, q), (-q, q), (q, -q)):
        plain, tiled = (
            attended(kind(config(2, 2, 128), 40), q, k, v, None, [40])
            for kind in (Int8Cache, TiledInt8Cache)
        )
        assert np.array_equal(plain, tiled)


def test_the_cache_follows_the_kernel(monkeypatch):
    monkeypatch.setenv("TRILOBITE_KERNEL", "portable")
    assert type(make_cache("int8", config(), 8)) is Int8Cache
    if "vnni" in available_kernels():
        monkeypatch.setenv("TRILOBITE_KERNEL", "vnni")
        assert type(make_cache("int8", config(), 8)) is TiledInt8Cache


@needs_vnni
@pytest.mark.parametrize("threads", [1, 2])
def test_heads_are_shared_out_over_threads(threads):
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("this machine has one core")
    q, k, v = random_qkv(3, 600, 16, 8, 96)
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        plain, tiled = (kind(config(16, 8, 96), 600) for kind in (Int8Cache, TiledInt8Cache))
        for cache in (plain, tiled):
            cache.store(0, 0, k, v)
        for start in (599, 590):
            assert np.array_equal(
                plain.attend(0, start, q[start:], None), tiled.attend(0, start, q[start:], None)
            )
    finally:
        numba.set_num_threads(before)


def test_a_step_turns_keeps_and_attends():
    q, k, v = random_qkv(6, 12, 4, 2, 16)
    angles = np.random.default_rng(0).uniform(0, 6, (12, 8)).astype(np.float32)
    cosine, sine = np.cos(angles), np.sin(angles)
    outputs = []
    for kind in ("int8", "float32", "int4", "fp8"):
        whole, parts = (make_cache(kind, config(4, 2, 16), 12) for _ in range(2))
        step = whole.append_and_attend(0, 0, q.copy(), k.copy(), v, cosine, sine, None)
        turned = [x.copy() for x in (q, k)]
        for x in turned:
            apply_rope(x, cosine, sine)
        parts.store(0, 0, turned[1], v)
        assert np.array_equal(step, parts.attend(0, 0, turned[0], None))
        outputs.append(step)
    assert not np.array_equal(outputs[0], outputs[1])
    full = make_cache("int8", config(4, 2, 16), 11)
    with pytest.raises(TrilobiteError, match="holds 11 tokens; 12"):
        full.append_and_attend(0, 0, q, k, v, cosine, sine, None)
