from functools import cache

import numpy as np
import pytest

from support.attention_bench import TIMING, AttentionBench, attention_traffic, random_pass
from support.float32 import to_bits
from trilobite.hw.attention.attention_parameters import AttentionParameters
from trilobite.hw.matmul.reference import unpack_rows
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import build, exchange

SMALL = AttentionParameters(word_bytes=16, queries=2, lanes=4, max_head_dim=64, max_context=256)
STREAMS = ("i_pass", "i_codes", "i_scale", "o")
DEPTH = 1 << 14


@cache
def bench(parameters=SMALL, timing=TIMING):
    return AttentionBench(parameters, DEPTH, timing)


@cache
def simulation(parameters=SMALL, timing=TIMING):
    return build(bench(parameters, timing), "attention_bench")


def check(parameters, passes, observed):
    rows = unpack_rows(observed.outputs["o"], np.float32, parameters.lanes)
    expected = [row for item in passes for row in item.expected()]
    assert len(rows) == len(expected)
    for number, (row, want) in enumerate(zip(rows, expected, strict=True)):
        np.testing.assert_array_equal(to_bits(row), to_bits(want), f"query {number}")


def run(passes, parameters=SMALL, **keywords):
    traffic = attention_traffic(bench(parameters), passes, **keywords)
    return exchange(simulation(parameters), traffic)[1]


def test_one_query_over_three_tiles():
    rng = np.random.default_rng(0)
    passes = [random_pass(rng, SMALL, 32, 1, 70)]
    check(SMALL, passes, run(passes))


def test_factors_may_come_from_registers():
    """As on the smallest accelerator: a word of four bytes, one lane, one query."""
    parameters = AttentionParameters(word_bytes=4, queries=1, lanes=1, max_head_dim=8,
                                     max_context=96, factor_cycles=2)
    rng = np.random.default_rng(7)
    passes = [random_pass(rng, parameters, 8, 1, position) for position in (0, 31, 32, 40, 70)]
    for stall in (0.0, 0.3):
        check(parameters, passes, run(passes, parameters, stall=stall))


def varied_passes(rng, parameters, count):
    """Heads of all lengths, positions about the ends of tiles, prefill and grouped queries."""
    heads = range(parameters.chunk, parameters.max_head_dim + 1, parameters.chunk)
    positions = [0, 1, 30, 31, 32, 33, 62, 63, 64, 95, 127, 100]
    passes = []
    for number in range(count):
        queries = 1 + number % parameters.queries
        group = (1, queries, 2)[number % 3]
        position = positions[number % len(positions)] + (number // 24)
        passes.append(random_pass(rng, parameters, heads[number % len(heads)], queries, position,
                                  group, spread=float(2.0 ** rng.integers(-3, 5))))
    return passes


def test_every_bit_is_the_runtimes_with_and_without_stalls():
    passes = varied_passes(np.random.default_rng(1), SMALL, 14)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.95} for stream in STREAMS)]
    load, *_ = attention_traffic(bench(), passes)
    runs = [attention_traffic(bench(), passes, stall=stall)[1] for stall in stalls]
    for observed in exchange(simulation(), [load, *runs])[1:]:
        check(SMALL, passes, observed)


def test_words_may_come_with_gaps():
    """A memory that gives two words in three cycles and stops for refreshes."""
    slow = DdrTiming(latency=30, words=2, per_cycles=3, refresh_interval=50, refresh_cycles=9)
    passes = varied_passes(np.random.default_rng(7), SMALL, 10)
    traffic = attention_traffic(bench(SMALL, slow), passes)
    check(SMALL, passes, exchange(simulation(SMALL, slow), traffic)[1])


def test_extreme_queries_and_caches():
    """Zero queries, equal scores, scores that underflow, the largest products, tiny scales."""
    rng = np.random.default_rng(2)
    passes = [random_pass(rng, SMALL, 64, 2, position) for position in (70, 33, 40, 64, 66, 35)]
    passes[0].queries[:] = 0
    passes[1].keys[:] = 127
    passes[1].queries[:] = 1
    passes[2].queries[:] *= 1e4
    passes[3].values[:] = -127
    passes[3].keys[:, ::2], passes[3].keys[:, 1::2] = 127, -127
    passes[3].queries[:] = np.sign(passes[3].keys[-1]) * np.float32(3)
    passes[4].value_scales[:] = np.float32(1e-5 / 127)
    passes[5].key_scales[:] = np.float32(2.0**100)
    check(SMALL, passes, run(passes))


def test_a_reset_leaves_a_unit_that_attends():
    passes = varied_passes(np.random.default_rng(3), SMALL, 6)
    load, whole = attention_traffic(bench(), passes)
    runs = [load]
    for cycle in (3, 50, 260, 500, 900):
        runs += [attention_traffic(bench(), passes, stall=0.1, reset_after=cycle)[1], whole]
    for observed in exchange(simulation(), runs)[2::2]:
        check(SMALL, passes, observed)


@pytest.mark.parametrize("head_dim", [64, 16])
def test_decode_reads_a_word_per_cycle(head_dim):
    """One query of each of several heads: the port is what bounds, across tiles and passes.

    Also where a tile's words, 80 of the shorter heads, take less time than its softmax.
    """
    rng = np.random.default_rng(4)
    passes = [random_pass(rng, SMALL, head_dim, 1, 191) for _ in range(4)]
    words = 4 * 6 * (2 * 8 + 2 * 32 * head_dim // SMALL.chunk)
    observed = run(passes)
    check(SMALL, passes, observed)
    start_and_end, blocks = 500, 4 * 6 * 2
    assert words < observed.cycles < words + blocks * 2 + start_and_end


def test_nothing_above_the_diagonal_is_read():
    """Consecutive tokens from position 0: tiles past the last one are not asked for."""
    rng = np.random.default_rng(5)
    passes = [random_pass(rng, SMALL, 16, 2, position) for position in range(0, 64, 2)]
    read = sum(2 * -(-(p.positions[-1] + 1) // 32) * 8 + 2 * (p.positions[-1] + 1)
               for p in passes)
    observed = run(passes)
    check(SMALL, passes, observed)
    assert observed.cycles < read + len(passes) * 2 * 80 + 500


@pytest.mark.slow
@pytest.mark.parametrize("shape", [
    {"word_bytes": 64, "queries": 4, "lanes": 4, "max_head_dim": 128},
    {"word_bytes": 128, "queries": 1, "lanes": 8, "max_head_dim": 96},
    {"word_bytes": 32, "queries": 3, "lanes": 1, "max_head_dim": 32},
    {"word_bytes": 16, "queries": 2, "lanes": 2, "max_head_dim": 64, "factor_cycles": 2},
])
def test_other_shapes(shape):
    parameters = AttentionParameters(max_context=512, **shape)
    rng = np.random.default_rng(6)
    passes = varied_passes(rng, parameters, 20)
    passes.append(random_pass(rng, parameters, parameters.max_head_dim, parameters.queries, 300))
    for stall in (0.0, 0.3):
        check(parameters, passes, run(passes, parameters, stall=stall))
