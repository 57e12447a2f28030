import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.errors import EstimateError
from trilobite.sim.studies.subgraph_schedule import (
    MOST_FOR_OPTIMUM,
    Subgraph,
    in_order,
    optimum,
    out_of_order,
)


@st.composite
def graphs(draw, most=7):
    """Subgraphs with whole seconds, so that sums are exact."""
    found = []
    for index in range(draw(st.integers(1, most))):
        after = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else ()
        unit = draw(st.sampled_from(["CPU", "NPU"]))
        found.append(Subgraph(unit, float(draw(st.integers(0, 6))), tuple(sorted(after))))
    return found


def assert_valid(schedule):
    pairs = list(zip(schedule.starts, schedule.subgraphs, strict=True))
    for start, one in pairs:
        assert all(pairs[other][0] + pairs[other][1].seconds <= start for other in one.after)
    for (a, one), (b, other) in itertools.combinations(pairs, 2):
        if one.unit == other.unit:
            assert a + one.seconds <= b or b + other.seconds <= a


def shortest(subgraphs):
    """By every order in which the subgraphs can be given their starts."""
    best = math.inf
    for order in itertools.permutations(range(len(subgraphs))):
        ends, free = {}, {}
        for index in order:
            one = subgraphs[index]
            if any(other not in ends for other in one.after):
                break
            start = max([free.get(one.unit, 0.0), *(ends[other] for other in one.after)])
            ends[index] = free[one.unit] = start + one.seconds
        else:
            best = min(best, max(ends.values()))
    return best


def test_by_hand():
    # Two chunks: the CPU's second subgraph feeds five seconds of the NPU, its first one feeds one.
    graph = [Subgraph("CPU", 2), Subgraph("CPU", 2), Subgraph("NPU", 1, (0,)),
             Subgraph("NPU", 5, (1,))]
    assert in_order(graph).starts == (0, 2, 2, 4)
    assert out_of_order(graph).starts == (2, 0, 7, 2)
    assert (in_order(graph).makespan, out_of_order(graph).makespan) == (9, 8)
    assert optimum(graph).makespan == 8
    assert in_order(graph).bubbles("NPU") == pytest.approx(1 / 3)


def test_the_rule_is_not_always_best():
    # It gives the CPU to what feeds 3 s of the NPU first, though 9 s of the CPU hang on the other.
    graph = [Subgraph("CPU", 4), Subgraph("CPU", 1), Subgraph("NPU", 3, (0,)),
             Subgraph("NPU", 1, (1,)), Subgraph("CPU", 9, (3,))]
    assert out_of_order(graph).makespan == 17
    assert optimum(graph).makespan == 14


@settings(deadline=None, max_examples=200)
@given(graphs(9))
def test_schedules_are_valid_and_none_is_better_than_the_optimum(graph):
    best = optimum(graph)
    for schedule in (in_order(graph), out_of_order(graph), best):
        assert_valid(schedule)
        assert schedule.makespan >= best.makespan


@settings(deadline=None, max_examples=60)
@given(graphs(6))
def test_the_optimum_is_the_best_of_all_orders(graph):
    assert optimum(graph).makespan == shortest(graph)


@pytest.mark.parametrize(("graph", "message"), [
    ([Subgraph("CPU", -1)], "Subgraph 0 takes -1 seconds"),
    ([Subgraph("CPU", math.nan)], "Subgraph 0 takes nan seconds"),
    ([Subgraph("CPU", 1, (0,))], "Subgraph 0 comes after 0, which is not before it"),
    ([Subgraph("CPU", 1)] * (MOST_FOR_OPTIMUM + 1), "up to 14 subgraphs, not 15"),
])
def test_bad_graphs_are_refused(graph, message):
    with pytest.raises(EstimateError, match=message):
        optimum(graph)


def test_nothing_takes_no_time():
    assert in_order([]).makespan == optimum([]).makespan == 0
    assert in_order([]).bubbles("NPU") == 0
