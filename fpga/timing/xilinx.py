"""The timing arcs of UltraScale+ cells, as Yosys' ``synth_xilinx`` and Vivado name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from .cells import CellTiming
from .dsp48e2 import add_dsp, dsp_registers
from .graph import Net
from .netlist import Cell

__all__ = ["XilinxTiming"]

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


class XilinxTiming(CellTiming):
    """The arcs of UltraScale+ cells; a DSP48E2 is cut where it has registers."""

    def flip_flop(self, cell: Cell) -> None:
        """Add a flip-flop; a LUT that goes to its D alone stands beside it."""
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
        """Add a LUT: the same delay from all its inputs."""
        for output in cell.nets("O", "O5", "O6"):
            for _, net in cell.inputs():
                self.graph.arc(net, output, "lut")

    def multiplexer(self, cell: Cell) -> None:
        """Add a MUXF7 to MUXF9, which belongs to the level of the LUTs before it."""
        for output in cell.nets("O"):
            for _, net in cell.inputs():
                self.graph.arc(net, output, "muxf", net=Net.DEDICATED, levels=0)

    def carry(self, cell: Cell) -> None:
        """Add a carry chain, which is one level however long.

        Bit i of S and DI decides outputs from i on.
        """
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
        """Add a block RAM; DOA_REG and DOB_REG say whether its outputs have registers."""
        for port in cell.pins:
            if port.startswith(("DOUT", "CASDO")):
                registered = cell.number("DOA_REG" if "A" in port[4:] else "DOB_REG", 0)
                self._memory_output(cell, port, bool(registered), "bram.clock_to_out")
        self._memory_inputs(cell, "bram")

    def ultra_ram(self, cell: Cell) -> None:
        """Add an UltraRAM; OREG_A and OREG_B say whether its outputs have registers."""
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
            self.graph.column(net)
            self.graph.start(net, "memory.register_to_out" if registered else delay)

    def _memory_inputs(self, cell: Cell, memory: str) -> None:
        for port, net in cell.inputs():
            if port not in _CLOCKS:
                data = port.startswith(("DIN", "CAS"))
                self.graph.end(net, port, f"{memory}.{'data' if data else 'address'}",
                               net=Net.COLUMN)

    def lut_ram(self, cell: Cell) -> None:
        """Add a LUT RAM, which is written at the clock's edge and read through."""
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
        """Add an SRL, which shifts at the clock's edge and is read through its address."""
        for net in cell.nets("Q", "Q15", "Q31"):
            self.graph.start(net, "srl.clock_to_q")
        for port, net in cell.inputs():
            if port in ("D", "CE"):
                self.graph.end(net, port, "srl.setup")
            elif port not in _CLOCKS:
                for output in cell.nets("Q"):
                    self.graph.arc(net, output, "srl.read")

    def dsp(self, cell: Cell) -> None:
        """Add a DSP48E2."""
        self.notes[dsp_registers(cell)] += 1
        add_dsp(self.graph, cell)

    METHODS: ClassVar[Mapping[str, Callable[..., None]]] = {
        **dict.fromkeys(_FLIP_FLOPS, flip_flop),
        **dict.fromkeys(_CARRIES, carry),
        **dict.fromkeys(_BLOCK_RAMS, block_ram),
        **dict.fromkeys(("GND", "VCC"), CellTiming.nothing),
        **dict.fromkeys(("INV", "BUF", "BUFG", "BUFGCE", "IBUF", "OBUF"), CellTiming.wire),
        "DSP48E2": dsp, "URAM288": ultra_ram,
    }
    FAMILIES: ClassVar[Mapping[str, Callable[..., None]]] = {
        "LUT": lut, "MUXF": multiplexer, "RAM": lut_ram, "SRL": shift_register}


def _carry_delay(port: str, output: str, distance: int) -> tuple[str, ...] | None:
    """Arcs from bit i of S or DI to bit i + ``distance`` of an output; None if there is no way."""
    if distance < 0 or (output == "O" and distance == 0 and port == "DI"):
        return None
    if output == "CO":
        return "carry.to_co", *["carry.to_co_bit"] * distance
    if distance == 0:
        return ("carry.s_to_o",)
    return "carry.to_o", *["carry.to_o_bit"] * distance
