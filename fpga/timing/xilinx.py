"""The timing arcs of UltraScale+ cells, as Yosys' ``synth_xilinx`` and Vivado name them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection

from ...errors import ToolError
from .dsp48e2 import add_dsp, dsp_registers
from .graph import GraphBuilder, Net
from .netlist import Cell, Netlist

__all__ = ["build_xilinx"]

_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
_BLOCK_RAMS = ("RAMB18E2", "RAMB36E2")
_CARRIES = ("CARRY4", "CARRY8")
# What stands in the slice of a flip-flop and can drive its D without leaving it.
_BESIDE = re.compile(r"LUT\d|CARRY\d|MUXF\d")
# Ports by which a LUT RAM is read, with the outputs that each reads.
_MULTI_PORT = {f"ADDR{port}": (f"DO{port}",) for port in "ABCDEFGH"}
_DUAL_PORT = {"A": ("SPO",), "DPRA": ("DPO",)}
_SINGLE_PORT = {"A": ("O",)}
_CLOCKS = {"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"}


class _Builder:
    """Adds the arcs of one netlist's cells to a graph, and notes what their users should know."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self.graph = GraphBuilder(netlist.size)
        self.notes: Counter[str] = Counter()
        self._fanout = netlist.fanout.tolist()
        self._driver = netlist.driver

    def add(self, cell: Cell) -> None:
        self.graph.cell += 1
        method = _METHODS.get(cell.type) or next(
            (method for start, method in _FAMILIES.items() if cell.type.startswith(start)), None)
        if method is None:
            raise ToolError(f"The netlist has a cell of the type {cell.type!r}, whose delays must "
                            "be said in fpga/timing/xilinx.py")
        method(self, cell)

    def alone(self, net: int) -> bool:
        """Whether ``net`` goes to one pin only."""
        return self._fanout[net] == 1

    def driven_by(self, net: int, types: re.Pattern[str]) -> bool:
        return types.match(self._driver.get(net, "")) is not None

    def flip_flop(self, cell: Cell) -> None:
        for net in cell.nets("Q"):
            self.graph.start(net, "ff.clock_to_q")
        for net in cell.nets("D"):
            beside = self.alone(net) and self.driven_by(net, _BESIDE)
            self.graph.end(net, "D", "ff.setup", net=Net.LOCAL if beside else Net.ROUTED)
        for net in cell.nets("CE"):
            self.graph.end(net, "CE", "ff.enable")
        for port in ("R", "S", "CLR", "PRE"):
            for net in cell.nets(port):
                self.graph.end(net, port, "ff.reset")

    def lut(self, cell: Cell) -> None:
        for output in cell.nets("O", "O5", "O6"):
            for _, net in cell.inputs():
                self.graph.arc(net, output, "lut")

    def inverter(self, cell: Cell) -> None:
        """Nothing: what follows takes an inversion in."""
        for output in cell.nets("O"):
            for net in cell.nets("I"):
                self.graph.arc(net, output, net=Net.INSIDE, levels=0)

    def multiplexer(self, cell: Cell) -> None:
        for output in cell.nets("O"):
            for _, net in cell.inputs():
                self.graph.arc(net, output, "muxf", net=Net.DEDICATED, levels=0)

    def carry(self, cell: Cell) -> None:
        """Bit i of S and DI decides outputs from i on; a chain of several cells is one level."""
        outputs = [(port, i, bit) for port in ("O", "CO")
                   for i, bit in enumerate(cell.pins.get(port, ())) if isinstance(bit, int)]
        for port in ("S", "DI"):
            for i, net in enumerate(cell.pins.get(port, ())):
                if isinstance(net, int):
                    way = self._into_carry(net)
                    for out, j, bit in outputs:
                        if delay := _carry_delay(port, out, j - i):
                            self.graph.arc(net, bit, *delay, net=way)
        for port in ("CI", "CYINIT", "CI_TOP"):
            for net in cell.nets(port):
                chained = self._driver.get(net, "") in _CARRIES and port != "CYINIT"
                for out, j, bit in outputs:
                    delay = (("carry.init",) if not chained else
                             ("carry.in_to_co",) if out == "CO" else
                             ("carry.in_to_o", *["carry.in_to_o_bit"] * j))
                    self.graph.arc(net, bit, *delay, levels=0 if chained else 1,
                                   net=Net.DEDICATED if chained else Net.ROUTED)

    def _into_carry(self, net: int) -> Net:
        beside = self.alone(net) and self._driver.get(net, "").startswith("LUT")
        return Net.CARRY if beside else Net.ROUTED

    def block_ram(self, cell: Cell) -> None:
        for port in cell.pins:
            if port.startswith(("DOUT", "CASDO")):
                registered = cell.number("DOA_REG" if "A" in port[4:] else "DOB_REG", 0)
                self._memory_output(cell, port, bool(registered), "bram.clock_to_out")
        self._memory_inputs(cell, "bram")

    def ultra_ram(self, cell: Cell) -> None:
        for port in cell.pins:
            if port.startswith(("DOUT_", "CAS_OUT_DOUT")):
                registered = cell.text(f"OREG_{port[-1]}", "FALSE") in ("TRUE", f"{1:032b}")
                self._memory_output(cell, port, registered, "uram.clock_to_out")
        self._memory_inputs(cell, "uram")

    def _memory_output(self, cell: Cell, port: str, registered: bool, delay: str) -> None:
        nets = list(cell.nets(port))
        if nets:
            self.notes[f"{cell.type} {'with' if registered else 'without'} output register"] += 1
        for net in nets:
            self.graph.start(net, "memory.register_to_out" if registered else delay)

    def _memory_inputs(self, cell: Cell, memory: str) -> None:
        for port, net in cell.inputs():
            if port not in _CLOCKS:
                data = port.startswith(("DIN", "CAS"))
                self.graph.end(net, port, f"{memory}.{'data' if data else 'address'}")

    def lut_ram(self, cell: Cell) -> None:
        reads = (_MULTI_PORT if "ADDRA" in cell.pins else
                 _DUAL_PORT if "SPO" in cell.pins else _SINGLE_PORT)
        for outputs in reads.values():
            for net in cell.nets(*outputs):
                self.graph.start(net, "lutram.clock_to_out")
        for port, net in cell.inputs():
            if port in _CLOCKS:
                continue
            data = port == "D" or port.startswith("DI")
            self.graph.end(net, port, "lutram.data" if data else "lutram.address")
            for output in cell.nets(*reads.get(re.sub(r"\d+$", "", port), ())):
                self.graph.arc(net, output, "lutram.read")

    def shift_register(self, cell: Cell) -> None:
        for net in cell.nets("Q", "Q15", "Q31"):
            self.graph.start(net, "srl.clock_to_q")
        for port, net in cell.inputs():
            if port in ("D", "CE"):
                self.graph.end(net, port, "srl.setup")
            elif port not in _CLOCKS:
                for output in cell.nets("Q"):
                    self.graph.arc(net, output, "srl.read")

    def dsp(self, cell: Cell) -> None:
        self.notes[dsp_registers(cell)] += 1
        add_dsp(self.graph, cell)

    def nothing(self, cell: Cell) -> None:
        """A constant."""

    def buffer(self, cell: Cell) -> None:
        for output in cell.nets("O"):
            for net in cell.nets("I"):
                self.graph.arc(net, output, net=Net.INSIDE, levels=0)


