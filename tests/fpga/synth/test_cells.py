import pytest

from trilobite.errors import ToolError
from trilobite.fpga.synth.cells import XILINX_RESOURCES, count_xilinx


def test_cells_counted_by_hand():
    cells = {"LUT2": 10, "LUT6": 5, "INV": 1, "MUXF7": 3, "BUFG": 1, "RAM64M8": 2, "RAM32X1D": 1,
             "SRL16E": 4, "FDRE": 7, "FDSE": 2, "CARRY4": 3, "DSP48E2": 2, "RAMB36E2": 1,
             "RAMB18E2": 3, "URAM288": 4}
    assert count_xilinx(cells) == {
        "LUT": 10 + 5 + 1 + 16 + 2 + 4, "LUTRAM": 18, "SRL": 4, "FF": 9, "CARRY4": 3, "DSP": 2,
        "BRAM36": 2.5, "URAM": 4}


def test_nothing_takes_nothing():
    assert count_xilinx({}) == dict.fromkeys(XILINX_RESOURCES, 0)


def test_an_unknown_cell_is_not_left_out():
    with pytest.raises(ToolError, match="3 cells of the unknown type 'XORCY'"):
        count_xilinx({"LUT2": 1, "XORCY": 3})
