"""TPI-LLM: link terms, its worked case, and that its conditions mean what they say."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trilobite.sim.studies.tensor_parallel import (
    BlockTimes,
    communication_time,
    link_term,
    stream_weights,
)

# The paper's worked case: four laptops, a 7B model; milliseconds.
LAPTOPS = BlockTimes(attention=11, ffn=17, all_reduce=14, load_attention=18, load_ffn=30)
TIMES = st.builds(BlockTimes, *[st.floats(0.1, 50)] * 5)


def test_link_terms_of_eight_nodes():
    assert [link_term(kind, 8) for kind in ("star", "tree", "ring")] == [8, 16, 56]


def test_two_all_reduces_in_each_layer():
    assert communication_time(32, data=0.5, link=8.0, barrier=1.0, aggregation=0.5) == 640


def test_the_worked_case_is_loose_but_not_tight():
    assert LAPTOPS.is_loose
    assert not LAPTOPS.is_tight
    assert LAPTOPS.layer == 56


def test_the_worked_case_waits_with_two_blocks_and_not_with_four():
    first = LAPTOPS.load_attention
    layers = 20
    assert stream_weights(LAPTOPS, layers, window=4).makespan <= first + 56 * layers + 30
    assert stream_weights(LAPTOPS, layers, window=2).makespan > first + 56 * layers + 30


@given(TIMES, st.integers(2, 12))
def test_a_tight_case_never_waits_after_the_first_block(times, layers):
    assume(times.is_tight)
    seconds = stream_weights(times, layers, window=2).makespan
    assert seconds == pytest.approx(times.load_attention + layers * times.layer)


@given(TIMES, st.integers(2, 12), st.integers(1, 6))
def test_a_larger_window_is_never_slower_and_nothing_beats_its_bounds(times, layers, window):
    seconds = stream_weights(times, layers, window).makespan
    assert stream_weights(times, layers, window + 1).makespan <= seconds * (1 + 1e-9)
    loads = layers * (times.load_attention + times.load_ffn)
    assert seconds >= max(loads, layers * times.layer + times.load_attention) * (1 - 1e-9)


@given(TIMES, st.integers(2, 12))
def test_with_room_for_all_a_loose_case_waits_for_the_start_only(times, layers):
    assume(times.is_loose)
    seconds = stream_weights(times, layers, window=2 * layers).makespan
    start = times.load_attention + max(0.0, times.load_ffn - times.attention - times.all_reduce)
    assert seconds == pytest.approx(start + layers * times.layer)
