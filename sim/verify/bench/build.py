"""Simulator builds, cached by content."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib.wiring import Component
from cocotb_tools import config as cocotb_config

from ....errors import ToolError
from ....tools.cache import cached_folder, content_key
from ....tools.programs import package_version
from ....tools.scratch import scratch_folder
from .design import VerilogModule
from .simulators import Simulator, get_simulator

__all__ = ["Build", "build", "build_design"]


@dataclass(frozen=True)
class Build:
    """A design compiled for one simulator, in its folder of the cache."""

    design: VerilogModule
    simulator: Simulator
    folder: Path
    wave_suffix: str | None


def build(component: Component, name: str, simulator: str | Simulator = "verilator",
          wave_suffix: str | None = None) -> Build:
    """Compile ``component`` as module ``name``, or find the build of the very same design.

    The cache key is a hash of the Verilog, the ports, the tools' versions and their options, so a
    build is never stale and never needs cleaning.

    Raises
    ------
    ToolError
        A tool is missing or fails, or the simulator is unknown or cannot write such waves.
    """
    # First, because Amaranth warns of a component that was made and then not elaborated.
    return build_design(VerilogModule.elaborate(component, name), simulator, wave_suffix)


def build_design(design: VerilogModule, simulator: str | Simulator = "verilator",
                 wave_suffix: str | None = None) -> Build:
    """Compile as ``build`` does, but a component that has been elaborated."""
    chosen = get_simulator(simulator) if isinstance(simulator, str) else simulator
    if wave_suffix is not None and wave_suffix not in chosen.wave_suffixes:
        raise ToolError(f"Simulator {chosen.name} cannot write {wave_suffix!r} waves; it writes "
                        f"{' and '.join(chosen.wave_suffixes)}")

    def compile_into(folder: Path) -> None:
        with scratch_folder() as scratch:
            chosen.compile(design, scratch, wave_suffix)
            for product in chosen.products(design):
                shutil.copy(scratch / product, folder / product)

    key = content_key([
        design.name, design.verilog, *design.inputs, "|", *design.outputs, str(wave_suffix),
        chosen.name, *chosen.fingerprint(),
        package_version("cocotb"), str(cocotb_config.libs_dir), sys.platform,
    ])
    folder = cached_folder("sim", f"{design.name}-{chosen.name}-{key}", compile_into)
    return Build(design, chosen, folder, wave_suffix)
