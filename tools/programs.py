"""The programs and packages that simulation and synthesis need from the outside."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from ..errors import ToolError

__all__ = ["package_folder", "package_version", "program", "run_program"]

_DEBIAN_PACKAGES = {
    "c++": "g++", "make": "make", "perl": "perl", "iverilog": "iverilog", "vvp": "iverilog",
}


def program(name: str) -> str:
    """Path of a program of the system.

    Raises
    ------
    ToolError
        It is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"The program {name!r} is not on PATH, and the simulation needs it; "
                        f"on Debian or Ubuntu: apt-get install {_DEBIAN_PACKAGES[name]}")
    return path


def package_folder(name: str, user: str = "simulation", extra: str = "rtl") -> Path:
    """Folder of an installed Python package, without importing it.

    ``user`` needs it, and ``extra`` of this package brings it.

    Raises
    ------
    ToolError
        It is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ToolError(f"The Python package {name!r} is not installed, and {user} needs it: "
                        f"pip install 'trilobite[{extra}]'")
    return Path(spec.origin).parent


def package_version(name: str) -> str:
    """Name and version of an installed Python package, as in ``cocotb 2.1.0``."""
    return f"{name} {version(name)}"


def run_program(command: list[str], folder: Path, environment: dict[str, str], what: str) -> str:
    """Run a program in ``folder`` and return what it printed.

    Raises
    ------
    ToolError
        It failed; the message ends with the last lines it printed.
    """
    result = subprocess.run(command, cwd=folder, env=environment, check=False, text=True,
                            errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-20:])
        raise ToolError(f"{what} failed ({Path(command[0]).name} exited with "
                        f"{result.returncode}):\n{tail}")
    return result.stdout
