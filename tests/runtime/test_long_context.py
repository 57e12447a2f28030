"""A context of 32,768 positions: the same bits in pieces of any size, and what it takes."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from trilobite.model import ModelConfig
from trilobite.quant.formats import Int4, Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.kernels.attention.portable import attend_int8, store_int8
from trilobite.runtime.kv_cache.cache import make_cache
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights

POSITIONS = 32_768
BITNET = ModelConfig(
    family="bitnet", hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2,
    num_kv_heads=1, head_dim=32, vocab_size=256, max_position_embeddings=POSITIONS,
    rms_norm_eps=1e-5, rope_theta=5e5, activation="relu2", tie_word_embeddings=True, sub_norm=True,
    bitlinear=True,
)
LLAMA = dataclasses.replace(
    BITNET, family="llama", activation="silu", sub_norm=False, bitlinear=False, num_kv_heads=2)
FORMS = {"bitnet": (BITNET, Ternary()), "llama": (LLAMA, Int4(32))}
KINDS = ("int8", "int4", "fp8", "float32")
# Of attention to 32,768 random positions in float64; as tests/runtime/test_kv_packed.py has it.
ERRORS = {"int8": 0.02, "int4": 0.3, "fp8": 0.1, "float32": 1e-5}


def decoder_of(family):
    config, form = FORMS[family]
    return Decoder(config, random_weights(config, form))


def filled(decoder, kind, step, seed=3):
    """A cache in which all positions but the last eight have random keys and values."""
    config, random = decoder.config, np.random.default_rng(seed)
    shape = (POSITIONS - 8, config.num_kv_heads, config.head_dim)
    cache = make_cache(kind, config, POSITIONS)
    for layer in range(config.num_layers):
        keys, values = (random.standard_normal(shape, np.float32) for _ in range(2))
        for begin in range(0, len(keys), step):
            cache.store(layer, begin, keys[begin:begin + step], values[begin:begin + step])
    return cache


@pytest.mark.parametrize("family", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_positions_give_the_same_bits_in_any_pieces(family, kind):
    decoder = decoder_of(family)
    tokens = np.arange(8) * 31 % decoder.config.vocab_size
    found = []
    for step, pieces in ((POSITIONS, [8]), (1000, [1] * 8), (4096, [3, 5])):
        cache = filled(decoder, kind, step)
        rows, start = [], POSITIONS - 8
        for count in pieces:
            first = sum(map(len, rows))
            rows.append(decoder.hidden(tokens[first:first + count], cache, start + first))
        found.append(np.concatenate(rows))
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].view(np.int32), other.view(np.int32))


@pytest.mark.parametrize("kind", KINDS)
def test_attention_to_all_positions_is_near_to_float64(kind):
    decoder = decoder_of("llama")
    config, cache = decoder.config, filled(decoder, kind, POSITIONS)
    random = np.random.default_rng(3)
    keys, values = (random.standard_normal((POSITIONS - 8, 2, 32), np.float32) for _ in range(2))
    queries = np.random.default_rng(4).standard_normal((1, 2, 32), np.float32)
    # Without the last eight positions, which are empty: the window of the one before them.
    out = cache.attend(0, POSITIONS - 9, queries, None)
    for head in range(config.num_heads):
        scores = keys[:, head].astype(np.float64) @ queries[0, head] / np.sqrt(32)
        weights = np.exp(scores - scores.max())
        expected = weights @ values[:, head] / weights.sum()
        error = np.linalg.norm(out[0, head] - expected) / np.linalg.norm(expected)
        assert error < ERRORS[kind], (kind, error)


def test_extreme_values_at_every_position_do_not_overflow():
    """All weights and values at their largest: 32,768 x 127 x 32,767 is beyond 32 bits."""
    ones = np.ones((POSITIONS, 1, 32), np.float32)
    keys, values = (np.zeros((1, POSITIONS, 32), np.int8) for _ in range(2))
    scales = [np.zeros((1, POSITIONS), np.float32) for _ in range(2)]
    store_int8(ones, keys, scales[0], 0)
    store_int8(ones, values, scales[1], 0)
    out = attend_int8(ones[:1], keys, scales[0], values, scales[1], POSITIONS - 1, POSITIONS)
    np.testing.assert_allclose(out, 1.0, rtol=1e-4)


def test_rotary_tables_are_right_at_the_end_of_the_context():
    decoder = decoder_of("llama")
    rope = decoder.rope.rotations(POSITIONS - 5, POSITIONS)[0]
    angles = np.multiply.outer(
        np.arange(POSITIONS - 5, POSITIONS), 5e5 ** -(np.arange(0, 32, 2) / 32))
    np.testing.assert_allclose(rope.cosine, np.cos(angles), atol=1e-7)
    np.testing.assert_allclose(rope.sine, np.sin(angles), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), [
    ("bitnet", "int8"), ("llama", "int8"), ("bitnet", "int4"), ("llama", "fp8"),
    ("llama", "float32"),
])
def test_a_prompt_of_32k_and_what_follows_it(family, kind):
    """The whole prompt in pieces of 512, then token by token; and in pieces of 3,000."""
    decoder = decoder_of(family)
    ids = np.random.default_rng(5).integers(0, 256, POSITIONS)
    session = Session(decoder, kind, POSITIONS)
    session.prefill(ids[:-20])
    taken = session.cache.nbytes
    tracemalloc.start()
    try:
        decoded = [session.feed([token])[0] for token in ids[-20:]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert session.position == POSITIONS
    assert peak < taken / 4 + (2 << 20)   # no copy of the cache
    again = Session(decoder, kind, POSITIONS)
    for begin in range(0, POSITIONS - 7, 3000):
        again._feed(ids[begin:min(begin + 3000, POSITIONS - 7)], None)
    rest = again.feed(ids[-7:])
    np.testing.assert_array_equal(rest.view(np.int32), np.array(decoded[-7:]).view(np.int32))
