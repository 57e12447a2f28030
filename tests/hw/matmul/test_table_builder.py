import itertools

import numpy as np
import pytest

from support.tlmm import PARAMETERS
from trilobite.hw.matmul.reference import pack_activations, unpack_beats
from trilobite.hw.matmul.table_builder import TableBuilder, walk
from trilobite.sim.verify.bench import Traffic, build, exchange


def test_the_walk_of_two_trits():
    """Worked out by hand: 0, a, then t0 + 3 with t0 = 1, -1, 0."""
    steps = walk(2)
    assert [step["index"] for step in steps] == [0, 1, 4, 2, 3]
    assert [step["digit"] for step in steps][:4] == [0, 1, 0, 0]
    assert [step["wrap"] for step in steps][:4] == [0, 0, 1, 0]


@pytest.mark.parametrize("group_size", [2, 3, 4, 5])
def test_the_walk_visits_every_entry_and_its_steps_lead_there(group_size):
    activations = 10 ** np.arange(group_size)
    steps = walk(group_size)
    entries = (3 ** group_size + 1) // 2
    assert sorted(step["index"] for step in steps) == list(range(entries))
    value = 0
    for step in steps:
        trits = [(step["index"] + entries - 1) // 3 ** i % 3 - 1 for i in range(group_size)]
        assert value == trits @ activations
        value += activations[step["digit"]] * (-2 if step["wrap"] else 1)


def all_sums(parameters, group):
    """The table of one group, by the definition of its index: int64 [entries]."""
    trits = itertools.product((-1, 0, 1), repeat=parameters.group_size)
    sums = np.array([np.dot(reversed_trits[::-1], group) for reversed_trits in trits])
    return sums[len(sums) // 2:]   # from that of the trits that are all 0


@pytest.mark.parametrize("name", ["g3", "g5"])
def test_tables_hold_every_sum_and_follow_without_a_gap(name):
    parameters = PARAMETERS[name]
    passes = 6
    rng = np.random.default_rng(0)
    limit = 1 << (parameters.activation_width - 1)
    activations = rng.integers(-limit, limit, (passes, parameters.pass_length))
    activations[0], activations[1] = -limit, limit - 1
    beats = passes * parameters.entries
    runs = [Traffic({"i": pack_activations(parameters, activations)}, {"o": beats}, stall=stall)
            for stall in (0.0, 0.5)]
    observed = exchange(build(TableBuilder(parameters), "table_builder"), runs)
    assert observed[0].cycles == 1 + beats

    expected = np.stack([
        [all_sums(parameters, group)
         for group in one_pass.reshape(parameters.tables, parameters.group_size)]
        for one_pass in activations])   # [passes, T, entries]
    index_width = parameters.index_width - 1
    head = index_width + 1
    for run in observed:
        words = unpack_beats(run.outputs["o"], 1, head + parameters.tables * parameters.entry_width)
        words = -words   # one-bit signed fields are 0 and -1
        indices = words[:, :index_width] @ (1 << np.arange(index_width))
        np.testing.assert_array_equal(
            words[:, index_width],
            np.arange(1, beats + 1) % parameters.entries == 0)
        weights = 1 << np.arange(parameters.entry_width)
        weights[-1] *= -1
        entries = words[:, head:].reshape(beats, parameters.tables, -1) @ weights
        for number, table in enumerate(expected):
            part = slice(number * parameters.entries, (number + 1) * parameters.entries)
            np.testing.assert_array_equal(entries[part], table.T[indices[part]])
