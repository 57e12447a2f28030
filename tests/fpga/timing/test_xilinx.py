"""Small netlists whose slowest path is worked out by hand from delays/kv260.toml."""

import pytest

from support.netlists import cell, flip_flop
from trilobite.errors import ToolError
from trilobite.fpga.timing.analysis import analyse_netlist
from trilobite.fpga.timing.arcs import arcs_file, load_arcs
from trilobite.fpga.timing.netlist import Netlist

ARCS = load_arcs(arcs_file("kv260"))


def nominal(*names):
    return sum(float(ARCS.ns[name][1]) for name in names)


NET = float(ARCS.net_ns[0, 1])   # to up to three pins
COLUMN = nominal("net.column")   # into or out of a column of memories or DSP blocks
OVERHEAD = nominal("clock.overhead")


def analyse(cells, names=None, ports=None):
    module = {
        "cells": cells, "ports": ports or {},
        "netnames": {name: {"hide_name": 0, "bits": bits} for name, bits in (names or {}).items()}}
    return analyse_netlist("made", Netlist(module), ARCS, 250.0)


def test_from_register_to_register_by_two_luts():
    found = analyse({
        "a": flip_flop("0", 3), "l": cell("LUT2", {"O": [4]}, {"I0": [3], "I1": [3]}),
        "m": cell("LUT1", {"O": [5]}, {"I0": [4]}), "b": flip_flop(5, 6),
    }, {"first": [3], "second": [6]})
    beside = nominal("net.local")   # one LUT's output that goes to a flip-flop alone
    assert found.ns["nominal"] == pytest.approx(
        nominal("ff.clock_to_q", "lut", "lut") + 2 * NET + beside + OVERHEAD, abs=0.001)
    assert found.mhz["nominal"] == pytest.approx(1000 / found.ns["nominal"], abs=0.1)
    assert (found.levels, found.deepest) == (2, 2)
    assert (found.paths[0].start, found.paths[0].end) == ("first", "second")
    assert [step.fanout for step in found.paths[0].steps] == [2, 1, 1]
    assert found.over == {"optimistic": 0, "nominal": 0, "pessimistic": 0}


def test_a_carry_chain_is_one_level_however_long():
    chain = {f"c{i}": cell(
        "CARRY4", {"O": [10 * i + j for j in range(4)], "CO": [10 * i + 4 + j for j in range(4)]},
        {"CI": [10 * i - 3 if i > 10 else "0"], "CYINIT": ["0"], "DI": ["0"] * 4,
         "S": [3, "0", "0", "0"]}) for i in (10, 11, 12)}
    found = analyse({"a": flip_flop("0", 3), **chain, "b": flip_flop(123, 6)})
    assert found.levels == 1
    assert found.ns["nominal"] == pytest.approx(
        nominal("ff.clock_to_q", "carry.to_co", *["carry.to_co_bit"] * 3, "carry.in_to_co",
                "carry.in_to_o", *["carry.in_to_o_bit"] * 3, "net.dedicated", "net.dedicated",
                "net.local") + NET + OVERHEAD, abs=0.001)


REGISTERS = dict(AREG=0, BREG=0, CREG=0, MREG=0, PREG=0)


def dsp(**registers):
    return analyse({
        "a": flip_flop("0", 3),
        "m": cell("DSP48E2", {"P": [7]}, {"A": [3], "B": [3], "C": ["0"]},
                  **(REGISTERS | registers)),
        "b": flip_flop(7, 6)})


