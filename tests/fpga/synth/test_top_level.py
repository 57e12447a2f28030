"""The top level of an accelerator, in which its parts are black boxes."""

import re

import pytest

from support.tiny_accelerator import TINY
from trilobite.api import synth as api
from trilobite.fpga.synth import flow
from trilobite.fpga.synth.blocks import select_blocks
from trilobite.fpga.synth.flow import BOX, counted, map_block
from trilobite.fpga.synth.targets import TARGETS, TOP
from trilobite.fpga.synth.top_level import TOP_LEVEL, WHOLE, map_top_level
from trilobite.fpga.timing.analysis import analyse, analyse_whole
from trilobite.hw.streams.ports import to_rtlil

KV260 = TARGETS["kv260"]


def test_every_part_is_a_box_with_the_ports_that_it_has_alone(tmp_path, monkeypatch):
    def yosys(folder, script):
        (folder / "stat.json").write_text("{}")
        (folder / "netlist.json").write_text("{}")

    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    monkeypatch.setattr(flow, "yosys", yosys)
    design = map_top_level(TINY, KV260).design
    declared = dict(re.findall(r"^attribute \\blackbox 1\nmodule \\part\.(\S+)\n(.*?)^end",
                               design, re.M | re.S))
    assert set(declared) == {block.name for block in select_blocks([])}
    for name in ("tile-fetcher", "counters", "angles"):
        alone = to_rtlil(select_blocks([name])[0].make(TINY), TOP, emit_src=True)
        top = re.search(r"^module \\top\n(.*?)^end", alone, re.M | re.S)[1]
        ports = re.compile(r"^  wire width (\d+) (input|output) \d+ +\\(\S+)$", re.M)
        assert set(ports.findall(declared[name])) == set(ports.findall(top))
        assert len(re.findall(rf"^  cell \\part\.{name} ", design, re.M)) == 1


def test_the_whole_comes_last_where_all_parts_are_synthesized(monkeypatch):
    def counting(mapped, parameters):
        return flow.Synthesis(mapped.name, None, {"LUT": 1.0}, {}, 1.0, None)

    parts = {}

    def whole(name, top, found, clock):
        parts.update(found)
        return name

    monkeypatch.setattr(api, "map_block", lambda block, *_: block)
    monkeypatch.setattr(api, "map_top_level",
                        lambda *_: flow.SynthBlock(TOP_LEVEL, lambda _: None))
    monkeypatch.setattr(api, "counted", counting)
    monkeypatch.setattr(api, "analyse", lambda mapped, clock: mapped.name)
    monkeypatch.setattr(api, "analyse_whole", whole)
    found = api.synth("kv260", timing=True)
    assert found.blocks[-1].block == TOP_LEVEL and found.timing[-1] == WHOLE
    assert found.total["LUT"] == len(select_blocks([])) + 1
    assert parts == {BOX + block.name: block for block in select_blocks([])}
    assert WHOLE not in api.synth("kv260", ["norm"], timing=True).timing
    assert TOP_LEVEL not in [block.block for block in api.synth("ecp5-85f").blocks]


@pytest.mark.slow
def test_the_whole_is_mapped_joined_and_analysed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    top = map_top_level(TINY, KV260)
    parts = {BOX + block.name: map_block(block, TINY, KV260) for block in select_blocks([])}
    whole = analyse_whole(WHOLE, top, parts, 250.0)
    alone = [analyse(part, 250.0) for part in parts.values()]
    assert counted(top, TINY).resources["LUT"] > 0
    assert whole.endpoints > 0.9 * sum(block.endpoints for block in alone)
    assert whole.ns["nominal"] >= 0.98 * max(block.ns["nominal"] for block in alone)
    assert not whole.lost
