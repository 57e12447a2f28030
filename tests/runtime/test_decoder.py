"""The decoder on tiny made-up weights: what it asks for, what it refuses, what it flushes."""

import dataclasses

import numpy as np
import pytest

from support.watch import Watch
from trilobite.errors import CheckpointError
from trilobite.model import ModelConfig
from trilobite.numerics import rope_tables
from trilobite.quant.formats import Int8
from trilobite.runtime import rope
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.kv_cache.cache import make_cache

CONFIG = ModelConfig(
    family="llama", hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2,
    num_kv_heads=1, head_dim=16, vocab_size=40, max_position_embeddings=4096, rms_norm_eps=1e-5,
    rope_theta=1e4, sub_norm=True,
)


def weights(config, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (0.3 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in config.tensor_shapes().items()
    }


def hidden(decoder, token_ids, start=0):
    cache = make_cache("float32", decoder.config, start + len(token_ids))
    return decoder.hidden(np.array(token_ids), cache, start)


@pytest.mark.parametrize("tied", [False, True])
def test_every_tensor_is_asked_for_once(tied):
    config = dataclasses.replace(CONFIG, tie_word_embeddings=tied, qkv_bias=True, qk_norm=True)
    tensors, asked = weights(config), []

    def get(name):
        asked.append(name)
        return tensors[name]

    watch = Watch()
    Decoder(config, get, progress=watch)
    assert sorted(asked) == sorted(config.tensor_shapes())
    assert watch.steps == asked
    assert watch.total == watch.done == len(asked)


def test_a_tied_head_is_the_embedding():
    config = dataclasses.replace(CONFIG, tie_word_embeddings=True)
    tensors = weights(config)
    decoder = Decoder(config, tensors.__getitem__)
    x = hidden(decoder, [3, 1])
    np.testing.assert_allclose(
        decoder.logits(x), x @ tensors["model.embed_tokens.weight"].T, rtol=1e-5, atol=1e-5
    )


def test_a_quantized_embedding_gives_its_dequantized_rows():
    tensors = weights(CONFIG)
    packed = Int8().quantize(tensors["model.embed_tokens.weight"])
    decoder = Decoder(CONFIG, (tensors | {"model.embed_tokens.weight": packed}).__getitem__)
    ids = np.array([7, 0, 39, 7])
    assert np.array_equal(decoder.embedding(ids), packed.dequantize()[ids])


def test_subnormal_weights_are_read_as_zero():
    tensors = weights(CONFIG)
    flushed = {name: value.copy() for name, value in tensors.items()}
    for name in ("model.embed_tokens.weight", "model.norm.weight"):
        tensors[name].flat[::3] = 1e-40
        flushed[name].flat[::3] = 0
    one, other = (Decoder(CONFIG, held.__getitem__) for held in (tensors, flushed))
    assert np.array_equal(hidden(one, [5, 6, 7]), hidden(other, [5, 6, 7]))


def test_a_quantized_norm_is_refused_by_name():
    tensors = weights(CONFIG)
    name = "model.layers.1.input_layernorm.weight"
    packed = Int8().quantize(tensors[name].reshape(1, -1))
    with pytest.raises(CheckpointError, match=name):
        Decoder(CONFIG, (tensors | {name: packed}).__getitem__)


def test_positions_beyond_the_first_rotary_table():
    tensors = weights(CONFIG)
    decoder = Decoder(CONFIG, tensors.__getitem__)
    ids = list(np.random.default_rng(1).integers(0, 40, 1100))
    whole = hidden(decoder, ids)
    cache = make_cache("float32", CONFIG, 1100)
    first = decoder.hidden(np.array(ids[:1000]), cache, 0)
    last = decoder.hidden(np.array(ids[1000:]), cache, 1000)
    np.testing.assert_allclose(np.concatenate([first, last]), whole, rtol=2e-4, atol=2e-4)


def test_observed_tensors_are_copies_under_their_names():
    decoder = Decoder(CONFIG, weights(CONFIG).__getitem__)
    seen = {}
    cache = make_cache("float32", CONFIG, 2)
    decoder.hidden(np.array([1, 2]), cache, 0, seen.__setitem__)
    assert len(seen) == 2 * (7 + 1)
    first, second = seen["model.layers.0.output"], seen["model.layers.1.output"]
    assert first.shape == second.shape == (2, 32)
    assert not np.array_equal(first, second)


def test_memory_is_counted():
    tensors = weights(CONFIG)
    decoder = Decoder(CONFIG, tensors.__getitem__)
    assert decoder.nbytes == sum(value.nbytes for value in tensors.values())


def test_the_rotary_tables_do_not_shrink_when_threads_extend_them_at_once(monkeypatch):
    decoder = Decoder(CONFIG, weights(CONFIG).__getitem__)
    tables, entered = rope.rope_rows, []

    def meanwhile(kind, positions, length):
        entered.append(len(positions))
        if len(entered) == 1:   # another thread comes in between, and needs more
            assert len(decoder.rope.rotations(3000, 3001)[0].cosine) == 1
        return tables(kind, positions, length)

    monkeypatch.setattr(rope, "rope_rows", meanwhile)
    short = decoder.rope.rotations(1500, 1600)[0]
    assert entered == [2048, 3072]
    assert np.array_equal(short.cosine, rope_tables(CONFIG, np.arange(1500, 1600))[0])
    assert len(decoder.rope.rotations(0, 3072)[0].cosine) == 3072
    assert entered == [2048, 3072]
