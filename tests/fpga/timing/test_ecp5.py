"""Small ECP5 netlists whose slowest path is worked out by hand from delays/ecp5-85f.toml."""

import pytest

from support.netlists import cell
from trilobite.errors import ToolError
from trilobite.fpga.timing.analysis import analyse_netlist
from trilobite.fpga.timing.arcs import arcs_file, load_arcs
from trilobite.fpga.timing.netlist import Netlist

ARCS = load_arcs(arcs_file("ecp5-85f"))
NET, FEW = (float(ns) for ns in ARCS.net_ns[:2, 1])   # to one pin, to two or three


def nominal(*names):
    return sum(float(ARCS.ns[name][1]) for name in names)


def flip_flop(d, q):
    return cell("TRELLIS_FF", {"Q": [q]}, {"CLK": [2], "LSR": ["0"], "CE": ["1"], "DI": [d]})


def period(**cells):
    found = analyse_netlist("made", Netlist({"cells": cells, "ports": {}, "netnames": {}}), ARCS,
                            50.0)
    return found.ns["nominal"], found.levels


def test_two_luts_and_their_multiplexer_stand_in_one_slice():
    ns, levels = period(
        a=flip_flop("0", 3), low=cell("LUT4", {"Z": [4]}, {"A": [3]}),
        high=cell("LUT4", {"Z": [5]}, {"A": [3]}),
        mux=cell("PFUMX", {"Z": [6]}, {"ALUT": [4], "BLUT": [5], "C0": ["0"]}),
        b=flip_flop(6, 7))
    assert ns == pytest.approx(nominal("ff.clock_to_q", "lut", "pfumx", "net.local") + FEW,
                               abs=0.001)
    assert levels == 1


def test_a_carry_chain_is_one_level():
    def pair(first, chain, **inputs):
        return cell("CCU2C", {"S0": [first], "S1": [first + 1], "COUT": [first + 2]},
                    {"CIN": [chain], **{port: [bit] for port, bit in inputs.items()}})

    ns, levels = period(a=flip_flop("0", 3), x=pair(10, "0", A0=3), y=pair(20, 12),
                        z=pair(30, 22), b=flip_flop(31, 4))
    assert ns == pytest.approx(
        nominal("ff.clock_to_q", "carry.to_out", *["carry.in_to_out"] * 2, "carry.in_to_sum",
                "net.local") + NET, abs=0.001)
    assert levels == 1


def test_a_multiplier_goes_through_in_one_cycle():
    ns, _ = period(a=flip_flop("0", 3), m=cell("MULT18X18D", {"P0": [4]}, {"A0": [3]}),
                   b=flip_flop(4, 5))
    assert ns == pytest.approx(
        nominal("ff.clock_to_q", "net.column", "multiplier", "net.column"), abs=0.001)


def test_a_multiplier_with_a_register_is_refused():
    with pytest.raises(ToolError, match=r"has registers \(REG_OUTPUT_CLK\), for which .*ecp5-85f"):
        period(m=cell("MULT18X18D", {"P0": [4]}, {"A0": [3]}, REG_OUTPUT_CLK="CLK0"))


def test_memories_start_and_end_paths():
    ns, _ = period(r=cell("DP16KD", {"DOA0": [4]}, {"ADA0": [5], "CLKA": [2]}),
                   l=cell("LUT4", {"Z": [5]}, {"A": [4]}))
    assert ns == pytest.approx(
        nominal("bram.clock_to_out", "net.column", "lut", "net.column", "bram.setup"), abs=0.001)
    with pytest.raises(ToolError, match="no arc 'bram.register_to_out'"):
        period(r=cell("DP16KD", {"DOA0": [4]}, {}, REGMODE_A="OUTREG"))
    ns, levels = period(a=flip_flop("0", 3), r=cell(
        "TRELLIS_DPR16X4", {"DO": [4]}, {"RAD": [3], "DI": ["0"], "WCK": [2]}), b=flip_flop(4, 5))
    assert ns == pytest.approx(nominal("ff.clock_to_q", "lut", "net.local") + NET, abs=0.001)
    assert levels == 1


def test_a_cell_that_is_not_known_is_refused():
    with pytest.raises(ToolError, match="a cell of the type 'EHXPLLL'.*fpga/timing/ecp5.py"):
        period(x=cell("EHXPLLL", {}, {}))
