"""Where signals are declared, by their names in a flattened netlist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["shown_file", "source_lines"]

_PACKAGE = Path(__file__).parents[2]
_MODULE = re.compile(r"^module \\(\S+)")
_WIRE = re.compile(r"^  wire .*\\(\S+)$")
_SOURCE = re.compile(r'^  attribute \\src "(.+):(\d+)"$')


def source_lines(design: str, names: Iterable[str]) -> dict[str, str]:
    """File and line (``hw/norm.py:95``) of those signals of ``names`` that ``design`` declares.

    ``design`` is Amaranth's RTLIL, whose modules are called by their places in the hierarchy.
    """
    wanted = set(names)
    found: dict[str, str] = {}
    prefix = source = ""
    for line in design.splitlines():
        if module := _MODULE.match(line):
            below = module[1].partition(".")[2]
            prefix = f"{below}." if below else ""
        elif place := _SOURCE.match(line):
            source = f"{shown_file(place[1])}:{place[2]}"
        elif wire := _WIRE.match(line):
            name = prefix + wire[1].replace("\\", "")
            if source and name in wanted:
                found[name] = source
            source = ""
    return found


def shown_file(file: str) -> str:
    """A file's path in this package or below ``site-packages``, else its name."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        return str(path.relative_to(_PACKAGE))
    return file.rpartition("site-packages/")[2] if "site-packages/" in file else path.name
