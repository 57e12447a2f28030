"""Timings: what they count, that they leave the model as it was, what they refuse."""

import gc
import weakref

import numba
import pytest

from trilobite.errors import TrilobiteError
from trilobite.model import ModelConfig
from trilobite.quant.formats import Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.kernels.base import Linear
from trilobite.runtime.random_weights import random_weights
from trilobite.runtime.timing import (
    _filled_session,
    memory,
    threads,
    time_decode,
    time_prefill,
)

CONFIG = ModelConfig(
    family="bitnet", hidden_size=128, intermediate_size=320, num_layers=2, num_heads=2,
    num_kv_heads=1, head_dim=64, vocab_size=300, max_position_embeddings=100, rms_norm_eps=1e-5,
    rope_theta=1e4, tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(CONFIG, random_weights(CONFIG, Ternary("2bit")))


def test_a_step_is_split_without_a_rest_unaccounted(decoder):
    result = time_decode(decoder, "int8", context=50, steps=4)
    parts = (result.matmul, result.attention, result.head, result.rest)
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(result.step)
    assert (result.context, result.steps, result.threads) == (50, 4, numba.get_num_threads())


def test_a_step_reads_all_weights_and_the_context(decoder):
    weights = sum(linear.nbytes for layer in decoder.layers for linear in layer.linears.values())
    short, long = (time_decode(decoder, "int8", context, 1).read_bytes for context in (32, 64))
    assert short > weights + 300 * 128
    assert long - short == pytest.approx(32 * 2 * 2 * (64 + 4), rel=0.3)   # layers, k and v


def test_the_clocks_are_gone_afterwards(decoder):
    time_decode(decoder, "float32", 3, 1)
    held = [linear for layer in decoder.layers for linear in layer.linears.values()]
    assert all(isinstance(linear, Linear) for linear in [*held, decoder.head])


def test_the_cache_is_gone_afterwards(decoder, monkeypatch):
    caches = []

    def made(*arguments):
        session = _filled_session(*arguments)
        caches.append(weakref.ref(session.cache))
        return session

    monkeypatch.setattr("trilobite.runtime.timing._filled_session", made)
    gc.disable()   # what is left to it would still be in memory when the next cache is made
    try:
        time_decode(decoder, "int8", 3, 1)
        assert [cache() for cache in caches] == [None]
    finally:
        gc.enable()


def test_prefill_counts_its_tokens(decoder):
    result = time_prefill(decoder, "int8", 20, runs=2)
    assert result.tokens_per_second == pytest.approx(20 / result.seconds)
    assert result.runs == 2


@pytest.mark.parametrize("warm_up, runs, counted", [(1, 3, 1), (0, 3, 1)])
def test_long_prefills_are_not_repeated(decoder, monkeypatch, warm_up, runs, counted):
    fed = []
    monkeypatch.setattr("trilobite.runtime.timing._ENOUGH", 1e-9)
    monkeypatch.setattr(
        "trilobite.runtime.timing.Session.prefill", lambda self, ids: fed.append(len(ids))
    )
    assert time_prefill(decoder, "int8", 20, runs, warm_up).runs == counted
    assert fed == [20]


def test_too_long_a_context_is_refused(decoder):
    with pytest.raises(TrilobiteError, match="100 positions"):
        time_decode(decoder, "int8", 100, 1)


def test_threads_are_set_and_given_back():
    before = numba.get_num_threads()
    with threads(1):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with pytest.raises(TrilobiteError, match="1 to "), threads(0):
        pass


def test_memory_is_that_of_this_process():
    resident, most = memory()
    assert 20e6 < resident <= most
