"""The delays of a device's cells and nets in three corners, from a file that cites each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ToolError

__all__ = ["CORNERS", "Arcs", "arcs_file", "load_arcs"]

CORNERS = ("optimistic", "nominal", "pessimistic")
_FOLDER = Path(__file__).with_name("delays")


@dataclass(frozen=True)
class Arcs:
    """Delays in ns, a row [optimistic, nominal, pessimistic] for each.

    ``ns`` holds those of cells by name. A net's delay follows from its fan-out: row i of
    ``net_ns`` holds for up to ``fanouts[i]`` sinks, the last one for all above.
    ``family`` says which cells it has, ``clock`` is the target in MHz where none is asked for.
    """

    part: str
    family: str
    clock: float
    ns: dict[str, NDArray[np.float64]]
    fanouts: NDArray[np.int64]
    net_ns: NDArray[np.float64]

    def delays(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """The sum of the delays called ``names``.

        Raises
        ------
        ToolError
            The file lacks one: nothing is left out of a sum.
        """
        try:
            return sum((self.ns[name] for name in names), np.zeros(len(CORNERS)))
        except KeyError as error:
            raise ToolError(f"The delays of {self.part} have no arc {error}") from None

    def nets(self, fanouts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The delay of nets with these numbers of sinks: a row for each."""
        return self.net_ns[np.searchsorted(self.fanouts, fanouts)]


def arcs_file(device: str) -> Path:
    """Where the delays of the synthesis target ``device`` are.

    Raises
    ------
    ToolError
        There are none for it.
    """
    path = _FOLDER / f"{device}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.toml")))
        raise ToolError(f"There are no delays for {device!r}; there are for {known}")
    return path


def load_arcs(path: Path) -> Arcs:
    """Read the file ``path``.

    Raises
    ------
    ToolError
        A figure has no known source, is negative, or its corners are not in ascending order.
    """
    table = tomllib.loads(path.read_text())
    sources = table["sources"]
    ns = {name: _row(entry, sources, f"{path.name}: cells: {name}")
          for name, entry in table["cells"].items()}
    nets = [(entry.get("fanout"), _row(entry, sources, f"{path.name}: nets"))
            for entry in table["nets"]]
    return Arcs(table["part"], table["family"], float(table["clock"]), ns,
                np.array([fanout for fanout, _ in nets[:-1]], np.int64),
                np.array([row for _, row in nets]))


def _row(entry: dict[str, Any], sources: dict[str, str], where: str) -> NDArray[np.float64]:
    if entry.get("source") not in sources:
        raise ToolError(f"{where}: source {entry.get('source')!r} is none of [sources], which are "
                        f"{', '.join(sources)}")
    row = np.array(entry["ns"], np.float64)
    if row.shape != (len(CORNERS),) or (row < 0).any() or (np.diff(row) < 0).any():
        raise ToolError(f"{where}: ns must be three delays, {' <= '.join(CORNERS)}: {entry['ns']}")
    return row
