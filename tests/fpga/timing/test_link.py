"""A top level with black boxes and the netlists of its parts become one netlist."""

import pytest

from support.netlists import cell, flip_flop
from trilobite.errors import ToolError
from trilobite.fpga.timing.analysis import analyse_netlist
from trilobite.fpga.timing.arcs import arcs_file, load_arcs
from trilobite.fpga.timing.link import link
from trilobite.fpga.timing.netlist import Netlist

ARCS = load_arcs(arcs_file("kv260"))


def port(direction, *bits):
    return {"direction": direction, "bits": list(bits)}


def lut(a, o):
    return cell("LUT1", {"O": [o]}, {"I0": [a]}, INIT=1)


def named(**names):
    return {name: {"hide_name": 0, "bits": [bit]} for name, bit in names.items()}


# A register and a LUT behind it; an output that is a constant, one that is an input.
SOURCE = {
    "ports": {"clk": port("input", 2), "o": port("output", 5), "one": port("output", "1"),
              "through": port("output", 3), "i": port("input", 3)},
    "cells": {"register": flip_flop(3, 4), "lut": lut(4, 5)},
    "netnames": named(kept=4, o=5)}
SINK = {"ports": {"clk": port("input", 2), "i": port("input", 3), "en": port("input", 6)},
        "cells": {"lut": lut(3, 4), "register": flip_flop(4, 5), "lut_2": lut(6, 7)},
        "netnames": named(reached=5)}
PARTS = {"part.source": SOURCE, "part.sink": SINK}


def top(**sink):
    return {
        "ports": {"clk": port("input", 2), "i": port("input", 3), "o": port("output", 11)},
        "cells": {
            "a": cell("part.source", {"o": [10], "one": [11], "through": [12]},
                      {"clk": [2], "rst": [9], "i": [3]}),
            "between": lut(10, 13),
            "b": cell("part.sink", {}, {"clk": [2], "i": [13], "en": [12]} | sink)},
        "netnames": named(crossing=10)}


def test_a_path_through_two_parts_and_the_top_level_is_one_path():
    linked = Netlist(link(top(), PARTS))
    found = analyse_netlist("whole", linked, ARCS, 250.0)
    assert found.levels == 3
    assert found.paths[0].start == "a.kept" and found.paths[0].end == "b.reached"
    nets = [0.115, *[0.2 + 0.106] * 3, 0.08 + 0.23]   # clock to Q; three LUTs; beside, overhead
    assert found.ns["nominal"] == pytest.approx(sum(nets), abs=1e-3)


def test_nets_that_are_one_have_the_sinks_of_both():
    netlist = Netlist(link(top(), PARTS))
    number = dict(netlist.ports("input"))["i"][0]
    assert netlist.fanout[number] == 2   # the source's register, and the sink's second LUT
    assert netlist.module["ports"]["o"]["bits"] == ["1"]


def test_a_constant_of_a_part_reaches_the_cells_of_another():
    linked = link(top(en=[11]), PARTS)
    assert linked["cells"]["b.lut_2"]["connections"]["I0"] == ["1"]


def test_a_port_that_a_part_lacks_is_refused():
    with pytest.raises(ToolError, match="part.sink has no port 'x' to link b by"):
        link(top(x=[12]), PARTS)


def test_two_constants_on_one_net_are_refused():
    parts = PARTS | {"part.sink": SINK | {"ports": SINK["ports"] | {"i": port("output", "0")}}}
    with pytest.raises(ToolError, match="has the constants 0 and 1"):
        link(top(i=[11]), parts)
