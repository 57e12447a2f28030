"""Simulator builds, cached by content."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib.wiring import Component
from cocotb_tools import config as cocotb_config

from ...errors import ToolError
from .design import Design
from .simulators import Simulator, get_simulator
from .tools import cache_folder, package_version

__all__ = ["Build", "build"]


@dataclass(frozen=True)
class Build:
    """A design compiled for one simulator, in its folder of the cache."""

    design: Design
    simulator: Simulator
    folder: Path
    wave_suffix: str | None


def build(component: Component, name: str, simulator: str = "verilator",
          wave_suffix: str | None = None) -> Build:
    """Compile ``component`` as module ``name``, or find the build of the very same design.

    The cache key is a hash of the Verilog, the ports, the tools' versions and their options, so a
    build is never stale and never needs cleaning. A build appears in the cache in one
    step; processes that want the same one wait for the first.

    Raises
    ------
    ToolError
        A tool is missing or fails, or the simulator is unknown or cannot write such waves.
    """
    # First, because Amaranth warns of a component that was made and then not elaborated.
    design = Design.elaborate(component, name)
    chosen = get_simulator(simulator)
    if wave_suffix is not None and wave_suffix not in chosen.wave_suffixes:
        raise ToolError(f"Simulator {simulator} cannot write {wave_suffix!r} waves; it writes "
                        f"{' and '.join(chosen.wave_suffixes)}")
    cache = cache_folder()
    folder = cache / f"{name}-{simulator}-{_key(design, chosen, wave_suffix)}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _compile_into(folder, design, chosen, wave_suffix)
    return Build(design, chosen, folder, wave_suffix)


def _key(design: Design, simulator: Simulator, wave_suffix: str | None) -> str:
    parts = [
        design.name, design.verilog, *design.inputs, "|", *design.outputs, str(wave_suffix),
        simulator.name, *simulator.fingerprint(),
        package_version("cocotb"), str(cocotb_config.libs_dir), sys.platform,
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _compile_into(folder: Path, design: Design, simulator: Simulator,
                  wave_suffix: str | None) -> None:
    """Compile beside ``folder``, keep what a simulation needs, and move that into place."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
        work, keep = Path(scratch) / "work", Path(scratch) / "keep"
        work.mkdir()
        keep.mkdir()
        simulator.compile(design, work, wave_suffix)
        for product in simulator.products(design):
            shutil.move(work / product, keep / product)
        keep.rename(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` between processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
