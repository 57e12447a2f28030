"""What the slowest paths are called, and where their signals are declared."""

import pytest

from support.netlists import cell, flip_flop
from trilobite.fpga.timing.analysis import analyse_netlist
from trilobite.fpga.timing.arcs import arcs_file, load_arcs
from trilobite.fpga.timing.netlist import Netlist
from trilobite.fpga.timing.paths import net_names
from trilobite.fpga.timing.sources import shown_file, source_lines
from trilobite.hw.streams import ports

DESIGN = r"""attribute \generator "Amaranth"
attribute \src "/site-packages/amaranth/top.py:1"
module \top
  attribute \src "/lib/site-packages/amaranth/lib/fifo.py:141"
  wire width 1 \level
  wire width 1 \nowhere
  attribute \src "/home/user/mine.py:7"
  wire width 8 input 0 \i_x$3
end
attribute \src "/site-packages/amaranth/top.py:1"
module \top.lane.queue
  attribute \src "/lib/site-packages/amaranth/lib/fifo.py:150"
  wire width 8 output 1 \level
  attribute \src "/home/user/mine.py:9"
  wire width 8 \$signal
end
"""


def module(names, cells=None):
    return Netlist({"cells": cells or {}, "ports": {}, "netnames": {
        name: {"hide_name": hidden, "bits": bits} for name, hidden, bits in names}})


def test_signals_are_found_in_the_modules_that_declare_them():
    found = source_lines(DESIGN, ["level", "lane.queue.level", "lane.queue.$signal", "i_x$3",
                                  "nowhere", "lane.nothing"])
    assert found == {
        "level": "amaranth/lib/fifo.py:141", "lane.queue.level": "amaranth/lib/fifo.py:150",
        "lane.queue.$signal": "mine.py:9", "i_x$3": "mine.py:7"}


def test_a_file_of_the_package_is_shown_from_its_root():
    assert shown_file(ports.__file__) == "hw/streams/ports.py"


@pytest.mark.parametrize(("names", "best"), [
    ([("$abc$7", 1, [5]), ("far.away.name", 0, [5])], "far.away.name"),
    ([("long_name", 0, [5]), ("name", 0, [5])], "name"),
    ([("unit.i_a", 0, [4, 5]), ("adder.output", 0, [5])], "adder.output"),
    ([("i", 0, [4, 5]), ("o$22", 0, [4, 5])], "i[1]"),
    ([(r"\$signal$50", 0, [4, 5])], "$signal$50[1]"),
    ([("$abc$9", 1, [5]), ("$abc$10", 1, [5])], "$abc$9"),
])
def test_a_net_is_called_by_its_best_name(names, best):
    assert net_names(module(names), [5]) == {5: best}


def test_paths_that_differ_in_a_number_only_are_one():
    cells = {"a": flip_flop("0", 3)}
    for lane in range(4):
        cells[f"lut{lane}"] = cell("LUT1", {"O": [10 + lane]}, {"I0": [3]})
        cells[f"end{lane}"] = flip_flop(10 + lane, 20 + lane)
    cells["other"] = flip_flop(3, 30)
    names = [("schedule", 0, [3]), ("sum", 0, [30]),
             *((f"lane_{lane}.o", 0, [20 + lane]) for lane in range(4))]
    found = analyse_netlist("made", module(names, cells), load_arcs(arcs_file("kv260")), 250.0,
                            DESIGN.replace(r"\level", r"\schedule"))
    assert [(path.start, path.end) for path in found.paths] == [
        ("schedule", "lane_0.o"), ("schedule", "sum")]
    assert found.paths[0].steps[0].source == "amaranth/lib/fifo.py:141"
    assert found.paths[0].ns["nominal"] == found.ns["nominal"] > found.paths[1].ns["nominal"]


@pytest.mark.parametrize(("cell_name", "net_name", "called"), [
    ("$482", "product", "product"), ("$482", "$abc$1", "$abc$1"),
    ("store.0.0", "word", "store.0.0"),
])
def test_a_cell_at_the_end_is_called_by_its_own_name_or_its_output(cell_name, net_name, called):
    cells = {"a": flip_flop("0", 3), cell_name: cell(
        "DSP48E2", {"P": [9]}, {"A": [3], "B": ["1"]}, AREG=0, BREG=0, MREG=0, PREG=1)}
    found = analyse_netlist("made", module([("a", 0, [3]), (net_name, 0, [9])], cells),
                            load_arcs(arcs_file("kv260")), 250.0)
    assert (found.paths[0].start, found.paths[0].end) == ("a", called)
