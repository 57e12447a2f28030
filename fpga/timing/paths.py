"""The slowest paths of a netlist, by the names of its signals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from .arcs import CORNERS
from .graph import Arrivals, Graph
from .netlist import Netlist
from .sources import source_lines

__all__ = ["Path", "Step", "net_names", "slowest_paths"]

_NOMINAL = CORNERS.index("nominal")
_SEARCHED = 2000   # endpoints among which paths that differ in more than a number are looked for
_NUMBER = re.compile(r"\d+")
_GENERATED = re.compile(r"\$(?:techmap|abc|auto|flatten|memory|proc|procmux)\b.*|\[\d+\]$")
_INPUT = re.compile(r"(?:^|\.)i(?:_[^.]*)?$")
_INSIDE = "inside"


@dataclass(frozen=True)
class Step:
    """A signal on a path.

    ``net`` is its name, ``cell`` the type of the cell that drives it, ``arrival`` the time in ns
    (nominal), ``fanout`` the number of its sinks (0 inside of a cell), ``source`` where it is
    declared (file:line, empty if no line declares it).
    """

    net: str
    cell: str
    arrival: float
    fanout: int
    source: str


@dataclass(frozen=True)
class Path:
    """A way from one register to the next.

    ``ns`` is the shortest period of a clock that it allows, by corner. ``levels`` counts LUTs,
    carry chains, LUT RAMs and DSP blocks between the registers. ``end`` is the register (or the
    port, or the cell) at its end, and ``pin`` that cell's port.
    """

    ns: dict[str, float]
    levels: int
    start: str
    end: str
    pin: str
    end_source: str
    steps: tuple[Step, ...]


def net_names(netlist: Netlist, nets: Iterable[int]) -> dict[int, str]:
    """The names of ``nets``: those that the design gave before those that Yosys made up.

    Of several, what drives a net is preferred to an input (``i``, ``i_x``), then the shortest one.
    """
    wanted = set(nets)
    best: dict[int, tuple[tuple[bool, bool, bool, int, str], str]] = {}
    for name, entry in netlist.module["netnames"].items():
        rank = (bool(entry["hide_name"]), "$" in name, _INPUT.search(name) is not None, len(name),
                name)
        for i, bit in enumerate(entry["bits"]):
            if bit in wanted and (bit not in best or rank < best[bit][0]):
                plain = name.replace("\\", "")   # Yosys escapes what begins with a dollar
                best[bit] = rank, f"{plain}[{i}]" if len(entry["bits"]) > 1 else plain
    return {net: name for net, (_, name) in best.items()}


def slowest_paths(netlist: Netlist, graph: Graph, arrived: Arrivals, design: str,
                  count: int) -> tuple[Path, ...]:
    """The ``count`` slowest paths (nominal) that differ in more than the numbers in their names.

    ``design`` is the RTLIL that declares the signals, or empty.
    """
    order = np.argsort(-arrived.total[:, _NOMINAL], kind="stable")[:_SEARCHED]
    order = order[np.isfinite(arrived.total[order, _NOMINAL])]
    ways = {int(end): list(_way_back(graph, arrived, int(graph.end[end]))) for end in order}
    named = net_names(netlist, {node for way in ways.values() for node in way}
                      | {net for end in order for net in _register_of(netlist, graph, int(end))})
    chosen: dict[tuple[str, str], int] = {}
    for end in ways:
        start = named.get(ways[end][0], _INSIDE)
        name = _end_name(netlist, graph, end, named)
        kind = _NUMBER.sub("#", start), _NUMBER.sub("#", name)
        chosen.setdefault(kind, end)
        if len(chosen) == count:
            break
    used = {_signal(named[node]) for end in chosen.values() for node in ways[end] if node in named}
    used |= {_signal(_end_name(netlist, graph, end, named)) for end in chosen.values()}
    sources = source_lines(design, used)
    return tuple(_path(netlist, graph, arrived, end, ways[end], named, sources)
                 for end in chosen.values())


def _way_back(graph: Graph, arrived: Arrivals, node: int) -> list[int]:
    """The nodes from the register to ``node``, on the nominally slowest way."""
    way = [node]
    at = arrived.at[:, _NOMINAL]
    cut = set(arrived.cut)
    while True:
        into = [arc for arc in range(graph.first[node], graph.first[node + 1]) if arc not in cut]
        times = [at[graph.source[arc]] + graph.weight[arc, _NOMINAL] for arc in into]
        if not into or max(times) < at[node]:   # it starts here
            return way[::-1]
        node = int(graph.source[into[int(np.argmax(times))]])
        way.append(node)


def _register_of(netlist: Netlist, graph: Graph, end: int) -> Iterator[int]:
    """The first net that the cell at ``end`` drives, by which it is called if it has no name."""
    if (number := graph.end_cell[end]) >= 0:
        cell = netlist.cells[number]
        outputs = [port for port in cell.pins if cell.directions[port] == "output"]
        yield from islice(cell.nets("Q") if "Q" in outputs else cell.nets(*outputs), 1)


def _end_name(netlist: Netlist, graph: Graph, end: int, named: dict[int, str]) -> str:
    """A port, a flip-flop by its output, or another cell by its name, else by its output."""
    if (number := int(graph.end_cell[end])) < 0:
        return graph.end_pin[end]
    cell = netlist.cells[number]
    outputs = [named[net] for net in _register_of(netlist, graph, end) if net in named]
    own = _GENERATED.sub("", cell.name)
    names = [*outputs, own] if "Q" in cell.pins else [*([] if "$" in own else [own]), *outputs]
    return next(filter(None, names), cell.type)


def _signal(name: str) -> str:
    """The name of the signal of which ``name`` is a bit."""
    return re.sub(r"\[\d+\]$", "", name)


def _path(netlist: Netlist, graph: Graph, arrived: Arrivals, end: int, way: list[int],
          named: dict[int, str], sources: dict[str, str]) -> Path:
    steps = []
    for node in way:
        inside = node >= netlist.size
        name = _INSIDE if inside else named.get(node, f"net {node}")
        steps.append(Step(
            name, "" if inside else netlist.driver.get(node, "port"),
            round(float(arrived.at[node, _NOMINAL]), 3),
            0 if inside else int(netlist.fanout[node]), sources.get(_signal(name), "")))
    total = arrived.total[end]
    name = _end_name(netlist, graph, end, named)
    return Path({corner: round(float(ns), 3) for corner, ns in zip(CORNERS, total, strict=False)},
                int(_levels(graph, arrived, end, way)), steps[0].net, name, graph.end_pin[end],
                sources.get(_signal(name), ""), tuple(steps))


def _levels(graph: Graph, arrived: Arrivals, end: int, way: list[int]) -> float:
    """The levels on this way; ``arrived`` knows only the most on any."""
    levels = graph.start[way[0], -1] + graph.end_weight[end, -1]
    at = arrived.at[:, _NOMINAL]
    for source, node in pairwise(way):
        arcs = range(graph.first[node], graph.first[node + 1])
        levels += max(graph.weight[arc, -1] for arc in arcs if graph.source[arc] == source
                      and at[source] + graph.weight[arc, _NOMINAL] == at[node])
    return levels
