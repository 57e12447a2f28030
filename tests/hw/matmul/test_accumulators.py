import numpy as np

from trilobite.hw.matmul.accumulators import Accumulators
from trilobite.hw.matmul.reference import pack_beats, unpack_beats
from trilobite.sim.verify.bench import build, sample

DEPTH, COLUMNS, ADDEND_WIDTH, WIDTH = 5, 2, 6, 10


def simulate(control, addends, negative):
    """Apply control words and, one cycle later, their addends; return (valid, sums, last)."""
    component = Accumulators(depth=DEPTH, columns=COLUMNS, addend_width=ADDEND_WIDTH, width=WIDTH)
    words = sum(control[name] << bit for bit, name in
                enumerate(("valid", "first", "emit", "last", "row")))
    idle = np.zeros((1, 1), np.int64)
    recorded = sample(build(component, "accumulators"), {
        "i_control": pack_beats(np.concatenate([words[:, None], idle]), 7),
        "i_addends": pack_beats(np.concatenate([np.zeros((1, COLUMNS), np.int64), addends]),
                                ADDEND_WIDTH),
        "i_negative": pack_beats(np.concatenate([np.zeros((1, COLUMNS), np.int64), negative]), 1),
    })
    payload = recorded["o__payload"][1:]
    return (recorded["o__valid"][1:, 0] & 1, unpack_beats(payload, WIDTH, COLUMNS),
            payload[:, COLUMNS * WIDTH // 8] >> COLUMNS * WIDTH % 8 & 1)


def test_rows_accumulate_as_in_an_array():
    rng = np.random.default_rng(0)
    cycles = 400
    control = {name: rng.integers(0, 2, cycles) for name in ("valid", "first", "emit", "last")}
    # Runs of the same row, so that a row is read in the cycle in which it is written.
    control["row"] = np.repeat(rng.integers(0, DEPTH, cycles), rng.integers(1, 4, cycles))[:cycles]
    control["first"][:DEPTH * 2] = 1
    addends = rng.integers(-32, 32, (cycles, COLUMNS))
    negative = rng.integers(0, 2, (cycles, COLUMNS))
    valid, sums, last = simulate(control, addends, negative)
    addends = np.where(negative, -addends, addends)

    rows = np.zeros((DEPTH, COLUMNS), np.int64)
    for cycle in range(cycles):
        row = control["row"][cycle]
        expected = (0 if control["first"][cycle] else rows[row]) + addends[cycle]
        expected = (expected + 512) % 1024 - 512
        if control["valid"][cycle]:
            rows[row] = expected
        emitted = control["valid"][cycle] & control["emit"][cycle]
        assert valid[cycle] == emitted
        if emitted and (control["first"][:cycle + 1] & (control["row"][:cycle + 1] == row)).any():
            np.testing.assert_array_equal(sums[cycle], expected)
            assert last[cycle] == control["last"][cycle]