def _carry_delay(port: str, output: str, distance: int) -> tuple[str, ...] | None:
    """From bit i of S or DI to bit i + ``distance`` of an output; None if there is no such way."""
    if distance < 0 or (output == "O" and distance == 0 and port == "DI"):
        return None
    if output == "CO":
        return "carry.to_co", *["carry.to_co_bit"] * distance
    if distance == 0:
        return ("carry.s_to_o",)
    return "carry.to_o", *["carry.to_o_bit"] * distance


_METHODS: dict[str, Callable[[_Builder, Cell], None]] = {
    **dict.fromkeys(_FLIP_FLOPS, _Builder.flip_flop),
    **dict.fromkeys(_CARRIES, _Builder.carry),
    **dict.fromkeys(_BLOCK_RAMS, _Builder.block_ram),
    **dict.fromkeys(("GND", "VCC"), _Builder.nothing),
    **dict.fromkeys(("BUF", "BUFG", "BUFGCE", "IBUF", "OBUF"), _Builder.buffer),
    "DSP48E2": _Builder.dsp, "INV": _Builder.inverter, "URAM288": _Builder.ultra_ram,
}
_FAMILIES: dict[str, Callable[[_Builder, Cell], None]] = {
    "LUT": _Builder.lut, "MUXF": _Builder.multiplexer, "RAM": _Builder.lut_ram,
    "SRL": _Builder.shift_register,
}


def build_xilinx(netlist: Netlist, untimed: Collection[str]) -> tuple[GraphBuilder, dict[str, int]]:
    """The arcs of ``netlist``, and what is worth knowing of its cells, counted.

    Ports count as registers: an input's signal comes from a flip-flop outside, an output's goes to
    one. Those called ``untimed`` are left out.

    Raises
    ------
    ToolError
        A type of cell is not known.
    """
    builder = _Builder(netlist)
    for cell in netlist.cells:
        builder.add(cell)
    graph = builder.graph
    graph.cell = -1
    for name, nets in netlist.ports("input"):
        for net in nets:
            if name not in untimed:
                graph.start(net, "ff.clock_to_q")
    for name, nets in netlist.ports("output"):
        for net in nets:
            if name not in untimed:
                graph.end(net, name, "ff.setup")
    return graph, dict(sorted(builder.notes.items()))
