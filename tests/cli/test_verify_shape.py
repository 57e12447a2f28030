import pytest

from trilobite.cli.verify_shape import parse_timing
from trilobite.errors import TrilobiteError
from trilobite.sim.descriptions.ddr_timing import DdrTiming


def test_timing_of_the_memory_by_name():
    timing = parse_timing("latency=80,refresh_interval=1950,refresh_cycles=88")
    assert timing == DdrTiming(latency=80, refresh_interval=1950, refresh_cycles=88)
    assert parse_timing("") == DdrTiming(latency=60)


@pytest.mark.parametrize(("text", "sentence"), [
    ("delay=3", "'delay=3' must be NAME=NUMBER; names are latency, words"),
    ("latency=-1", "must be NAME=NUMBER"), ("latency", "must be NAME=NUMBER"),
    ("latency=1", "latency must be an integer of at least 2"),
    ("words=2", "at most one word per cycle, not 2 in 1"),
])
def test_a_timing_that_cannot_be_is_refused(text, sentence):
    with pytest.raises(TrilobiteError, match=sentence):
        parse_timing(text)
