"""A decode step takes a bounded piece of memory and gives all of it back."""

import tracemalloc

import pytest
from numba.core.runtime import _nrt_python, rtsys

from trilobite.model import ModelConfig
from trilobite.quant.formats import Int4, Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights

CONFIG = ModelConfig(
    family="bitnet", hidden_size=256, intermediate_size=640, num_layers=3, num_heads=4,
    num_kv_heads=2, head_dim=64, vocab_size=8000, max_position_embeddings=4096, rms_norm_eps=1e-5,
    rope_theta=1e4, tie_word_embeddings=True,
)
CAPACITY = 4096
LOGITS = 4 * CONFIG.vocab_size
SCRATCH = 256 << 10   # panels of two threads, vectors of a layer
STEPS = 5


@pytest.fixture(params=[Ternary("base3"), Ternary("2bit"), Int4(32)], ids=lambda form: form.name)
def session(request):
    decoder = Decoder(CONFIG, random_weights(CONFIG, request.param))
    session = Session(decoder, "int8", CAPACITY)
    for token in range(3):
        session.feed([token])
    return session


@pytest.fixture
def statistics():
    _nrt_python.memsys_enable_stats()
    yield rtsys.get_allocation_stats
    _nrt_python.memsys_disable_stats()


def test_a_step_takes_the_logits_and_a_little_scratch(session):
    """A copy of the cache or of the weights would be megabytes."""
    assert session.cache.nbytes > 8 * (LOGITS + SCRATCH)
    tracemalloc.start()
    try:
        for step in range(STEPS):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            session.feed([step])
            now, most = tracemalloc.get_traced_memory()
            assert LOGITS <= most - before < LOGITS + SCRATCH
            assert now - before < 4096
    finally:
        tracemalloc.stop()


def test_kernels_give_back_what_they_take(session, statistics):
    before = statistics()
    for step in range(STEPS):
        session.feed([step])
    after = statistics()
    taken, given = after.mi_alloc - before.mi_alloc, after.mi_free - before.mi_free
    assert taken == given > 0
    assert taken % STEPS == 0   # as many in every step, however long the context
