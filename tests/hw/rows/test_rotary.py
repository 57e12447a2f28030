from functools import cache

import numpy as np
import pytest

from support.float32 import to_bits
from trilobite.hw.matmul.reference import pack_beats, pack_floats, pack_rows, unpack_rows
from trilobite.hw.rows.rotary import Rotary
from trilobite.hw.rows.row_banks import RowBanks
from trilobite.hw.unused import never_elaborated
from trilobite.runtime.kernels.elementwise import apply_rope
from trilobite.sim.verify.bench import Traffic, build, exchange

LANES, MAX_HALF, MAX_HEADS = 2, 6, 5
STREAMS = ("i", "i_token", "i_angles", "o")


@cache
def simulation(simulator="verilator"):
    return build(Rotary(LANES, MAX_HALF, MAX_HEADS), "rotary", simulator)


def traffic(tokens, **keywords):
    """``tokens`` are (heads float32 [heads, head_dim], cosine, sine float32 [head_dim / 2])."""
    beats = pack_rows([head for heads, _, _ in tokens for head in heads], LANES)
    angles = []
    for _, cosine, sine in tokens:
        parts = [pack_floats(cosine, LANES), pack_floats(sine, LANES)]
        last = np.zeros((len(parts[0]), 1), np.uint8)
        last[-1] = 1
        angles.append(np.concatenate([*parts, last], axis=1))
    counts = pack_beats(np.array([[len(heads)] for heads, _, _ in tokens]), 3)
    return Traffic({"i": beats, "i_token": counts, "i_angles": np.concatenate(angles)},
                   {"o": len(beats)}, **keywords)


def check(tokens, observed):
    results = unpack_rows(observed.outputs["o"], np.float32, LANES)
    expected = []
    for heads, cosine, sine in tokens:
        turned = heads[None].copy()
        apply_rope(turned, cosine[None], sine[None])
        expected += list(turned[0])
    assert len(results) == len(expected)
    for got, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(to_bits(got), to_bits(wanted))


def random_tokens(seed, count=30):
    rng = np.random.default_rng(seed)
    tokens = []
    for number in range(count):
        half = LANES * (1, 2, MAX_HALF, 3)[number % 4]
        heads = (1, MAX_HEADS, 2)[number % 3]
        angle = rng.uniform(0, 6.3, half)
        x = rng.standard_normal((heads, 2 * half)) * 2.0 ** rng.integers(-120, 120, (heads, 1))
        tokens.append((x.astype(np.float32), np.cos(angle).astype(np.float32),
                       np.sin(angle).astype(np.float32)))
    return tokens


def test_every_bit_is_the_runtimes_with_and_without_stalls():
    tokens = random_tokens(0)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(simulation(), [traffic(tokens, stall=stall) for stall in stalls]):
        check(tokens, observed)


def test_heads_follow_each_other_without_a_gap():
    half = LANES * MAX_HALF
    rng = np.random.default_rng(1)
    cases = [(1, 1), (1, MAX_HEADS), (4, 3)]
    angles = np.eye(2, half, dtype=np.float32)
    runs = [[(rng.standard_normal((heads, 2 * half), np.float32), *angles)] * tokens
            for tokens, heads in cases]
    for (tokens, heads), run, each in zip(
            cases, runs, exchange(simulation(), [traffic(run) for run in runs]), strict=True):
        # The first head's last beat is taken in cycle 2 * MAX_HALF, and comes `latency` later.
        assert each.cycles == 2 * MAX_HALF + Rotary.latency + tokens * heads * 2 * MAX_HALF - 1
        check(run, each)


def test_a_token_of_no_heads_counts_as_one_of_one():
    tokens = [token for token in random_tokens(2) if len(token[0]) == 1]
    run = traffic(tokens)
    run.inputs["i_token"] = np.zeros_like(run.inputs["i_token"])
    check(tokens, exchange(simulation(), [run])[0])


def test_a_head_that_is_too_long_is_cut():
    cosine, sine = np.full((2, LANES * MAX_HALF), [[0.6], [0.8]], np.float32)
    heads = np.arange(4 * 2 * LANES * MAX_HALF, dtype=np.float32).reshape(4, -1)
    run = traffic([(heads, cosine, sine)])
    run.inputs["i"][:3 * 2 * MAX_HALF, -1] = 0
    check([(heads, cosine, sine)], exchange(simulation(), [run])[0])


def test_a_reset_drops_what_is_under_way():
    tokens = random_tokens(3)
    runs = [traffic(tokens, reset_after=cycle, stall=0.2) for cycle in (2, 9, 15, 40, 77)]
    check(tokens, exchange(simulation(), [*runs, traffic(tokens)])[-1])


def test_banks_of_one_beat_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="at least 2 beats, not 1"):
        RowBanks(8, 1, 1)


@pytest.mark.icarus
def test_icarus_agrees():
    tokens = random_tokens(4, count=8)
    check(tokens, exchange(simulation("icarus"), [traffic(tokens, stall=0.2)])[0])
