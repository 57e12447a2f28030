"""The top level's ports, in the interfaces that Vivado sees in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amaranth.lib.wiring import In

from ...hw.streams.ports import component_ports
from ..accelerator import Accelerator
from ..registers import ADDRESS_WIDTH

__all__ = ["CLOCK", "CONTROL", "INTERRUPT", "RESET", "Interface", "Port", "interfaces"]

CLOCK, RESET, INTERRUPT, CONTROL = "aclk", "aresetn", "interrupt", "s_axi_ctrl"
_AXI = "xilinx.com:interface:aximm:1.0"
_SIGNAL = "xilinx.com:signal:{}:1.0"


@dataclass(frozen=True)
class Port:
    """A port of the top level.

    ``logical`` is its name in the bus definition, ``inner`` the accelerator's port that it is, and
    ``input`` its direction.
    """

    name: str
    width: int
    input: bool
    logical: str
    inner: str


@dataclass(frozen=True)
class Interface:
    """Ports that belong together. ``bus`` is vendor:library:name:version of the bus definition."""

    name: str
    bus: str
    master: bool
    ports: tuple[Port, ...]
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def is_memory(self) -> bool:
        """Whether it is an AXI4 master."""
        return self.bus == _AXI and self.master


def interfaces(accelerator: Accelerator) -> list[Interface]:
    """Those of the top level around ``accelerator``: clock and reset, registers, memory, interrupt.

    Names are those from which Vivado infers interfaces by itself (UG994, UG1118): ``m_axi_*`` and
    ``s_axi_*`` with AXI's signals in small letters, ``aclk``, ``aresetn``.
    """
    ports = component_ports(accelerator)

    def bus(name: str, *prefixes: str) -> tuple[Port, ...]:
        return tuple(
            Port(f"{name}_{signal}", len(value), flow == In, signal.upper(), inner)
            for inner, (flow, value) in ports.items() for prefix in prefixes
            if inner.startswith(prefix) and (signal := inner.removeprefix(prefix)))

    p = accelerator.parameters
    control = Interface(CONTROL, _AXI, False, bus(CONTROL, "control__"), {
        "PROTOCOL": "AXI4LITE", "DATA_WIDTH": 32, "ADDR_WIDTH": ADDRESS_WIDTH})
    memory = [Interface(name, _AXI, True, bus(name, *prefixes), {
        "PROTOCOL": "AXI4", "DATA_WIDTH": 8 * p.word_bytes // p.ports,
        "ADDR_WIDTH": accelerator.address_width, "ID_WIDTH": 1, "HAS_BURST": 1,
        "HAS_CACHE": 1, "HAS_LOCK": 0, "HAS_PROT": 1, "HAS_QOS": 0, "HAS_REGION": 0, "HAS_WSTRB": 1,
        "SUPPORTS_NARROW_BURST": 0, "MAX_BURST_LENGTH": p.max_burst,
        "NUM_READ_OUTSTANDING": p.outstanding, "NUM_WRITE_OUTSTANDING": p.outstanding,
        "READ_WRITE_MODE": "READ_WRITE",
    }) for name, prefixes in _memory_prefixes(p.ports).items()]
    buses = ":".join(interface.name for interface in (control, *memory))
    return [
        _single(CLOCK, "clock", "CLK", True, "clk",
                {"ASSOCIATED_BUSIF": buses, "ASSOCIATED_RESET": RESET}),
        _single(RESET, "reset", "RST", True, "rst", {"POLARITY": "ACTIVE_LOW"}),
        control, *memory,
        _single(INTERRUPT, "interrupt", "INTERRUPT", False, "interrupt",
                {"SENSITIVITY": "LEVEL_HIGH"}),
    ]


def _memory_prefixes(ports: int) -> dict[str, tuple[str, str]]:
    """How the accelerator calls the signals of each memory port."""
    if ports == 1:
        return {"m_axi_hp0": ("read__", "write__")}
    return {f"m_axi_hp{number}": (f"read__{number}__", f"write__{number}__")
            for number in range(ports)}


def _single(name: str, kind: str, logical: str, is_input: bool, inner: str,
            parameters: Mapping[str, str | int]) -> Interface:
    """An interface of one port of one bit."""
    return Interface(name, _SIGNAL.format(kind), not is_input,
                     (Port(name, 1, is_input, logical, inner),), parameters)
