"""How deep a design's logic is, estimated from Amaranth's own netlist without any tool.

This takes seconds where synthesis takes minutes, so tests can look at every block every time. It
is no delay: operators count as about as many LUTs of six inputs as lie behind each other in them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Fragment

from ...hw.component import Component
from ...hw.streams.ports import component_ports
from ...tools.collector import without_collections
from .sources import shown_file

__all__ = ["Depth", "logic_depth"]

# Amaranth's netlist is no interface of it, so its version is pinned, and the stubs do not know it.
_nir: Any = importlib.import_module("amaranth.hdl._nir")
_ir: Any = importlib.import_module("amaranth.hdl._ir")

_GATE = 0.4     # of two inputs: five of them, in a tree of depth 2.3, are a LUT
_CHOICE = 0.5   # of two: one of four is a LUT
_CHAIN = 1.0    # of a carry chain
_PRODUCT = 5.0  # a DSP block without registers takes as long as so many LUTs with their nets
_MEMORY = 3.0   # a block RAM's output likewise

_GATES = ("&", "|", "^")
_SHIFTS = ("<<", "u>>", "s>>")
_DIVISIONS = ("u//", "s//", "u%", "s%")


@dataclass(frozen=True)
class Depth:
    """The deepest logic between registers: its estimated levels, and where it ends (file:line)."""

    levels: float
    end: str


def logic_depth(component: Component) -> Depth:
    """The deepest logic of ``component``, from a register or port to the next."""
    ports = [signal for _, signal in component_ports(component).values()]
    with without_collections():
        cells = _ir.build_netlist(Fragment.get(component, None), ports=ports).cells
    return _Depths(cells).deepest()


class _Depths:
    """Depths of nets. Those of an operator whose outputs depend on all inputs are found once."""

    def __init__(self, cells: list[Any]) -> None:
        self._cells = cells
        self._known: dict[int, float] = {}

    def deepest(self) -> Depth:
        best = Depth(0.0, "")
        for cell in self._cells:
            for net in _ends(cell):
                if (depth := self._depth(net)) > best.levels:
                    best = Depth(depth, _place(cell))
        return Depth(round(best.levels, 1), best.end)

    def _depth(self, net: Any) -> float:
        """The depth of ``net``, without recursion: there are more nets than Python's stack has."""
        stack = [net]
        while stack:
            top = stack[-1]
            if self._key(top) in self._known:
                stack.pop()
                continue
            inputs, weight = self._inputs(top)
            unknown = [one for one in inputs if self._key(one) not in self._known]
            if unknown:
                stack += unknown
                continue
            self._known[self._key(top)] = weight + max(
                (self._known[self._key(one)] for one in inputs), default=0.0)
            stack.pop()
        return self._known[self._key(net)]

    def _key(self, net: Any) -> int:
        """The same number for all bits of an output that depend on the same."""
        if net.is_const or net.cell == 0:
            return 0
        cell = self._cells[net.cell]
        return int(net) if _is_bitwise(cell) else int(net) & ~0xFFFF

    def _inputs(self, net: Any) -> tuple[list[Any], float]:
        """What ``net`` depends on, and how many levels lie between."""
        if net.is_const or net.cell == 0:
            return [], 0.0
        cell = self._cells[net.cell]
        if isinstance(cell, (_nir.FlipFlop, _nir.SyncReadPort)):
            return [], _MEMORY if isinstance(cell, _nir.SyncReadPort) else 0.0
        return [one for one, _ in cell.comb_edges_to(net.bit)], _weight(cell, net.bit)


def _place(cell: Any) -> str:
    """Where ``cell`` is written, as file:line; empty for the module's own ports."""
    return f"{shown_file(cell.src_loc[0])}:{cell.src_loc[1]}" if cell.src_loc else ""


def _is_bitwise(cell: Any) -> bool:
    if isinstance(cell, _nir.Operator):
        return cell.operator in (*_GATES, "~", "m")
    return isinstance(cell, (_nir.AssignmentList, _nir.PriorityMatch))


def _ends(cell: Any) -> Iterator[Any]:
    """The nets that a register, a memory or the module's outputs take from ``cell``'s inputs."""
    if isinstance(cell, _nir.FlipFlop):
        yield from cell.data
    elif isinstance(cell, _nir.SyncWritePort):
        yield from (*cell.data, *cell.addr, *cell.en)
    elif isinstance(cell, _nir.SyncReadPort):
        yield from (*cell.addr, cell.en)
    elif isinstance(cell, _nir.Top):
        for value in cell.ports_o.values():
            yield from value


def _weight(cell: Any, bit: int) -> float:
    if isinstance(cell, _nir.Operator):
        return _operator(cell)
    for kind, weight in _OTHERS.items():
        if isinstance(cell, kind):
            return weight(cell, bit)
    return 0.0


def _operator(cell: Any) -> float:
    name, first = cell.operator, cell.inputs[0]
    if name == "~":
        return 0.0
    if name in _GATES:
        return _GATE
    if name == "m":
        return _CHOICE
    if name == "*":
        return _PRODUCT
    if name in _SHIFTS:
        return _CHOICE * sum(not one.is_const for one in cell.inputs[1])
    if name in _DIVISIONS:
        constant = all(one.is_const for one in cell.inputs[1])
        return _CHAIN if constant else _CHAIN * len(first)
    if name in ("==", "!="):
        return _tree(2 * len(first))
    if len(cell.inputs) == 1 and name != "-":   # reductions
        return _tree(len(first))
    return _CHAIN


def _tree(inputs: int) -> float:
    """LUTs of six inputs behind each other, to make one bit of ``inputs``."""
    return math.log(max(inputs, 1), 6)


def _assignments(cell: Any, bit: int) -> float:
    covering = sum(one.start <= bit < one.start + len(one.value) for one in cell.assignments)
    return _CHOICE * math.log2(1 + covering)


_OTHERS: dict[type, Callable[..., float]] = {
    _nir.AssignmentList: _assignments,
    _nir.AsyncReadPort: lambda cell, bit: 1.0,
    _nir.Matches: lambda cell, bit: _tree(len(cell.value)),
    _nir.Part: lambda cell, bit: _CHOICE * len(cell.offset),
    _nir.PriorityMatch: lambda cell, bit: _GATE if bit else 0.0,
}
