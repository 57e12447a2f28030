"""INT4 and FP8 keys and values: the written rule in slow Python, sizes, static key scales."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trilobite
from trilobite import numerics
from trilobite.api.models import calibrate_kv, calibration, load
from trilobite.errors import CheckpointError, OutputError, TrilobiteError
from trilobite.model import ModelConfig
from trilobite.quant.output.safetensors_writer import SafetensorsWriter, TensorEntry
from trilobite.quant.pipeline import quantize
from trilobite.runtime.kernels.attention.portable import TILE
from trilobite.runtime.kv_cache.cache import make_cache
from trilobite.runtime.kv_cache.key_scales import (
    KeyRecorder,
    ScaledKeys,
    key_factors,
    read_factors,
    write_factors,
)

F = np.float32
NAME = "model.layers.0.self_attn.key_factors"


def config(heads=4, kv_heads=2, head_dim=16):
    return ModelConfig(
        family="llama", hidden_size=heads * head_dim, intermediate_size=8, num_layers=1,
        num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim, vocab_size=8,
        max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=1e4,
    )


def random_qkv(seed, tokens, shape):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((tokens, heads, shape.head_dim)).astype(F)
        for heads in (shape.num_heads, shape.num_kv_heads, shape.num_kv_heads)
    ]


def run(kind, q, k, v, shape, window=None):
    cache = make_cache(kind, shape, len(q))
    cache.store(0, 0, k, v)
    return cache.attend(0, 0, q, window)


def codes_and_scale(kind, vector):
    """Integers and the scale that multiplies them, by the rule, without the toolkit's kernels."""
    absmax = max(np.abs(vector).max(), F(1e-5))
    largest = F(7) if kind == "int4" else F(448)
    inverse = numerics.mul(largest, numerics.reciprocal(absmax))
    scaled = np.array([numerics.mul(x, inverse) for x in vector])
    if kind == "int4":
        return np.clip(np.rint(scaled), -7, 7).astype(int), numerics.mul(absmax, F(1 / 7))
    e4m3 = np.clip(scaled, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(float)
    scale = numerics.mul(numerics.mul(absmax, F(1 / 448)), F(2.0**-9))
    return (e4m3 * 512).astype(int), scale


def slow_attention(kind, q, k, v):
    """One head, token by token, in Python integers and ``numerics``."""
    keys = [codes_and_scale(kind, vector) for vector in k]
    values = [codes_and_scale(kind, vector) for vector in v]
    queries, query_scales = numerics.quantize_activations(q)
    width = q.shape[1]
    out = np.zeros_like(q)
    for n in range(len(q)):
        scale = numerics.mul(query_scales[n], F(1 / np.sqrt(width)))
        maximum, total = F(-np.inf), F(0)
        for begin in range(0, n + 1, TILE):
            tokens = range(begin, min(begin + TILE, n + 1))
            dots = [F(int(queries[n].astype(int) @ keys[t][0])) for t in tokens]
            scores = [numerics.mul(numerics.mul(dot, keys[t][1]), scale)
                      for dot, t in zip(dots, tokens, strict=True)]
            highest = max(maximum, *scores)
            shrink = numerics.exp(numerics.sub(maximum, highest))
            weights = [numerics.exp(numerics.sub(score, highest)) for score in scores]
            total = numerics.add(
                numerics.mul(total, shrink), numerics.sum_lanes(np.array(weights, F)))
            maximum = highest
            scaled = [numerics.mul(w, values[t][1]) for w, t in zip(weights, tokens, strict=True)]
            top = max(F(2.0**-100), *scaled)
            to_code = numerics.mul(F(32767), numerics.reciprocal(top))
            integers = [int(np.rint(numerics.mul(w, to_code))) for w in scaled]
            step = numerics.mul(top, F(1 / 32767))
            for d in range(width):
                exact = sum(w * int(values[t][0][d]) for w, t in zip(integers, tokens, strict=True))
                out[n, d] = numerics.add(
                    numerics.mul(out[n, d], shrink), numerics.mul(F(exact), step))
        inverse = numerics.reciprocal(total)
        out[n] = [numerics.mul(value, inverse) for value in out[n]]
    return out


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
@pytest.mark.parametrize("kind", ["int4", "fp8"])
def test_attention_follows_the_written_rule_bit_for_bit(kind, scale):
    shape = config(1, 1)
    q, k, v = random_qkv(5, TILE + 7, shape)
    q *= F(scale)
    expected = slow_attention(kind, q[:, 0], k[:, 0], v[:, 0])
    assert np.array_equal(run(kind, q, k, v, shape)[:, 0], expected)


@pytest.mark.parametrize(("kind", "error"), [("int4", 0.25), ("fp8", 0.06)])
def test_near_to_attention_in_float(kind, error):
    shape = config()
    q, k, v = random_qkv(1, 70, shape)
    exact = run("float32", q, k, v, shape)
    distance = np.abs(run(kind, q, k, v, shape) - exact).max() / np.abs(exact).max()
    assert 1e-4 < distance < error


@pytest.mark.parametrize("kind", ["int4", "fp8"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_prefill_and_decode_give_the_same_bits(kind, data):
    shape = config(6, 3, 8)
    tokens = data.draw(st.integers(1, 80))
    window = data.draw(st.one_of(st.none(), st.integers(1, 50)))
    q, k, v = random_qkv(data.draw(st.integers(0, 99)), tokens, shape)
    whole = run(kind, q, k, v, shape, window)
    cache = make_cache(kind, shape, tokens)
    for n in range(tokens):
        cache.store(0, n, k[n:n + 1], v[n:n + 1])
        assert np.array_equal(cache.attend(0, n, q[n:n + 1], window)[0], whole[n])


@pytest.mark.parametrize("kind", ["int4", "fp8"])
def test_extreme_sums_do_not_overflow(kind):
    shape = config(1, 1, 256)
    q = np.full((2 * TILE, 1, 256), -1e30, F)
    v = np.full_like(q, 3e30)
    np.testing.assert_allclose(
        run(kind, q, np.full_like(q, 1e-30), v, shape), 3e30, rtol=1e-2)


def test_threads_give_the_same_bits():
    shape = config(8, 4, 64)
    q, k, v = random_qkv(0, 400, shape)   # enough work for two
    whole = run("int4", q, k, v, shape)
    assert np.array_equal(whole[:70], run("int4", q[:70], k[:70], v[:70], shape))


def test_cache_sizes_and_bounds():
    assert make_cache("int4", config(), 10).nbytes == 2 * 2 * 10 * (8 + 4)
    assert make_cache("fp8", config(), 10).nbytes == 2 * 2 * 10 * (16 + 4)
    cache = make_cache("int4", config(), 8)
    with pytest.raises(TrilobiteError, match="holds 8 tokens; 9"):
        cache.store(0, 0, *random_qkv(0, 9, config())[1:])


def recorded(k):
    shape = config(1, 1, k.shape[2])
    recorder = KeyRecorder(shape, make_cache("float32", shape, len(k)))
    recorder.store(0, 0, k, k)
    return recorder


def test_factors_by_hand():
    # 18 channels: 9 pairs. Channels 0 to 7 are the largest eight; their partners are 9 to 16. The
    # pair (8, 17) is left: its longest vector, of token 1, is (3, 4).
    k = np.zeros((2, 1, 18), F)
    k[0, 0, :8], k[1, 0, :8] = 16, -32
    k[0, 0, 9:17] = 2
    k[0, 0, [8, 17]], k[1, 0, [8, 17]] = (1, 1), (-3, 4)
    factors = key_factors(recorded(k))
    assert factors.shape == (1, 1, 18) and factors.dtype == F
    expected = [8 / 32] * 8 + [8 / 5] + [8 / 2] * 8 + [8 / 5]
    np.testing.assert_allclose(factors[0, 0], expected, rtol=1e-6)


def test_the_pair_norm_does_not_depend_on_the_position():
    shape = config(1, 1, 32)
    k = np.random.default_rng(0).standard_normal((1, 1, 32)).astype(F)
    radii = []
    for position in (0, 7, 1000):
        from trilobite.runtime.kernels.elementwise import apply_rope

        turned = k.copy()
        apply_rope(turned, *numerics.rope_tables(shape, np.array([position])))
        radii.append(recorded(turned).radius)
    np.testing.assert_allclose(radii[1], radii[0], rtol=1e-5)
    np.testing.assert_allclose(radii[2], radii[0], rtol=1e-5)


def test_scaled_keys_change_nothing_but_the_rounding():
    shape = config()
    q, k, v = random_qkv(3, 60, shape)
    k[:, :, 3] *= 50   # one channel far larger than the others
    exact = run("float32", q, k, v, shape)
    recorder = KeyRecorder(shape, make_cache("float32", shape, 60))
    recorder.store(0, 0, k, v)
    errors = {}
    for kind in ("float32", "int4"):
        cache = ScaledKeys(make_cache(kind, shape, 60), key_factors(recorder))
        cache.store(0, 0, k, v)
        errors[kind] = np.square(cache.attend(0, 0, q, None) - exact).mean()
    plain = np.square(run("int4", q, k, v, shape) - exact).mean()
    assert errors["float32"] < 1e-9
    assert errors["int4"] < plain / 2


def test_a_file_of_factors_round_trips(tmp_path):
    path = tmp_path / "keys.safetensors"
    calibrate_kv("demo-llama", path, calibration("demo-llama", sequences=1))
    model = load("demo-llama", kv="int4", kv_scales=path)
    assert model.key_factors.min() > 0
    plain = trilobite.load("demo-llama", kv="int4").logits([1, 2, 3, 4])
    assert not np.array_equal(model.logits([1, 2, 3, 4]), plain)
    write_factors(tmp_path / "again", model.key_factors)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        calibrate_kv("demo-llama", path, calibration("demo-llama", sequences=1))


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [((2, 15), 1, "model calls for F32"), ((2, 16), 0, "not a number between"),
     ((2, 16), np.nan, "not a number between"), ((2, 16), 1e30, "not a number between")],
)
def test_a_file_that_is_none_is_refused(tmp_path, shape, value, message):
    path = tmp_path / "keys"
    with SafetensorsWriter(path, {NAME: TensorEntry("F32", shape)}) as writer:
        writer.append(NAME, np.full(shape, value, F))
    with pytest.raises(CheckpointError, match=message):
        read_factors(path, config())
    with SafetensorsWriter(tmp_path / "other", {"x": TensorEntry("F32", (1,))}) as writer:
        writer.append("x", np.ones(1, F))
    with pytest.raises(CheckpointError, match="does not hold the key factors of 1 layers"):
        read_factors(tmp_path / "other", config())


@pytest.mark.parametrize("kind", ["int4", "fp8"])
def test_a_model_runs_and_gives_the_same_logits_token_by_token(kind, tmp_path):
    """Of a quantized model: a float one goes through BLAS, whose order is its own."""
    quantize("demo-llama", tmp_path / "model", format="int8")
    model = load(tmp_path / "model", kv=kind)
    tokens = [5, 17, 300, 4, 9]
    whole = model.logits(tokens)
    session = model.session(5)
    for n, token in enumerate(tokens):
        assert np.array_equal(session.feed([token])[0], whole[n])
    exact = load(tmp_path / "model", kv="int8").logits(tokens)
    assert 0 < np.abs(whole - exact).max() < 0.2 * np.abs(exact).max()
