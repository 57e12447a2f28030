from functools import cache

import numpy as np
import pytest

from support.float32 import to_bits
from trilobite.hw.floats.add import FloatAdd
from trilobite.hw.matmul.reference import pack_floats, pack_rows, unpack_rows
from trilobite.hw.rows.lane_sum import LaneSum, tree_schedule
from trilobite.hw.rows.rms_norm import RmsNorm
from trilobite.hw.unused import never_elaborated
from trilobite.numerics import LANES
from trilobite.runtime.kernels.elementwise import rms_norm
from trilobite.sim.verify.bench import Traffic, build, exchange

MAX_BEATS = 60
STREAMS = ("i", "i_norm", "i_weight", "o")


@pytest.fixture(scope="module", params=[4, pytest.param(1, marks=pytest.mark.slow),
                                        pytest.param(2, marks=pytest.mark.slow)])
def lanes(request):
    return request.param


@cache
def simulation(lanes, simulator="verilator"):
    return build(RmsNorm(lanes, MAX_BEATS), "rms_norm", simulator)


def traffic(lanes, problems, **keywords):
    """``problems`` are (row, weight, epsilon)."""
    beats = pack_rows([row for row, _, _ in problems], lanes)
    norms = np.array([(1.0 / len(row), epsilon) for row, _, epsilon in problems], np.float32)
    weights = np.concatenate([pack_floats(weight, lanes) for _, weight, _ in problems])
    return Traffic({"i": beats, "i_norm": norms.view(np.uint8), "i_weight": weights},
                   {"o": len(beats)}, **keywords)


def check(lanes, problems, observed):
    results = unpack_rows(observed.outputs["o"], np.float32, lanes)
    assert len(results) == len(problems)
    for (row, weight, epsilon), got in zip(problems, results, strict=True):
        expected = rms_norm(row[None], weight, np.float32(epsilon))[0]
        np.testing.assert_array_equal(to_bits(got[:len(row)]), to_bits(expected))
        assert not got[len(row):].any()


def random_problems(lanes, seed, count=24):
    """Rows around every boundary of the 16 lanes, of very different sizes."""
    rng = np.random.default_rng(seed)
    problems = []
    for number in range(count):
        length = (1, 15, 16, 17, MAX_BEATS * lanes, 33, 5, 50)[number % 8]
        size = np.float32(2.0 ** rng.integers(-70, 60))
        row = (rng.standard_normal(length, np.float32) * size).astype(np.float32)
        weight = 1 + rng.standard_normal(length, np.float32)
        problems.append((row[:MAX_BEATS * lanes], weight[:MAX_BEATS * lanes], (1e-5, 1e-6)[
            number % 2]))
    zero = np.zeros(20, np.float32)
    largest = np.full(18, 3e38, np.float32)
    return [*problems, (zero, zero + 1, 1e-5), (largest, largest / 3, 1e-5)]


def test_every_bit_is_the_runtimes_with_and_without_stalls(lanes):
    problems = random_problems(lanes, 0)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.9} for stream in STREAMS)]
    runs = [traffic(lanes, problems, stall=stall) for stall in stalls]
    for observed in exchange(simulation(lanes), runs):
        check(lanes, problems, observed)


def test_rows_follow_each_other_without_a_gap(lanes):
    cases = [(beats, count) for beats in (MAX_BEATS, -(-RmsNorm.latency // 2))
             for count in (1, 8)]
    runs = []
    for beats, count in cases:
        row = np.linspace(-3, 5, beats * lanes, dtype=np.float32)
        runs.append([(row, row[::-1].copy(), 1e-5)] * count)
    assert (RmsNorm.latency, LaneSum.squares_latency) == (75, 36)
    observed = exchange(simulation(lanes), [traffic(lanes, run) for run in runs])
    for (beats, count), run, each in zip(cases, runs, observed, strict=True):
        # The first row's last beat is taken in cycle `beats`, its first result `latency` later.
        assert each.cycles == beats + RmsNorm.latency + count * beats - 1
        check(lanes, run, each)


def test_a_reset_drops_what_is_under_way(lanes):
    problems = random_problems(lanes, 1)
    runs = [traffic(lanes, problems, reset_after=cycle, stall=0.2)
            for cycle in (2, 20, 40, 65, 99, 300)]
    check(lanes, problems, exchange(simulation(lanes), [*runs, traffic(lanes, problems)])[-1])


@pytest.mark.parametrize("latency", [1, 4, 9])
def test_the_schedule_of_the_tree_reads_what_has_arrived(latency):
    """Played with sets of lanes for sums: at the end, one lane has them all, each once."""
    lanes = [[lane] for lane in range(LANES)]
    arriving = {}
    schedule = tree_schedule(latency)
    assert len({cycle for cycle, _, _ in schedule}) == len(schedule) == LANES - 1
    for cycle in range(schedule[-1][0] + latency + 2):
        for number, lane, other in schedule:
            if number == cycle:
                arriving[cycle + latency + 1, lane] = lanes[lane] + lanes[other]
        for lane in range(LANES):
            lanes[lane] = arriving.get((cycle + 1, lane), lanes[lane])
    order = [lane + offset for lane in (0, 2, 1, 3) for offset in (0, 8, 4, 12)]
    assert lanes[0] == order


def test_the_other_lane_of_an_addition_has_its_sum_just_then():
    """So that nothing stands between the tree's adder and one of its operands but a register."""
    schedule = tree_schedule(FloatAdd.latency)
    started = {lane: cycle for cycle, lane, _ in schedule[:LANES // 2]}
    for cycle, lane, other in schedule[LANES // 2:]:
        assert cycle == started[other] + FloatAdd.latency + 1
        started[lane] = cycle


@pytest.mark.parametrize("lanes", [0, 3, 8, 16])
def test_lanes_that_the_adders_cannot_serve_are_refused(lanes):
    with never_elaborated(), pytest.raises(ValueError, match=f"1, 2 or 4 lanes, not {lanes}"):
        LaneSum(lanes)


@pytest.mark.icarus
def test_icarus_agrees(lanes):
    problems = random_problems(lanes, 2, count=4)
    for observed in exchange(simulation(lanes, "icarus"), [traffic(lanes, problems, stall=0.2)]):
        check(lanes, problems, observed)
