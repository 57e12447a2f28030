"""Which subgraphs chunks share, counted by hand and beside llm.npu's figures."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import small_config
from trilobite.errors import EstimateError
from trilobite.model import ModelConfig
from trilobite.sim.studies.chunk_graphs import STEPS, ChunkGraphs

QWEN = ModelConfig(   # Qwen1.5-1.8B, config.json
    family="llama", hidden_size=2048, intermediate_size=5504, num_layers=24, num_heads=16,
    num_kv_heads=16, head_dim=128, vocab_size=151936, max_position_embeddings=32768,
    rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=False,
)


def test_bytes_by_hand():
    # hidden 8, two heads of 4, one key head, feed-forward 12; chunks of 2 tokens.
    graphs = ChunkGraphs(small_config(), chunk=2, chunks=3)
    expected = {
        "attention norm": 2 * 8 * 5,
        "query, key, value": (8 + 4 + 4) * 8 + 2 * (8 + 16 * 4),
        "output projection": 8 * 8 + 2 * (8 + 8 * 4),
        "feed-forward norm": 2 * 8 * 5,
        "feed-forward": 3 * 12 * 8 + 2 * (8 * 5 + 2 * 12 * 4),
    }
    for part in STEPS:
        if part.shared:
            assert graphs.bytes(part) == expected[part.name]
    attention, = (part for part in STEPS if not part.shared)
    assert graphs.bytes(attention) == 2 * 2 * 8 * 4
    layer = sum(expected.values())
    assert graphs.memory() == 2 * (layer + 3 * graphs.bytes(attention))
    assert graphs.memory(sharing=False) == 3 * 2 * (layer + graphs.bytes(attention))


def test_as_many_are_shared_as_in_the_paper():
    graphs = ChunkGraphs(QWEN, chunk=256, chunks=4)
    assert (graphs.shared, graphs.subgraphs) == (120, 144)
    assert graphs.built(sharing=False) == 4 * 144
    assert graphs.built() == 120 + 4 * 24
    # The paper: up to 75 % less memory. With four chunks no more than 3/4 of it can be shared.
    saved = 1 - graphs.memory() / graphs.memory(sharing=False)
    assert 0.70 < saved < 0.75


@given(st.integers(1, 8), st.integers(1, 16), st.sampled_from([0.5, 1.0, 2.0]))
def test_sharing_never_costs_and_one_chunk_shares_nothing(chunks, chunk, width):
    graphs = ChunkGraphs(dataclasses.replace(small_config(), max_position_embeddings=128),
                         chunk, chunks, width, seconds=3.0)
    for cost in (graphs.built, graphs.memory, graphs.preparation):
        assert cost() <= cost(sharing=False)
        assert (cost() == cost(sharing=False)) == (chunks == 1)
    assert graphs.preparation(sharing=False) == pytest.approx(3.0 * chunks)


@pytest.mark.parametrize("wrong", [
    {"chunk": 0}, {"chunks": 0}, {"weight_bytes": 0}, {"seconds": -1.0}, {"chunks": 33}])
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(EstimateError):
        ChunkGraphs(**({"config": small_config(), "chunk": 2, "chunks": 2} | wrong))
