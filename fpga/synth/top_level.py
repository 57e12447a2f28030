"""The accelerator's top level without its parts, which are black boxes that are mapped alone."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib.wiring import Flow

from ...hw.component import Component
from ...hw.streams.ports import component_ports
from ...hw.unused import never_elaborated
from ..accelerator import Accelerator
from ..accelerator_parameters import AcceleratorParameters
from ..core import Core
from .blocks import SynthBlock, part_of
from .flow import BOX, Mapped, map_component
from .targets import Target

__all__ = ["TOP_LEVEL", "WHOLE", "map_top_level"]

TOP_LEVEL = "top-level"
WHOLE = "whole"   # the accelerator: the top level with its parts
_CLOCK = ("clk", "rst")


class _Box(Component):
    """A black box with the ports of ``component``."""

    def __init__(self, name: str, component: Component) -> None:
        self._name = name
        super().__init__(component.signature)

    def ports(self) -> dict[str, tuple[str, int]]:
        """Direction in RTLIL, and width, of each port."""
        ways = {Flow.In: "input", Flow.Out: "output"}
        return {**dict.fromkeys(_CLOCK, ("input", 1)),
                **{name: (ways[flow], len(signal))
                   for name, (flow, signal) in component_ports(self).items()}}

    def declaration(self) -> str:
        """The module in RTLIL that says that this is a black box."""
        wires = (f"  wire width {width} {way} {number} \\{name}\n"
                 for number, (name, (way, width)) in enumerate(self.ports().items(), 1))
        return f"attribute \\blackbox 1\nmodule \\{BOX}{self._name}\n{''.join(wires)}end\n"

    def elaborate(self, platform: object) -> Instance:
        ports = {f"{'i' if flow == Flow.In else 'o'}_{name}": signal
                 for name, (flow, signal) in component_ports(self).items()}
        return Instance(f"{BOX}{self._name}", a_keep=1, i_clk=ClockSignal(), i_rst=ResetSignal(),
                        **ports)


class _BoxedCore(Core):
    """A ``Core`` whose parts are black boxes, which ``boxes`` lists once it is elaborated."""

    def __init__(self, parameters: AcceleratorParameters) -> None:
        super().__init__(parameters)
        self.boxes: list[_Box] = []

    def _add(self, m: Module, name: str, component: Component) -> Component:
        box = _Box(part_of(name), component)
        self.boxes.append(box)
        return super()._add(m, name, box)


def map_top_level(parameters: AcceleratorParameters, target: Target) -> Mapped:
    """Synthesize what lies between the parts: registers, routes, counting, the drain of the port.

    The netlist has a cell of the type ``BOX`` + name for each part.

    Raises
    ------
    ToolError
        A tool is missing or fails.
    """
    core = _BoxedCore(parameters)
    block = SynthBlock(TOP_LEVEL, lambda p: Accelerator(p, core=core))
    with never_elaborated():   # the parts, of which only the ports are used
        return map_component(block, block.make(parameters), target,
                             lambda: "".join(box.declaration() for box in core.boxes))
