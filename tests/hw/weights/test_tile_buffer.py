from functools import cache

import numpy as np
import pytest

from support.registered import assert_outputs_are_registered
from trilobite.hw.matmul.reference import pack_beats
from trilobite.hw.unused import never_elaborated
from trilobite.hw.weights.tile_buffer import TileBuffer
from trilobite.sim.verify.bench import Traffic, build, exchange

DEPTH, WIDTH = 12, 16


@cache
def buffer(simulator="verilator"):
    return build(TileBuffer(width=WIDTH, depth=DEPTH, beats_width=8, repeats_width=4),
                 "tile_buffer", simulator)


def run(tiles, **keywords):
    """Traffic of tiles (beats, repeats), and the beats that must come out."""
    total = sum(beats for beats, _ in tiles)
    beats = (np.arange(total, dtype="<u2") * 257).view(np.uint8).reshape(-1, 2)
    ends = np.cumsum([count for count, _ in tiles])
    expected = np.concatenate([np.tile(beats[end - count:end], (repeats, 1))
                               for end, (count, repeats) in zip(ends, tiles, strict=True)])
    described = pack_beats(np.array([[count | repeats << 8] for count, repeats in tiles]), 12)
    return Traffic({"i_tile": described, "i": beats}, {"o": len(expected)}, **keywords), expected


def check(problems, simulator="verilator"):
    observed = exchange(buffer(simulator), [traffic for traffic, _ in problems])
    for (traffic, expected), seen in zip(problems, observed, strict=True):
        if traffic.reset_after is None:
            np.testing.assert_array_equal(seen.outputs["o"], expected)
    return observed


MIXED = [(6, 3), (1, 1), (1, 4), (12, 2), (5, 1), (7, 2), (40, 1), (11, 5), (12, 1), (3, 15)]


def test_tiles_of_any_size_and_any_number_of_rounds_with_stalls():
    check([run(MIXED, stall=stall, seed=seed) for seed, stall in enumerate(
        (0.0, 0.2, 0.7, {"i": 0.8}, {"o": 0.8}, {"i_tile": 0.9}))])


@pytest.mark.icarus
def test_icarus_agrees():
    check([run(MIXED, stall=stall) for stall in (0.0, 0.4)], "icarus")


def test_a_beat_per_cycle_in_or_out():
    """No cycle is lost: beats that could always come fill the ring, and then the two alternate."""
    problems = [run([(6, 3)] * 5), run([(100, 1)]), run([(12, 4)]), run([(4, 9), (8, 1), (6, 2)])]
    observed = check(problems)
    for (traffic, expected), seen in zip(problems, observed, strict=True):
        beats_in = len(traffic.inputs["i"])
        assert seen.cycles == beats_in + len(expected) + TileBuffer.latency - 1


def test_a_reset_at_any_time_drops_the_tiles():
    problems = []
    for cycles in range(1, 70, 6):
        problems.append(run(MIXED, reset_after=cycles, stall=0.3 * (cycles % 2)))
        problems.append(run(MIXED[:4], stall=0.1))
    check(problems)


def test_a_tile_that_cannot_be_repeated_is_given_out_once():
    traffic, expected = run([(DEPTH + 1, 3), (5, 2)])
    once = np.concatenate([expected[:DEPTH + 1], expected[-10:]])
    seen = exchange(buffer(), [Traffic(traffic.inputs, {"o": len(once)})])[0]
    np.testing.assert_array_equal(seen.outputs["o"], once)


def test_counts_of_zero_are_one():
    traffic = Traffic({"i_tile": np.zeros((2, 2), np.uint8),
                       "i": np.array([[1, 2], [3, 4]], np.uint8)}, {"o": 2})
    seen = exchange(buffer(), [traffic])[0]
    assert seen.outputs["o"].tolist() == [[1, 2], [3, 4]]


def test_no_output_depends_on_an_input_within_the_cycle():
    assert_outputs_are_registered(buffer())


@pytest.mark.parametrize("name", ["width", "depth"])
def test_sizes_out_of_range_are_refused(name):
    with never_elaborated(), pytest.raises(ValueError, match=f"{name} must be a positive integer"):
        TileBuffer(**{"width": 8, "depth": 8, name: 0})
