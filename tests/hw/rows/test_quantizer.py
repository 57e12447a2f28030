from functools import cache

import numpy as np
import pytest

from support.float32 import to_bits
from trilobite.hw.matmul.reference import pack_rows, unpack_floats, unpack_rows
from trilobite.hw.rows.quantizer import Quantizer
from trilobite.hw.rows.row_fork import RowFork
from trilobite.hw.unused import never_elaborated
from trilobite.numerics import quantize_activation
from trilobite.sim.verify.bench import Traffic, build, exchange

LANES, MAX_BEATS = 3, 50
STREAMS = ("i", "o", "o_scale")


@cache
def quantizer(simulator="verilator"):
    return build(Quantizer(LANES, MAX_BEATS), "quantizer", simulator)


def traffic(rows, **keywords):
    beats = pack_rows(rows, LANES)
    return Traffic({"i": beats}, {"o": len(beats), "o_scale": len(rows)}, **keywords)


def check(rows, observed):
    """Codes, scales and the ends of rows are the runtime's; past a row's end the codes are 0."""
    codes = unpack_rows(observed.outputs["o"], np.int8, LANES)
    scales = unpack_floats(observed.outputs["o_scale"], len(rows))
    assert len(codes) == len(rows)
    for row, got, scale in zip(rows, codes, scales, strict=True):
        expected = np.empty(len(row), np.int8)
        assert to_bits(quantize_activation(row, expected)) == to_bits(scale)
        np.testing.assert_array_equal(got[:len(row)], expected)
        assert not got[len(row):].any()


def random_rows(seed, count=30):
    """Rows of every length, of very different sizes, some with an outlier."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        length = (1, 2, 3, 4, MAX_BEATS * LANES, 97, int(rng.integers(1, 60)))[number % 7]
        row = rng.standard_normal(length, np.float32) * np.float32(2.0 ** rng.integers(-30, 100))
        if number % 3 == 0:
            row[rng.integers(length)] *= 50
        rows.append(row.astype(np.float32))
    return rows


def special_rows():
    """Zero, below the smallest scale, powers of two, ties of rint, the ends of the range."""
    half = np.float32(0.5)
    return [
        np.zeros(7, np.float32),
        np.array([-0.0, 1e-6, -9e-6, 1e-5], np.float32),
        np.array([1, -1, 2.0**-8, 0.25], np.float32),
        np.append(np.arange(-126, 127, dtype=np.float32) + half, np.float32(-127))[-120:],
        np.arange(1, 128, dtype=np.float32) * np.float32(2.0**120 / 127),
        np.array([3.4e38, -3.4e38, 1], np.float32),
        np.array([-2.0**-126, 2.0**-126], np.float32),
    ]


def test_codes_and_scales_are_the_runtimes_with_and_without_stalls():
    rows = special_rows() + random_rows(0)
    stalls = [0.0, 0.3, 0.8, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(quantizer(), [traffic(rows, stall=stall) for stall in stalls]):
        check(rows, observed)


def test_rows_follow_each_other_without_a_gap():
    with never_elaborated():
        latency = Quantizer(LANES, MAX_BEATS).latency
    cases = [(beats, count) for beats in (MAX_BEATS, -(-latency // 2)) for count in (1, 8)]
    runs = [[np.linspace(-3, number, beats * LANES, dtype=np.float32) for number in range(count)]
            for beats, count in cases]
    observed = exchange(quantizer(), [traffic(rows) for rows in runs])
    for (beats, count), rows, each in zip(cases, runs, observed, strict=True):
        # The first row's last beat is taken in cycle `beats`, its first code `latency` later.
        assert each.cycles == beats + latency + count * beats - 1
        check(rows, each)


def test_a_row_that_is_too_long_is_cut():
    rows = [random_rows(1)[4], np.full(2 * MAX_BEATS * LANES - 5, 2, np.float32)]
    rows[1][-1] = 7
    run = traffic(rows)
    run.outputs["o_scale"] = 3
    cut = [rows[0], rows[1][:MAX_BEATS * LANES], rows[1][MAX_BEATS * LANES:]]
    check(cut, exchange(quantizer(), [run])[0])


def test_a_reset_drops_what_is_under_way():
    rows = random_rows(2)
    runs = [traffic(rows, reset_after=cycle, stall=0.2) for cycle in (2, 40, 55, 99, 300)]
    check(rows, exchange(quantizer(), [*runs, traffic(rows)])[-1])


@pytest.mark.parametrize(("lanes", "beats", "sentence"), [
    (0, 4, "at least 1 of lanes, not 0"), (2, 0, "at least 1 of max_beats, not 0"),
])
def test_rows_of_nothing_are_refused(lanes, beats, sentence):
    with never_elaborated(), pytest.raises(ValueError, match=sentence):
        RowFork(lanes, beats, wait=1)


@pytest.mark.icarus
def test_icarus_agrees():
    rows = random_rows(3, count=14)
    for observed in exchange(quantizer("icarus"), [traffic(rows, stall=0.2)]):
        check(rows, observed)
