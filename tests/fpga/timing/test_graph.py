import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import ToolError
from trilobite.fpga.timing.arcs import CORNERS, Arcs
from trilobite.fpga.timing.graph import GraphBuilder, Net, arrivals

ARCS = Arcs("paper", "made", 250.0, {
    "one": np.array([0.5, 1.0, 2.0]), "ten": np.array([9.0, 10.0, 12.0]),
    "clock.overhead": np.array([0.25, 0.5, 1.0]), "net.local": np.array([0.1, 0.1, 0.1]),
    "net.column": np.array([3.0, 3.0, 5.0]), "net.carry": np.zeros(3), "net.dedicated": np.zeros(3),
}, np.array([2]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


def first(loop, done):
    """Cut the first arc of every loop."""
    assert not done.all()
    return loop[0]


def build(builder, fanout):
    return builder.build(ARCS, np.array(fanout))


def test_a_path_is_the_sum_of_its_cells_nets_and_the_clocks_overhead():
    builder = GraphBuilder(2)
    builder.start(0, "one")
    builder.arc(0, 1, "one", "ten")                          # by a net to two pins
    builder.end(1, "D", "one")                               # by one to three
    arrived = arrivals(build(builder, [2, 3]), first)
    assert arrived.at[1].tolist() == [0.5 + 1 + 9.5, 1 + 2 + 11, 2 + 3 + 14, 1]
    assert arrived.total[0].tolist() == [
        11 + 4 + 0.5 + 0.25, 14 + 5 + 1 + 0.5, 19 + 6 + 2 + 1, 1]
    assert not arrived.cut


def test_nets_beside_and_inside_of_a_cell_do_not_depend_on_the_fanout():
    builder = GraphBuilder(3)
    builder.start(0, "one")
    builder.arc(0, 1, "one", net=Net.INSIDE, levels=0)
    builder.end(1, "D", net=Net.LOCAL)
    arrived = arrivals(build(builder, [9, 9, 9]), first)
    assert arrived.total[0].tolist() == pytest.approx([1.35, 2.6, 5.1, 0])
    assert not np.isfinite(arrived.at[2]).any()   # nothing drives it


def test_a_net_from_or_into_a_column_takes_at_least_as_long_as_one_there():
    def total(fanout, from_column=False, net=Net.COLUMN):
        builder = GraphBuilder(1)
        builder.start(0)
        if from_column:
            builder.column(0)
        builder.end(0, "D", net=net)
        return arrivals(build(builder, [fanout]), first).total[0, :3].tolist()

    overhead = ARCS.ns["clock.overhead"]
    assert total(2) == (overhead + np.array([3, 3, 5])).tolist()
    assert total(9) == (overhead + np.array([4, 5, 6])).tolist()
    assert total(2, True, Net.ROUTED) == total(2)
    assert total(2, True, Net.LOCAL) == pytest.approx((overhead + 0.1).tolist())


def test_a_loop_is_cut_where_it_was_chosen_and_the_rest_still_arrives():
    builder = GraphBuilder(4)
    builder.start(0, "one")
    for source, target in ((0, 1), (1, 2), (2, 1), (2, 3)):
        builder.arc(source, target, "one", net=Net.INSIDE)
    builder.end(3, "D", net=Net.INSIDE)
    graph = build(builder, [1, 1, 2, 1])

    def back(loop, done):
        ways = [(int(graph.source[arc]), int(graph.target[arc])) for arc in loop]
        assert sorted(ways) == [(1, 2), (2, 1)] and done.tolist() == [True, False, False, False]
        return loop[ways.index((2, 1))]

    arrived = arrivals(graph, back)
    assert [(int(graph.source[arc]), int(graph.target[arc])) for arc in arrived.cut] == [(2, 1)]
    assert arrived.at[:, 1].tolist() == [1, 2, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), max_size=20))
def test_the_latest_arrival_is_that_of_the_longest_way(edges):
    """Against every way, one by one, in a graph whose arcs lead to larger numbers."""
    edges = [(a, b, slow) for a, b, slow in edges if a < b]
    builder = GraphBuilder(8)
    builder.start(0)
    for a, b, slow in edges:
        builder.arc(a, b, "ten" if slow else "one", net=Net.INSIDE)
    at = arrivals(build(builder, [1] * 8), first).at
    best = {0: np.zeros(len(CORNERS) + 1)}

    def walk(node, time):
        best[node] = np.maximum(best.get(node, time), time)
        for a, b, slow in edges:
            if a == node:
                walk(b, time + np.array([*ARCS.ns["ten" if slow else "one"], 1]))

    walk(0, np.zeros(len(CORNERS) + 1))
    for node in range(8):
        expected = best.get(node, np.full(len(CORNERS) + 1, -np.inf))
        assert at[node].tolist() == expected.tolist()


def test_an_arc_without_a_delay_is_refused():
    builder = GraphBuilder(1)
    builder.start(0, "carrier pigeon")
    with pytest.raises(ToolError, match="The delays of paper have no arc 'carrier pigeon'"):
        build(builder, [0])
