"""One netlist of a top level with black boxes, and of the netlists of what the boxes stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from ...errors import ToolError

__all__ = ["link"]

Bit: TypeAlias = int | str   # the number of a net, or a constant


def link(top: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The module ``top`` with its cells of the types ``parts`` replaced by these modules.

    All are modules in the JSON of ``write_json``. Cells and signals of a part are called by the
    cell's name, a dot, and their own. Nothing is optimized: a net that joins a constant is one.

    Raises
    ------
    ToolError
        A part lacks a port that the top level connects, or one net has two constants.
    """
    nets = _Nets()
    moved = []
    boxes = {name: cell for name, cell in top["cells"].items() if cell["type"] in parts}
    first = _size(top)
    for name, cell in boxes.items():
        part = parts[cell["type"]]
        for port, bits in cell["connections"].items():
            if port not in part["ports"]:
                if bits and port not in ("clk", "rst"):   # without a register it has no clock
                    raise ToolError(f"{cell['type']} has no port {port!r} to link {name} by")
                continue
            for inner, outer in zip(part["ports"][port]["bits"], bits, strict=True):
                nets.join(_move(inner, first), outer)
        moved.append((name, part, first))
        first += _size(part)
    cells = {name: _renamed(cell, 0, nets) for name, cell in top["cells"].items()
             if name not in boxes}
    names = {name: {**entry, "bits": [nets.find(bit) for bit in entry["bits"]]}
             for name, entry in top["netnames"].items()}
    for box, part, offset in moved:
        cells |= {f"{box}.{name}": _renamed(cell, offset, nets)
                  for name, cell in part["cells"].items()}
        names |= {f"{box}.{name}": {
            **entry, "bits": [nets.find(_move(bit, offset)) for bit in entry["bits"]]}
            for name, entry in part["netnames"].items()}
    ports = {name: {**port, "bits": [nets.find(bit) for bit in port["bits"]]}
             for name, port in top["ports"].items()}
    return {**top, "ports": ports, "cells": cells, "netnames": names}


class _Nets:
    """Which nets are one."""

    def __init__(self) -> None:
        self._known_by: dict[int, Bit] = {}

    def find(self, bit: Bit) -> Bit:
        """The net, or the constant, that stands for ``bit``."""
        while isinstance(bit, int) and bit in self._known_by:
            bit = self._known_by[bit]
        return bit

    def join(self, one: Bit, other: Bit) -> None:
        """Make two nets one, or one a constant."""
        one, other = self.find(one), self.find(other)
        if one == other:
            return
        if isinstance(one, int):
            self._known_by[one] = other
        elif isinstance(other, int):
            self._known_by[other] = one
        elif "x" not in (one, other):
            raise ToolError(f"A net between parts has the constants {one} and {other}")


def _move(bit: Bit, offset: int) -> Bit:
    return bit + offset if isinstance(bit, int) else bit


def _renamed(cell: Mapping[str, Any], offset: int, nets: _Nets) -> dict[str, Any]:
    return {**cell, "connections": {
        port: [nets.find(_move(bit, offset)) for bit in bits]
        for port, bits in cell["connections"].items()}}


def _size(module: Mapping[str, Any]) -> int:
    """One more than the largest number of a net."""
    def bits() -> Iterator[Bit]:
        for cell in module["cells"].values():
            for pins in cell["connections"].values():
                yield from pins
        for entry in (*module["ports"].values(), *module["netnames"].values()):
            yield from entry["bits"]

    return max((bit for bit in bits() if isinstance(bit, int)), default=0) + 1
