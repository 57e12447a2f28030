"""The timing arcs of ECP5 cells, as Yosys' ``synth_lattice`` names them and nextpnr times them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from ...errors import ToolError
from .cells import CellTiming
from .graph import Net
from .netlist import Cell

__all__ = ["Ecp5Timing"]

# What stands in the slice of a flip-flop and drives its D without leaving it.
_BESIDE = re.compile("LUT4|PFUMX|L6MUX21|CCU2C|TRELLIS_DPR16X4")
_IN_SLICE = re.compile("LUT4|PFUMX|L6MUX21")
_CHAIN = re.compile("CCU2C")


class Ecp5Timing(CellTiming):
    """The arcs of ECP5 cells."""

    def flip_flop(self, cell: Cell) -> None:
        """Add a flip-flop, which stands beside what drives its D."""
        for net in cell.nets("Q"):
            self.graph.start(net, "ff.clock_to_q")
        for net in cell.nets("DI"):
            beside = self.driven_by(net, _BESIDE)
            self.graph.end(net, "DI", "ff.setup", net=Net.LOCAL if beside else Net.ROUTED)
        for net in cell.nets("M"):
            self.graph.end(net, "M", "ff.setup")
        for net in cell.nets("CE"):
            self.graph.end(net, "CE", "ff.enable")
        for net in cell.nets("LSR"):
            self.graph.end(net, "LSR", "ff.reset")

    def lut(self, cell: Cell) -> None:
        """Add a LUT: the same delay from all its inputs."""
        for output in cell.nets("Z"):
            for _, net in cell.inputs():
                self.graph.arc(net, output, "lut")

    def multiplexer(self, cell: Cell) -> None:
        """Add a PFUMX or L6MUX21, which stands beside the two LUTs that it chooses from."""
        delay = "pfumx" if cell.type == "PFUMX" else "l6mux21"
        for output in cell.nets("Z"):
            for port, net in cell.inputs():
                if port in ("C0", "SD"):
                    self.graph.arc(net, output, "mux.select")
                else:
                    beside = self.driven_by(net, _IN_SLICE)
                    self.graph.arc(net, output, delay, levels=0,
                                   net=Net.INSIDE if beside else Net.ROUTED)

    def carry(self, cell: Cell) -> None:
        """Add two bits of a carry chain, which is one level however long."""
        outputs = {port: list(cell.nets(port)) for port in ("S0", "S1", "COUT")}
        ways: dict[str, dict[str, tuple[str, ...]]] = {
            "IN": {"S0": ("carry.in_to_sum",), "S1": ("carry.in_to_sum",),
                   "COUT": ("carry.in_to_out",)},
            "0": {"S0": ("lut",), "S1": ("carry.to_out", "carry.in_to_sum"),
                  "COUT": ("carry.to_out", "carry.in_to_out")},
            "1": {"S1": ("lut",), "COUT": ("carry.to_out",)},
        }
        for port, net in cell.inputs():
            chained = port == "CIN" and self.driven_by(net, _CHAIN)
            for output, delay in ways["IN" if port == "CIN" else port[1]].items():
                for bit in outputs[output]:
                    self.graph.arc(net, bit, *delay, levels=0 if chained else 1,
                                   net=Net.DEDICATED if chained else Net.ROUTED)

    def lut_ram(self, cell: Cell) -> None:
        """Add a LUT RAM, which is written at the clock's edge and read through."""
        for port, net in cell.inputs():
            if port == "RAD":
                for output in cell.nets("DO"):
                    self.graph.arc(net, output, "lut")
            elif port != "WCK":
                self.graph.end(net, port, "lutram.write")

    def block_ram(self, cell: Cell) -> None:
        """Add a block RAM; REGMODE_A and REGMODE_B say whether its outputs have registers."""
        for side in "AB":
            registered = cell.text(f"REGMODE_{side}", "NOREG") != "NOREG"
            nets = [net for port in cell.pins if port.startswith(f"DO{side}")
                    for net in cell.nets(port)]
            if nets:
                self.notes[f"DP16KD {'with' if registered else 'without'} output register"] += 1
            for net in nets:
                self.graph.column(net)
                self.graph.start(
                    net, "bram.register_to_out" if registered else "bram.clock_to_out")
        for port, net in cell.inputs():
            if not port.startswith("CLK"):
                self.graph.end(net, port, "bram.setup", net=Net.COLUMN)

    def multiplier(self, cell: Cell) -> None:
        """Add an 18 x 18 multiplier without registers.

        Raises
        ------
        ToolError
            It has one: what it then takes is not known.
        """
        registered = [name for name in cell.parameters if name.startswith("REG_")
                      and name.endswith("_CLK") and cell.text(name, "NONE") != "NONE"]
        if registered:
            raise ToolError(f"The multiplier {cell.name} has registers ({', '.join(registered)}), "
                            "for which fpga/timing/delays/ecp5-85f.toml has no delays")
        self.notes["MULT18X18D with no register"] += 1
        product = self.graph.node()
        for port, net in cell.inputs():
            if re.fullmatch(r"[AB]\d+", port):
                self.graph.arc(net, product, "multiplier", net=Net.COLUMN)
        for port in cell.pins:
            if cell.directions[port] == "output":
                for net in cell.nets(port):
                    self.graph.column(net)
                    self.graph.arc(product, net, net=Net.INSIDE, levels=0)

    METHODS: ClassVar[Mapping[str, Callable[..., None]]] = {
        "TRELLIS_FF": flip_flop, "LUT4": lut, "PFUMX": multiplexer, "L6MUX21": multiplexer,
        "CCU2C": carry, "TRELLIS_DPR16X4": lut_ram, "DP16KD": block_ram,
        "MULT18X18D": multiplier, "VHI": CellTiming.nothing, "VLO": CellTiming.nothing,
    }
