"""Which arc of a combinational loop to cut: one that no signal ever passes, if there is one.

abc takes carry chains for cells whose outputs have nothing to do with their inputs, so it may
compute an input of a chain from a signal that the chain's output chooses, where the choice cancels
out: of a comparison's operands, say, once they are swapped by its result. The LUTs of such a loop
show it, and cutting there loses no path.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .netlist import Cell, Netlist

__all__ = ["LoopCutter"]

_TRIALS = 4096   # random inputs for which a LUT's output must not depend on the loop
_ALL = (1 << _TRIALS) - 1
_DEEPEST = 500   # LUTs whose functions are followed


def _is_lut(cell: Cell) -> bool:
    return cell.type.startswith("LUT") and "INIT" in cell.parameters


@dataclass
class LoopCutter:
    """Chooses an arc of each loop.

    ``false`` are the arcs that no signal passes, ``other`` those of which this is not known.
    """

    netlist: Netlist
    graph: Graph
    false: list[int] = field(default_factory=list)
    other: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lut_of = {net: cell for cell in self.netlist.cells if _is_lut(cell)
                        for net in cell.nets("O")}

    def __call__(self, loop: Sequence[int], done: NDArray[np.bool_]) -> int:
        """An arc of ``loop``, arcs in the order of signals; ``done`` nodes do not depend on it.

        The last LUT behind each other cell is asked first: what is before it also has other uses.
        """
        cells = [self.netlist.cells[self.graph.cell[arc]] for arc in loop]
        count = len(loop)
        for entry in range(count):
            if not _is_lut(cells[entry]) or _is_lut(cells[entry - 1]):
                continue
            run = [entry]
            while _is_lut(cells[(run[-1] + 1) % count]) and len(run) < count:
                run.append((run[-1] + 1) % count)
            source = int(self.graph.source[loop[entry]])
            for place in reversed(run):
                if self._independent(int(self.graph.target[loop[place]]), source, done):
                    self.false.append(loop[place])
                    return loop[place]
        self.other.append(loop[0])
        return loop[0]

    def _independent(self, net: int, source: int, done: NDArray[np.bool_]) -> bool:
        """Whether ``net`` is the same for both values of ``source``, whatever other signals are."""
        chance = random.Random(net)   # the same result in every run
        free: dict[int, int] = {}

        def value(at: int, known: dict[int, int]) -> int:
            if at in known:
                return known[at]
            cell = self._lut_of.get(at)
            if cell is None or done[at] or len(known) > _DEEPEST:
                known[at] = free.setdefault(at, chance.getrandbits(_TRIALS))
                return known[at]
            known[at] = free.setdefault(at, chance.getrandbits(_TRIALS))   # if it loops to itself
            known[at] = _lut(cell, [
                value(bit, known) if isinstance(bit, int) else _ALL if bit == "1" else 0
                for pin in range(int(cell.type[3:])) for bit in cell.pins[f"I{pin}"]])
            return known[at]

        return value(net, {source: 0}) == value(net, {source: _ALL})


def _lut(cell: Cell, inputs: Sequence[int]) -> int:
    """The output of a LUT, one bit for each trial."""
    table = cell.number("INIT", 0)
    rows = [_ALL if table >> row & 1 else 0 for row in range(1 << len(inputs))]
    for bits in inputs:   # the first input chooses between neighbours
        rows = [low & ~bits | high & bits for low, high in zip(rows[::2], rows[1::2], strict=True)]
    return rows[0]
