"""Static timing analysis of a block that was mapped, kept in the cache."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import numpy as np

from ...errors import ToolError
from ...tools.cache import cached_folder, content_key
from ..synth.flow import Mapped
from ..synth.targets import TOP, Target
from .arcs import CORNERS, Arcs, arcs_file, load_arcs
from .cells import CellTiming
from .ecp5 import Ecp5Timing
from .graph import arrivals
from .link import link
from .loops import LoopCutter
from .netlist import Netlist
from .paths import Path, Step, net_names, slowest_paths
from .xilinx import XilinxTiming

__all__ = ["BlockTiming", "analyse", "analyse_netlist", "analyse_whole", "target_clock"]

UNTIMED = ("clk", "rst")
_FAMILIES: dict[str, type[CellTiming]] = {"ultrascale+": XilinxTiming, "ecp5": Ecp5Timing}
_PATHS = 5
_FILE = "timing.json"
_TOP_MODULE = re.compile(rf"^module \\{TOP}\b", re.M)


@dataclass(frozen=True)
class BlockTiming:
    """What static timing analysis says of one block.

    Dictionaries with corners as keys are in the order of ``arcs.CORNERS``.

    Parameters
    ----------
    ns, mhz
        The shortest period of the clock, and the frequency that it gives, by corner.
    levels
        Levels of logic on the nominally slowest path.
    deepest
        The most levels on any path.
    target
        The frequency in MHz that was asked for.
    endpoints
        Pins at which a path ends.
    over
        How many of them need a longer period than the target's, by corner.
    cut, lost
        Arcs that were left out because they close a combinational loop, by the nets where they
        begin. No signal passes those that were ``cut``, by the functions of the LUTs, so no path is
        missing. Paths through those that are ``lost`` are not in the analysis.
    cells
        Which registers the netlist's DSP blocks and memories have, counted.
    credited
        What the analysis grants beyond the netlist, as sentences.
    paths
        The slowest ones, the slowest first.
    """

    block: str
    ns: dict[str, float]
    mhz: dict[str, float]
    levels: int
    deepest: int
    target: float
    endpoints: int
    over: dict[str, int]
    cut: tuple[str, ...]
    lost: tuple[str, ...]
    cells: dict[str, int]
    credited: tuple[str, ...]
    paths: tuple[Path, ...]


def target_clock(device: Target, clock: float | None = None) -> float:
    """The frequency in MHz that is asked for: ``clock``, or that of the delays of ``device``.

    Raises
    ------
    ToolError
        There are no delays for the device, or ``clock`` is not above 0.
    """
    usual = load_arcs(arcs_file(device.name)).clock
    if clock is None:
        return usual
    if not 0 < clock < float("inf"):
        raise ToolError(f"The clock must be a frequency above 0 MHz: {clock:g}")
    return clock


def analyse(mapped: Mapped, target: float) -> BlockTiming:
    """Analyse a block that was mapped, or read what was found before from the cache.

    ``target`` is the frequency in MHz that is asked for.

    Raises
    ------
    ToolError
        There are no delays for the target, or its netlist has a cell that is not known.
    """
    return _analysed(mapped.block.name, [mapped], target,
                     lambda: (mapped.netlist(), mapped.design))


def analyse_whole(name: str, top: Mapped, parts: Mapping[str, Mapped],
                  target: float) -> BlockTiming:
    """Analyse ``top`` with its black boxes replaced, by their types, by the netlists of ``parts``.

    All paths are in it, those between parts too, and every net has the fan-out of the whole. What
    is missing is only the logic that a synthesis of all at once would share between parts.

    Raises
    ------
    ToolError
        As ``analyse``, or a part does not fit its box.
    """
    def linked() -> tuple[dict[str, Any], str]:
        netlists = {kind: part.netlist() for kind, part in parts.items()}
        netlist = top.netlist()
        return link(netlist, netlists), "".join([
            top.design, *(_TOP_MODULE.sub(rf"module \\{TOP}.{box}", parts[cell["type"]].design)
                          for box, cell in netlist["cells"].items() if cell["type"] in parts)])

    return _analysed(name, [top, *parts.values()], target, linked)


def _analysed(name: str, mapped: Sequence[Mapped], target: float,
              read: Callable[[], tuple[dict[str, Any], str]]) -> BlockTiming:
    """The analysis of the netlist that ``read`` gives with its RTLIL, kept by what was mapped."""
    device = mapped[0].target.name
    file = arcs_file(device)
    arcs = load_arcs(file)
    code = sorted(File(__file__).parent.glob("*.py"))

    def fill(folder: File) -> None:
        netlist, design = read()
        timing = analyse_netlist(name, Netlist(netlist), arcs, target, design)
        (folder / _FILE).write_text(json.dumps(dataclasses.asdict(timing)))

    key = content_key([*(text for one in mapped for text in (one.folder.name, one.design)),
                       str(target), file.read_text(), *(path.read_text() for path in code)])
    folder = cached_folder("timing", f"{name}-{device}-{key}", fill)
    return _read(json.loads((folder / _FILE).read_text()))


def analyse_netlist(block: str, netlist: Netlist, arcs: Arcs, target: float,
                    design: str = "", untimed: Collection[str] = UNTIMED) -> BlockTiming:
    """Analyse ``netlist``.

    ``design`` is the RTLIL that declares its signals, or empty. No path begins or ends at the ports
    called ``untimed``; usually these are the clock, and the reset, which is held for many cycles.
    """
    cells = _FAMILIES[arcs.family](netlist, untimed)
    graph = cells.graph.build(arcs, netlist.fanout)
    cutter = LoopCutter(netlist, graph)
    arrived = arrivals(graph, cutter)
    paths = slowest_paths(netlist, graph, arrived, design, _PATHS)
    times = np.maximum(arrived.total[:, :len(CORNERS)], 0)
    ns = dict(zip(CORNERS, times.max(axis=0, initial=0).tolist(), strict=True))
    over = dict(zip(CORNERS, (times > 1000 / target).sum(axis=0).tolist(), strict=True))
    depth = arrived.total[:, -1]
    named = net_names(netlist, (int(graph.source[arc]) for arc in arrived.cut))

    def behind(arcs: list[int]) -> tuple[str, ...]:
        nets = [int(graph.source[arc]) for arc in arcs]
        return tuple(sorted(named.get(net, f"net {net}") for net in nets))

    return BlockTiming(
        block, {corner: round(value, 3) for corner, value in ns.items()},
        {corner: round(1000 / value, 1) if value else float("inf") for corner, value in ns.items()},
        paths[0].levels if paths else 0, int(depth.max(initial=0)), target,
        len(graph.end), over, behind(cutter.false), behind(cutter.other),
        dict(sorted(cells.notes.items())), (),
        paths)


def _read(value: dict[str, Any]) -> BlockTiming:
    """A result as ``dataclasses.asdict`` and JSON left it."""
    paths = tuple(Path(**path | {"steps": tuple(Step(**step) for step in path["steps"])})
                  for path in value["paths"])
    return BlockTiming(**value | {
        "paths": paths, "cut": tuple(value["cut"]), "lost": tuple(value["lost"]),
        "credited": tuple(value["credited"])})
