from functools import cache

import numpy as np

from trilobite.hw.streams.fork import StreamFork
from trilobite.sim.verify.bench import Traffic, build, exchange

READERS, DEPTH = 3, 4
OUTPUTS = [f"o__{number}" for number in range(READERS)]


@cache
def fork():
    return build(StreamFork(16, READERS, DEPTH), "stream_fork")


def traffic(beats, **keywords):
    return Traffic({"i": beats}, dict.fromkeys(OUTPUTS, len(beats)), **keywords)


def random_beats(seed, count=300):
    return np.random.default_rng(seed).integers(0, 256, (count, 2), np.uint8)


def test_every_reader_gets_every_beat_at_its_own_pace():
    beats = random_beats(0)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.9} for stream in ("i", *OUTPUTS))]
    for observed in exchange(fork(), [traffic(beats, stall=stall) for stall in stalls]):
        for output in OUTPUTS:
            np.testing.assert_array_equal(observed.outputs[output], beats)


def test_a_beat_per_cycle_while_nobody_stalls():
    beats = random_beats(1)
    observed, = exchange(fork(), [traffic(beats)])
    assert observed.cycles == len(beats) + 1


def test_a_reset_drops_what_is_under_way():
    beats = random_beats(2)
    runs = [traffic(beats, reset_after=cycle, stall=0.4) for cycle in (2, 7, 50)]
    *cut, whole = exchange(fork(), [*runs, traffic(beats)])
    for observed in cut:
        for output in OUTPUTS:
            given = observed.outputs[output]
            np.testing.assert_array_equal(given, beats[:len(given)])
    for output in OUTPUTS:
        np.testing.assert_array_equal(whole.outputs[output], beats)
