"""A flattened netlist of Yosys, as an analysis of its timing reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cell", "Netlist"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its pins' bits by port, each the number of a net, or a constant as text."""

    name: str
    type: str
    parameters: Mapping[str, Any]
    pins: Mapping[str, list[int | str]]
    directions: Mapping[str, str]

    def nets(self, *ports: str) -> Iterator[int]:
        """The nets at ``ports``; constants and absent ports are left out."""
        for port in ports:
            for bit in self.pins.get(port, ()):
                if isinstance(bit, int):
                    yield bit

    def inputs(self) -> Iterator[tuple[str, int]]:
        """Port and net of every input pin."""
        for port in self.pins:
            if self.directions[port] != "output":
                for net in self.nets(port):
                    yield port, net

    def number(self, parameter: str, default: int) -> int:
        """The value of a numeric ``parameter``."""
        value = self.parameters.get(parameter, default)
        return int(value, 2) if isinstance(value, str) else value

    def text(self, parameter: str, default: str = "") -> str:
        """The value of a ``parameter`` that is a word."""
        return str(self.parameters.get(parameter, default)).strip()


class Netlist:
    """The top module. ``module`` is its entry in the JSON of ``write_json``."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.module = module
        self.cells = [Cell(name, cell["type"], cell["parameters"], cell["connections"],
                           cell["port_directions"]) for name, cell in module["cells"].items()]

    def ports(self, direction: str) -> Iterator[tuple[str, list[int]]]:
        """Name and nets of the top module's ports in a ``direction``."""
        for name, port in self.module["ports"].items():
            if port["direction"] == direction:
                yield name, [bit for bit in port["bits"] if isinstance(bit, int)]

    @cached_property
    def size(self) -> int:
        """One more than the largest number of a net."""
        bits = [bit for cell in self.cells for port in cell.pins for bit in cell.nets(port)]
        bits += [bit for way in ("input", "output") for _, nets in self.ports(way) for bit in nets]
        return max(bits, default=0) + 1

    @cached_property
    def fanout(self) -> NDArray[np.int64]:
        """The number of input pins, and of the module's outputs, at each net."""
        sinks = [net for cell in self.cells for _, net in cell.inputs()]
        sinks += [net for _, nets in self.ports("output") for net in nets]
        return np.bincount(np.array(sinks, np.int64), minlength=self.size)

    @cached_property
    def driver(self) -> dict[int, str]:
        """The type of the cell that drives each net."""
        return {net: cell.type for cell in self.cells for port in cell.pins
                if cell.directions[port] == "output" for net in cell.nets(port)}
