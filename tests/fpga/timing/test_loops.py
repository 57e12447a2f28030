"""Loops as abc makes them: a comparison swaps its operands, and an input is made of both."""

import pytest

from support.netlists import cell, flip_flop
from trilobite.fpga.timing.analysis import analyse_netlist
from trilobite.fpga.timing.arcs import arcs_file, load_arcs
from trilobite.fpga.timing.loops import _lut
from trilobite.fpga.timing.netlist import Cell, Netlist

A, B, LARGER, HIGH, LOW, SAME = 3, 4, 5, 6, 7, 8


def lut(output, table, *inputs):
    return cell(f"LUT{len(inputs)}", {"O": [output]},
                {f"I{i}": [bit] for i, bit in enumerate(inputs)},
                INIT=f"{table:0{1 << len(inputs)}b}")


def analyse(same):
    """``same`` is an input of the chain that gives LARGER, by which HIGH and LOW are chosen."""
    cells = {
        "a": flip_flop("0", A), "b": flip_flop("0", B),
        "chain": cell("CARRY4", {"CO": [LARGER]}, {"S": [SAME], "DI": [A], "CI": ["0"],
                                                    "CYINIT": ["0"]}),
        "high": lut(HIGH, 0b11001010, B, A, LARGER), "low": lut(LOW, 0b11001010, A, B, LARGER),
        "same": same, "end": flip_flop(HIGH, 9), "also": flip_flop(LOW, 10),
    }
    names = {"a": [A], "b": [B], "larger": [LARGER], "high": [HIGH], "low": [LOW], "same": [SAME]}
    return analyse_netlist("made", Netlist({
        "cells": cells, "ports": {},
        "netnames": {name: {"hide_name": 0, "bits": bits} for name, bits in names.items()}}),
        load_arcs(arcs_file("kv260")), 250.0)


def test_where_a_choice_cancels_out_the_loop_is_cut_and_no_path_lost():
    """HIGH and LOW are A and B in some order, so whether they are the same is no matter of it."""
    found = analyse(lut(SAME, 0b1001, HIGH, LOW))
    assert found.cut == ("high", "low") and not found.lost
    assert found.levels == 2   # the chain, and the choice by its result
    assert found.paths[0].end in ("net 9", "end", "net 10", "also")


def test_a_loop_that_a_signal_passes_is_told_apart():
    found = analyse(lut(SAME, 0b01, HIGH))
    assert not found.cut and len(found.lost) == 1


@pytest.mark.parametrize("inputs", [1, 2, 3, 6])
def test_a_luts_output_is_its_table(inputs):
    """The first input is the lowest bit of the row, as in Xilinx' and Yosys' INIT."""
    table = 0x9A3C_5F01_7EB2_D864 & (1 << (1 << inputs)) - 1
    made = Cell("lut", f"LUT{inputs}", {"INIT": f"{table:b}"}, {}, {})
    words = [sum(1 << row for row in range(1 << inputs) if row >> i & 1) for i in range(inputs)]
    mask = (1 << (1 << inputs)) - 1
    assert _lut(made, words) & mask == table
