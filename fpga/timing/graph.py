"""Arrival times in a graph of delays, all corners at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .arcs import CORNERS, Arcs

__all__ = ["Arrivals", "Cutter", "Graph", "GraphBuilder", "Net", "arrivals"]

_COLUMNS = len(CORNERS) + 1   # the last one counts levels
_NEVER = -np.inf


class Net(IntEnum):
    """How a signal gets from the cell that drives it to the pin where an arc begins."""

    ROUTED = 0     # through the fabric: by its fan-out
    LOCAL = 1      # to the flip-flop beside it
    CARRY = 2      # from a LUT to the carry chain beside it
    DEDICATED = 3  # along a chain
    INSIDE = 4     # it stays in the cell
    COLUMN = 5     # through the fabric into a column of memories or multipliers: rarely a short way


# Chooses the arc at which a loop is cut.
Cutter: TypeAlias = Callable[[Sequence[int], NDArray[np.bool_]], int]
# The delay in a device's file of each but ROUTED, which follows from the fan-out, and INSIDE. That
# of COLUMN is the least; a high fan-out takes longer there, too.
_NET_ARCS = {Net.LOCAL: "net.local", Net.CARRY: "net.carry", Net.DEDICATED: "net.dedicated",
             Net.COLUMN: "net.column"}


@dataclass(frozen=True)
class Graph:
    """Nodes are nets, and what lies inside of cells between two registers.

    ``source``, ``target``, ``cell`` and ``weight`` describe the arcs, sorted by ``target``;
    ``first`` is where those into each node begin. ``start`` is the time at which a node's signal
    leaves a register, ``-inf`` where none does. ``end``, ``end_cell``, ``end_pin`` and
    ``end_weight`` are the endpoints. The columns of weights are the corners in ns, then levels.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    cell: NDArray[np.int64]
    weight: NDArray[np.float64]
    first: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.int64]
    end_cell: NDArray[np.int64]
    end_pin: list[str]
    end_weight: NDArray[np.float64]

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return len(self.start)


class GraphBuilder:
    """Collects what cells contribute. ``cell`` is the number of the cell that is added next."""

    def __init__(self, nets: int) -> None:
        self.cell = -1
        self._nodes = nets
        self._delays: dict[tuple[str, ...], int] = {}
        self._arcs: list[tuple[int, int, int, int, int, int]] = []
        self._starts: list[tuple[int, int, int]] = []
        self._ends: list[tuple[int, int, int, int, int]] = []
        self._pins: list[str] = []
        self._columns: list[int] = []

    def node(self) -> int:
        """A new node inside of a cell."""
        self._nodes += 1
        return self._nodes - 1

    def arc(self, source: int, target: int, *delay: str, net: Net = Net.ROUTED,
            levels: int = 1) -> None:
        """A way from ``source`` to ``target`` through the cell, which takes ``delay``."""
        self._arcs.append((source, target, self.cell, self._delay(delay), net, levels))

    def column(self, net: int) -> None:
        """A cell in a column drives ``net``, which is slow for all of its sinks."""
        self._columns.append(net)

    def start(self, node: int, *delay: str, levels: int = 0) -> None:
        """A register of the cell drives ``node``, ``delay`` after the clock's edge."""
        self._starts.append((node, self._delay(delay), levels))

    def end(self, node: int, pin: str, *delay: str, net: Net = Net.ROUTED,
            levels: int = 0) -> None:
        """A register of the cell takes ``node`` in at ``pin``, ``delay`` before the edge."""
        self._ends.append((node, self.cell, self._delay(delay), net, levels))
        self._pins.append(pin)

    def _delay(self, names: tuple[str, ...]) -> int:
        return self._delays.setdefault(names, len(self._delays))

    def build(self, arcs: Arcs, fanout: NDArray[np.int64]) -> Graph:
        """The graph, with the delays of ``arcs``; ``fanout`` is that of each net."""
        table = np.array([arcs.delays(names) for names in self._delays]).reshape(-1, len(CORNERS))
        nets = np.zeros((len(Net), len(CORNERS)))
        for net, name in _NET_ARCS.items():
            nets[net] = arcs.delays((name,))
        routed = np.zeros((self._nodes, len(CORNERS)))
        routed[:len(fanout)] = arcs.nets(fanout)
        routed[self._columns] = np.maximum(routed[self._columns], nets[Net.COLUMN])

        def weigh(node: NDArray[np.int64], delay: NDArray[np.int64], net: NDArray[np.int64],
                  levels: NDArray[np.int64]) -> NDArray[np.float64]:
            way = np.where((net == Net.ROUTED)[:, None], routed[node], nets[net])
            way = np.where((net == Net.COLUMN)[:, None], np.maximum(routed[node], way), way)
            return np.column_stack([table[delay] + way, levels])

        edges = np.array(self._arcs, np.int64).reshape(-1, 6)
        edges = edges[np.argsort(edges[:, 1], kind="stable")]
        ends = np.array(self._ends, np.int64).reshape(-1, 5)
        end_weight = weigh(ends[:, 0], ends[:, 2], ends[:, 3], ends[:, 4])
        end_weight[:, :-1] += arcs.delays(("clock.overhead",))
        start = np.full((self._nodes, _COLUMNS), _NEVER)
        for node, delay, levels in self._starts:
            start[node] = np.maximum(start[node], [*table[delay], levels])
        return Graph(
            edges[:, 0], edges[:, 1], edges[:, 2],
            weigh(edges[:, 0], edges[:, 3], edges[:, 4], edges[:, 5]),
            np.searchsorted(edges[:, 1], np.arange(self._nodes + 1)), start,
            ends[:, 0], ends[:, 1], self._pins, end_weight)