def test_a_dsp_block_is_cut_where_it_has_registers():
    through = nominal("dsp.input", "dsp.multiply", "dsp.m_to_alu", "dsp.alu", "dsp.output")
    from_q = nominal("ff.clock_to_q") + COLUMN
    none = dsp()
    assert none.ns["nominal"] == pytest.approx(from_q + through + COLUMN + OVERHEAD, abs=0.001)
    assert none.levels == 1 and none.cells == {"DSP48E2 with no register": 1}
    with_m = dsp(MREG=1)
    assert with_m.ns["nominal"] == pytest.approx(max(
        from_q + nominal("dsp.input", "dsp.multiply", "dsp.m_setup"),
        nominal("dsp.m_register", "dsp.alu", "dsp.output") + COLUMN) + OVERHEAD, abs=0.001)
    full = dsp(AREG=1, BREG=1, MREG=1, PREG=1)
    assert full.ns["nominal"] == pytest.approx(
        nominal("dsp.input_register", "dsp.multiply", "dsp.m_setup") + OVERHEAD, abs=0.001)
    assert full.cells == {"DSP48E2 with AREG BREG MREG PREG": 1}
    assert none.ns["nominal"] > with_m.ns["nominal"] > full.ns["nominal"]
    assert dsp(AREG=1, BREG=1, PREG=1).ns["nominal"] == pytest.approx(
        nominal("dsp.input_register", "dsp.multiply", "dsp.m_to_alu", "dsp.alu", "dsp.p_setup")
        + OVERHEAD, abs=0.001)


def test_a_block_ram_is_slow_without_its_output_register():
    def ram(register):
        return analyse({
            "r": cell("RAMB18E2", {"DOUTADOUT": [4]}, {"ADDRARDADDR": [3], "CLKARDCLK": [2]},
                      DOA_REG=f"{register:b}"),
            "b": flip_flop(4, 3)})

    slow, fast = ram(0), ram(1)
    assert slow.ns["nominal"] == pytest.approx(
        nominal("bram.clock_to_out") + COLUMN + OVERHEAD, abs=0.001)
    assert slow.cells == {"RAMB18E2 without output register": 1}
    assert fast.ns["nominal"] < slow.ns["nominal"]


def test_a_lut_ram_is_written_at_the_edge_and_read_through():
    found = analyse({
        "a": flip_flop("0", 3), "r": cell(
            "RAM32M", {"DOA": [4, 5], "DOB": [6, 7]},
            {"ADDRA": [3], "ADDRB": ["0"], "DIA": ["0"], "DIB": [5], "WCLK": [2], "WE": ["1"]}),
        "b": flip_flop(6, 8)})
    # Its own output is written back, which is later than what is read through from the register.
    assert found.ns["nominal"] == pytest.approx(
        nominal("lutram.clock_to_out", "lutram.data") + NET + OVERHEAD, abs=0.001)
    assert found.deepest == 1 and found.endpoints == 3   # ADDRA, DIB, D


def test_ports_count_as_registers_but_the_clock_and_the_reset():
    ports = {"clk": {"direction": "input", "bits": [2]}, "rst": {"direction": "input", "bits": [9]},
             "i": {"direction": "input", "bits": [3]}, "o": {"direction": "output", "bits": [4]}}
    found = analyse({"l": cell("LUT2", {"O": [4]}, {"I0": [3], "I1": [9]})}, {"o": [4], "i": [3]},
                    ports)
    assert found.ns["nominal"] == pytest.approx(
        nominal("ff.clock_to_q", "lut") + 2 * NET + OVERHEAD, abs=0.001)
    assert (found.paths[0].start, found.paths[0].end) == ("i", "o")
    assert not analyse({}, {}, {"rst": ports["rst"]}).paths


def test_a_loop_is_counted_and_named():
    found = analyse({
        "a": flip_flop("0", 3), "l": cell("LUT2", {"O": [4]}, {"I0": [3], "I1": [5]}),
        "m": cell("LUT1", {"O": [5]}, {"I0": [4]}), "b": flip_flop(4, 6)}, {"looped": [4, 5]})
    assert len(found.lost) == 1 and found.lost[0].startswith("looped")


def test_a_cell_that_is_not_known_is_refused():
    with pytest.raises(ToolError, match="a cell of the type 'GTYE4'.*fpga/timing/xilinx.py"):
        analyse({"x": cell("GTYE4", {}, {})})
