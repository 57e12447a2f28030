"""All files of a Vivado project for an accelerator on a Zynq UltraScale+ board."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2

from ... import __version__
from ..accelerator import Accelerator
from ..accelerator_parameters import AcceleratorParameters
from ..registers import configuration_hash
from ..verilog import to_verilog
from .boards import VivadoBoard
from .ip_xact import LIBRARY, VENDOR, component_xml
from .lint import check_verilog
from .memories import prepare_memories
from .ports import CLOCK, CONTROL, INTERRUPT, RESET, Interface, Port, interfaces

__all__ = ["vivado_files"]

MODULE, INNER, FIRMWARE = "trilobite_accelerator", "accelerator", "trilobite"
_FIRST_HP = 2              # S_AXI_HP0 is S_AXI_GP2 to the processing system's core
_REGISTERS = 0xA000_0000   # where HPM0 begins
_BUFFER = 1 << 20          # memory is reserved in pieces of that


def vivado_files(board: VivadoBoard, parameters: AcceleratorParameters, megahertz: int, model: str,
                 memory_bytes: int) -> dict[str, bytes]:
    """Content of each file, by its name in the project's folder; the same for the same arguments.

    ``model`` is what the accelerator will run, in ``memory_bytes`` of memory.

    Raises
    ------
    ToolError
        Yosys, which writes Verilog, or slang, which reads it, is missing or fails.
    """
    accelerator = Accelerator(parameters)
    known = interfaces(accelerator)
    sources = [f"src/{name}.v" for name in (INNER, MODULE)]
    constraints = f"{FIRMWARE}.xdc"
    values = {
        "version": __version__, "configuration": f"{configuration_hash(parameters):016x}",
        "hardware": board.hardware, "model": model, "megahertz": megahertz, "part": board.part,
        "board_parts": board.board_parts, "module": MODULE, "inner": INNER, "firmware": FIRMWARE,
        "vendor": VENDOR, "library": LIBRARY, "interfaces": known, "clock": CLOCK, "reset": RESET,
        "control": CONTROL, "interrupt": INTERRUPT, "register_base": f"{_REGISTERS:x}",
        "memory_bytes": -(-memory_bytes // _BUFFER) * _BUFFER,
        "memory": _memory(known), "constraints": constraints,
        "sources": [f"ip/{source}" for source in sources],
    }
    rendered = {
        f"ip/src/{MODULE}.v": "top.v", "build.tcl": "build.tcl", constraints: "trilobite.xdc",
        f"firmware/{FIRMWARE}.dtso": "overlay.dtso", "firmware/shell.json": "shell.json",
        "lint.vlt": "lint.vlt", "README.md": "README.md"}
    templates = _templates()
    result = {
        f"ip/src/{INNER}.v": to_verilog(accelerator, INNER, prepare_memories).encode(),
        "ip/component.xml": component_xml(MODULE, known, sources),
        **{name: templates.get_template(f"{template}.j2").render(values).encode()
           for name, template in rendered.items()},
    }
    check_verilog({name: content for name, content in result.items() if name.endswith(".v")},
                  f"ip/src/{INNER}.v")
    return result


def _templates() -> jinja2.Environment:
    folder = files(__package__) / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["range"] = _range
    return environment


def _range(port: Port) -> str:
    return f"[{port.width - 1}:0] " if port.width > 1 else ""


def _memory(known: list[Interface]) -> list[dict[str, Any]]:
    """Ports of memory: their names, and numbers of the HP port and of the core's parameters."""
    return [{"name": interface.name, "number": number, "gp": _FIRST_HP + number}
            for number, interface in enumerate(one for one in known if one.is_memory)]
