"""What the cells of every family have in common where their timing arcs are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from ...errors import ToolError
from .graph import GraphBuilder, Net
from .netlist import Cell, Netlist

__all__ = ["CellTiming"]


class CellTiming:
    """Adds the arcs of a netlist's cells to ``graph``; a subclass does it for a family of devices.

    ``METHODS`` has what adds a cell of a type, ``FAMILIES`` that of types by how they begin.
    ``notes`` counts what is worth knowing of the cells.

    Ports count as registers: an input's signal comes from a flip-flop outside, an output's goes to
    one. Those called ``untimed`` are left out.

    Raises
    ------
    ToolError
        A type of cell is not known.
    """

    METHODS: ClassVar[Mapping[str, Callable[..., None]]] = {}
    FAMILIES: ClassVar[Mapping[str, Callable[..., None]]] = {}

    def __init__(self, netlist: Netlist, untimed: Collection[str]) -> None:
        self.netlist = netlist
        self.graph = GraphBuilder(netlist.size)
        self.notes: Counter[str] = Counter()
        self._fanout = netlist.fanout.tolist()
        self._driver = netlist.driver
        for number, cell in enumerate(netlist.cells):
            self.graph.cell = number
            self._method(cell)(self, cell)
        self.graph.cell = -1
        self._add_ports(untimed)

    def _method(self, cell: Cell) -> Callable[..., None]:
        if method := self.METHODS.get(cell.type):
            return method
        for start, method in self.FAMILIES.items():
            if cell.type.startswith(start):
                return method
        raise ToolError(f"The netlist has a cell of the type {cell.type!r}, whose delays must be "
                        f"said in {self.__module__.partition('.')[2].replace('.', '/')}.py")

    def _add_ports(self, untimed: Collection[str]) -> None:
        for name, nets in self.netlist.ports("input"):
            for net in nets:
                if name not in untimed:
                    self.graph.start(net, "ff.clock_to_q")
        for name, nets in self.netlist.ports("output"):
            for net in nets:
                if name not in untimed:
                    self.graph.end(net, name, "ff.setup")

    def alone(self, net: int) -> bool:
        """Whether ``net`` goes to one pin only."""
        return self._fanout[net] == 1

    def driven_by(self, net: int, types: re.Pattern[str]) -> bool:
        """Whether a cell of a type that matches drives ``net``."""
        return types.match(self._driver.get(net, "")) is not None

    def nothing(self, cell: Cell) -> None:
        """Add nothing: the cell is a constant."""

    def wire(self, cell: Cell) -> None:
        """Add a cell that takes no time, because the next one takes it in, or it is a buffer."""
        for output in cell.nets("O"):
            for net in cell.nets("I"):
                self.graph.arc(net, output, net=Net.INSIDE, levels=0)
