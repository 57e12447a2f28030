"""The resources of a Xilinx UltraScale+ device that the cells of a netlist take."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ...errors import ToolError

__all__ = ["XILINX_RESOURCES", "count_xilinx"]

XILINX_RESOURCES = ("LUT", "LUTRAM", "SRL", "FF", "CARRY4", "DSP", "BRAM36", "URAM")

# What a cell takes. LUTRAM and SRL are LUTs that store; "LUT" counts them too, because each takes
# the place of one. The sizes of the LUT RAMs: AMD UG574, "Distributed RAM".
_STORING = {
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM32X1S": 1, "RAM64X1S": 1,
    "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8,
    "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
}
_COSTS: dict[str, dict[str, Fraction]] = {
    **{f"LUT{inputs}": {"LUT": Fraction(1)} for inputs in range(1, 7)},
    "INV": {"LUT": Fraction(1)},   # if no LUT behind it takes it in
    **{cell: {"LUT": Fraction(luts), "LUTRAM": Fraction(luts)} for cell, luts in _STORING.items()},
    "SRL16E": {"LUT": Fraction(1), "SRL": Fraction(1)},
    "SRLC32E": {"LUT": Fraction(1), "SRL": Fraction(1)},
    **{cell: {"FF": Fraction(1)} for cell in ("FDRE", "FDSE", "FDCE", "FDPE")},
    "CARRY4": {"CARRY4": Fraction(1)},
    "DSP48E2": {"DSP": Fraction(1)},
    "RAMB36E2": {"BRAM36": Fraction(1)},
    "RAMB18E2": {"BRAM36": Fraction(1, 2)},
    "URAM288": {"URAM": Fraction(1)},
    # Beside the LUTs of a slice, or once per device.
    **{cell: {} for cell in ("MUXF7", "MUXF8", "MUXF9", "BUFG", "GND", "VCC")},
}


def count_xilinx(cells: Mapping[str, int]) -> dict[str, float]:
    """The resources that ``cells``, a count for each type, take: a number for each resource.

    Raises
    ------
    ToolError
        A type of cell is not known. It is not left out, since the sum would then be too small.
    """
    totals = dict.fromkeys(XILINX_RESOURCES, Fraction(0))
    for cell, count in cells.items():
        if cell not in _COSTS:
            raise ToolError(f"The netlist has {count} cells of the unknown type {cell!r}; what it "
                            "takes of the device must be said in fpga/synth/cells.py")
        for resource, cost in _COSTS[cell].items():
            totals[resource] += cost * count
    return {name: float(totals[name]) for name in XILINX_RESOURCES}
