import numpy as np
import pytest

from support.memory_bench import MemoryBench, load_beats, request_beats
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import Traffic, build, exchange

DEPTH, WORD_BYTES, MAX_BURST = 1000, 8, 16
STREAMS = ("i_load", "i_read", "i_write", "i_words")


def bench(timing, outstanding=8):
    return MemoryBench(depth=DEPTH, word_bytes=WORD_BYTES, timing=timing, max_burst=MAX_BURST,
                       outstanding=outstanding)


def contents(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (DEPTH, WORD_BYTES), np.uint8)


class Run:
    """Traffic on the bench: what is not named is empty."""

    def __init__(self, component):
        self.component = component
        self.traffic = []

    def add(self, *, load=(), reads=(), writes=(), words=(), **keywords):
        empty = {name: np.empty((0, 1), np.uint8) for name in STREAMS}
        inputs = dict(empty)
        if len(load):
            inputs["i_load"] = load_beats(load, DEPTH)
        if len(reads):
            inputs["i_read"] = request_beats(self.component, "i_read", reads)
        if len(writes):
            inputs["i_write"] = request_beats(self.component, "i_write", writes)
            inputs["i_words"] = words
        outputs = {"o": sum(count for _, count in reads), "o_written": len(writes)}
        self.traffic.append(Traffic(inputs, outputs, **keywords))

    def go(self, simulator="verilator"):
        return exchange(build(self.component, "memory_bench", simulator), self.traffic)


def busy_share(timing, outstanding=8, count=DEPTH):
    """Words per cycle of one long read, without its start."""
    run = Run(bench(timing, outstanding))
    run.add(load=contents())
    run.add(reads=[(0, count)])
    _, observed = run.go("icarus")
    np.testing.assert_array_equal(observed.outputs["o"][:, :WORD_BYTES], contents()[:count])
    start = timing.latency + 3   # request to address (two cycles), latency, R to o
    return count / (observed.cycles - start)


@pytest.mark.icarus
def test_a_long_read_keeps_the_port_busy_but_for_the_refresh():
    assert busy_share(DdrTiming(latency=40)) == 1.0
    timing = DdrTiming(latency=40, refresh_interval=195, refresh_cycles=9)
    assert busy_share(timing) == pytest.approx(timing.share, rel=0.01)
    assert timing.share == pytest.approx(1 - 9 / 195)


@pytest.mark.icarus
@pytest.mark.parametrize(("words", "per_cycles"), [(1, 2), (3, 4), (16, 19)])
def test_the_bandwidth_is_the_fraction_that_was_asked_for(words, per_cycles):
    timing = DdrTiming(latency=10, words=words, per_cycles=per_cycles)
    assert busy_share(timing) == pytest.approx(words / per_cycles, rel=0.005)


@pytest.mark.icarus
def test_too_few_outstanding_bursts_leave_the_port_idle():
    """A place is free again after its burst's last word: 100 cycles and 16 words later."""
    share = busy_share(DdrTiming(latency=100), outstanding=2)
    assert share == pytest.approx(2 * MAX_BURST / (100 + MAX_BURST), rel=0.02)


@pytest.mark.icarus
@pytest.mark.parametrize("latency", [2, 3, 25])
def test_the_first_word_comes_after_the_latency(latency):
    run = Run(bench(DdrTiming(latency=latency)))
    run.add(load=contents())
    run.add(reads=[(3, 1)])
    # Request taken, cut, address, latency, word to the stream: both ends counted.
    assert run.go("icarus")[1].cycles == 1 + 2 + latency + 1


@pytest.fixture(scope="module")
def slow_memory():
    return DdrTiming(latency=13, words=2, per_cycles=3, refresh_interval=50, refresh_cycles=5,
                     turnaround=3)


def random_words(rng, count):
    """Words to write, with random strobes."""
    return rng.integers(0, 256, (count, WORD_BYTES + 1), np.uint8)


def write_into(memory, writes, words):
    """What ``writes`` make of the memory's contents."""
    memory = memory.copy()
    places = np.concatenate([np.arange(word, word + count) for word, count in writes])
    for place, word in zip(places, words, strict=True):
        strobe = np.unpackbits(word[-1:], bitorder="little").astype(bool)
        memory[place][strobe] = word[:-1][strobe]
    return memory


def test_reads_and_writes_at_once_with_stalls_on_all_streams(slow_memory):
    rng = np.random.default_rng(1)
    run = Run(bench(slow_memory, outstanding=3))
    memory = contents()
    run.add(load=memory)
    reads = [(0, 100), (7, 1), (130, 260)]       # the first half is read, the second one written
    expected = []
    for stall in (0.0, 0.4, 0.8):
        writes = [(500, 120), (700, 1), (903, 90)]
        words = random_words(rng, 211)
        run.add(reads=reads, writes=writes, words=words, stall=stall)
        memory = write_into(memory, writes, words)
        run.add(reads=[(500, 500)])
        expected.append(memory[500:])
    observed = run.go()[1:]
    for mixed, whole, after in zip(observed[::2], observed[1::2], expected, strict=True):
        read = np.concatenate([memory[word:word + count] for word, count in reads])
        np.testing.assert_array_equal(mixed.outputs["o"][:, :WORD_BYTES], read)
        np.testing.assert_array_equal(whole.outputs["o"][:, :WORD_BYTES], after)
        assert not mixed.outputs["o_written"].any()


def test_words_beyond_the_end_answer_with_an_error(slow_memory):
    run = Run(bench(slow_memory, outstanding=3))
    run.add(load=contents())
    run.add(reads=[(DEPTH - 20, 50)], writes=[(DEPTH - 30, 10), (DEPTH - 5, 20), (3, 2)],
            words=random_words(np.random.default_rng(0), 32))
    observed = run.go()[1]
    assert len(observed.outputs["o"]) == 50
    assert not observed.outputs["o"][20:-1].any()
    assert observed.outputs["o_written"].ravel().tolist() == [0, 1, 0]


def test_a_reset_at_any_time_leaves_a_memory_that_answers(slow_memory):
    run = Run(bench(slow_memory, outstanding=3))
    memory = contents()
    run.add(load=memory)
    for cycles in range(2, 90, 11):
        run.add(reads=[(10, 80)], writes=[(500, 80)],
                words=random_words(np.random.default_rng(cycles), 80), reset_after=cycles)
        run.add(reads=[(10, 80)])
    for observed in run.go()[2::2]:
        np.testing.assert_array_equal(observed.outputs["o"][:, :WORD_BYTES], memory[10:90])


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"latency": 1}, "latency must be an integer of at least 2, not 1"),
    ({"words": 3, "per_cycles": 2}, "at most one word per cycle, not 3 in 2"),
    ({"refresh_interval": 5, "refresh_cycles": 5}, "leaves no time for data"),
    ({"turnaround": 0}, "turnaround must be an integer of at least 1, not 0"),
    ({"queue": 2.0}, "queue must be an integer of at least 1, not 2.0"),
])
def test_timings_that_cannot_be_are_refused(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        DdrTiming(**changed)