@dataclass(frozen=True)
class Arrivals:
    """When signals arrive.

    ``at`` has a row for each node: the corners in ns, then levels. ``total`` has one for each
    endpoint, its setup included. ``cut`` are the arcs that were left out because they close a loop.
    """

    at: NDArray[np.float64]
    total: NDArray[np.float64]
    cut: list[int]


def arrivals(graph: Graph, cutter: Cutter) -> Arrivals:
    """The latest arrival at every node and endpoint.

    A loop has no latest arrival: ``cutter`` chooses an arc of it, at which it is cut. It is given
    the arcs in the order of signals, and for each node whether its arrival is known already.
    """
    at = graph.start.copy()
    weight = graph.weight.copy()
    missing = np.diff(graph.first)
    by_source = np.argsort(graph.source, kind="stable")
    leaving = np.searchsorted(graph.source[by_source], np.arange(graph.nodes + 1))
    done = np.zeros(graph.nodes, bool)
    is_cut = np.zeros(len(weight), bool)
    cut: list[int] = []
    ready = np.flatnonzero(missing == 0)
    while True:
        while ready.size:
            _arrive(graph, at, weight, ready)
            done[ready] = True
            out = by_source[_ranges(leaving, ready)]
            reached, count = np.unique(graph.target[out[~is_cut[out]]], return_counts=True)
            missing[reached] -= count
            ready = reached[missing[reached] == 0]
        if done.all():
            return Arrivals(at, at[graph.end] + graph.end_weight, cut)
        chosen = cutter(_loop(graph, done, is_cut), done)
        cut.append(chosen)
        is_cut[chosen] = True
        weight[chosen] = _NEVER
        target = graph.target[chosen]
        missing[target] -= 1
        ready = np.array([target] if missing[target] == 0 else [], np.int64)


def _arrive(graph: Graph, at: NDArray[np.float64], weight: NDArray[np.float64],
            nodes: NDArray[np.int64]) -> None:
    """Set the arrival at ``nodes``, all of whose arcs come from where it is known."""
    fed = nodes[graph.first[nodes + 1] > graph.first[nodes]]
    if not fed.size:
        return
    into = _ranges(graph.first, fed)
    lengths = graph.first[fed + 1] - graph.first[fed]
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    latest = np.maximum.reduceat(at[graph.source[into]] + weight[into], begin, axis=0)
    at[fed] = np.maximum(at[fed], latest)


def _ranges(first: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """All of ``first[n]`` to ``first[n + 1] - 1``, for each n of ``nodes``."""
    lengths = first[nodes + 1] - first[nodes]
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(first[nodes], lengths) + offsets


def _loop(graph: Graph, done: NDArray[np.bool_], is_cut: NDArray[np.bool_]) -> list[int]:
    """The arcs of a loop in the order of signals; there is one, since nothing left is ``done``.

    Every node that is left has an arc from another one. Against their direction, one gets to a node
    for the second time; what was walked since the first time is a loop.
    """
    node = int(np.flatnonzero(~done)[0])
    arc_into: dict[int, int] = {}
    while node not in arc_into:
        into = np.arange(graph.first[node], graph.first[node + 1])
        into = into[~done[graph.source[into]] & ~is_cut[into]]
        arc_into[node] = int(into[0])
        node = int(graph.source[into[0]])
    walked = list(arc_into)
    return [arc_into[passed] for passed in reversed(walked[walked.index(node):])]
