import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import TrilobiteError
from trilobite.hw import TlmmParameters
from trilobite.hw.weights.buffer_planner import (
    BLOCKS,
    BufferPlan,
    TilePlan,
    plan_buffer,
    plan_tiles,
    weight_beat_width,
)

KV260 = TlmmParameters(group_size=3, tables=32, columns=16, max_k=8192, max_m=8192)


def test_the_buffer_of_the_kv260_engine_worked_out_by_hand():
    """2560 bits are 18 blocks of 144; one row of URAM is 2048 deep: 18 of 64."""
    assert weight_beat_width(KV260) == 2560
    plan = plan_buffer(2560, 2048, {"uram": 64, "bram36": 115})
    assert plan == BufferPlan("uram", 2560, 2048, 18, 1)
    assert plan.blocks == 18
    assert plan.used == pytest.approx(2560 / 2592)


def test_a_shallow_buffer_is_made_of_the_blocks_that_are_scarce_less():
    assert plan_buffer(2560, 512, {"uram": 64, "bram36": 144}).kind == "bram36"
    assert plan_buffer(2560, 512, {"uram": 64, "bram36": 40}).kind == "uram"
    assert plan_buffer(73, 513, {"bram36": 4}) == BufferPlan("bram36", 73, 1024, 2, 2)


@given(st.integers(1, 5000), st.integers(1, 20_000), st.integers(0, 200), st.integers(0, 200))
def test_a_plan_is_large_enough_and_no_block_can_be_left_out(width, depth, urams, brams):
    available = {"uram": urams, "bram36": brams}
    try:
        plan = plan_buffer(width, depth, available)
    except TrilobiteError:
        for kind, block in BLOCKS.items():
            assert -(-width // block.width) * -(-depth // block.depth) > available[kind]
        return
    block = BLOCKS[plan.kind]
    assert plan.blocks <= available[plan.kind]
    assert plan.banks * block.width >= width > (plan.banks - 1) * block.width
    assert plan.depth == plan.rows * block.depth >= depth > (plan.rows - 1) * block.depth
    assert 0 < plan.used <= 1


@pytest.mark.parametrize(("arguments", "sentence"), [
    ((2560, 8192, {"uram": 64}), "8192 words of 2560 bits does not fit into 64 uram"),
    ((8, 8, {}), "does not fit into no memory blocks"),
    ((8, 8, {"m20k": 4}), "'m20k' is unknown; known are uram, bram36"),
    ((0, 8, {"uram": 4}), "at least one word of one bit, not 8 of 0"),
])
def test_what_does_not_fit_is_refused(arguments, sentence):
    with pytest.raises(TrilobiteError, match=sentence):
        plan_buffer(*arguments)


@pytest.mark.parametrize(("M", "K", "plan"), [
    (1536, 1536, TilePlan(1536, 1, 96 * 16)),          # 1536 beats: half of 4096 holds it
    (4096, 1536, TilePlan(2048, 2, 128 * 16)),         # 4096 beats: two halves
    (1536, 4096, TilePlan(512, 3, 32 * 43)),           # 47 blocks fit, 96 / 3 = 32 are equal
])
def test_tiles_of_bitnet_worked_out_by_hand(M, K, plan):
    assert plan_tiles(KV260, M, K, 4096) == plan


@given(st.integers(1, 8192), st.integers(1, 8192), st.integers(1, 9000))
def test_tiles_cover_the_matrix_and_two_of_them_fit(M, K, depth):
    passes = KV260.passes(K)
    if depth < 2 * passes:
        with pytest.raises(TrilobiteError, match="Two tiles of 16 rows"):
            plan_tiles(KV260, M, K, depth)
        return
    plan = plan_tiles(KV260, M, K, depth)
    assert 2 * plan.beats <= depth
    assert plan.beats == plan.rows // 16 * passes
    assert (plan.tiles - 1) * plan.rows < M <= plan.tiles * plan.rows
