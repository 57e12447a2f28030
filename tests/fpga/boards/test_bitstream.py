"""Bitstreams by Yosys, nextpnr and ecppack: of a counter, which takes seconds."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

import trilobite
from trilobite.api import build as build_module
from trilobite.errors import OutputError, ToolError, TrilobiteError
from trilobite.fpga.boards import bitstream
from trilobite.fpga.boards.bitstream import BOARDS, Bitstream, make_bitstream
from trilobite.fpga.image_file import read_image

boards = pytest.importorskip("amaranth_boards.ulx3s")

ULX3S = BOARDS["ulx3s-85f"]


class Blinker(Elaboratable):
    def elaborate(self, platform):
        m = Module()
        m.submodules.led = led = io.Buffer("o", platform.request("led", 0, dir="-"))
        count = Signal(20)
        m.d.sync += count.eq(count + 1)
        m.d.comb += led.o.eq(count[-1])
        return m


def blinker(parameters, megahertz):
    files = boards.ULX3S_85F_Platform().prepare(Blinker(), "top", emit_src=False).files
    return tuple(content if isinstance(content, str) else content.decode()
                 for content in (files["top.il"], files["top.lpf"]))


@pytest.fixture
def quick(monkeypatch):
    """The board, with a counter instead of an accelerator."""
    board = replace(ULX3S, plan=blinker)
    monkeypatch.setitem(BOARDS, board.name, board)
    return board


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(quick, tmp_path, monkeypatch):
    made = []
    for name in ("one", "other"):
        monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path / name))
        build = trilobite.build("demo-bitnet", tmp_path / f"{name}-out", clock=25, capacity=32)
        files = [path for path in (tmp_path / f"{name}-out").rglob("*") if path.is_file()]
        made.append({path.name if path.parent.name != "image" else f"image/{path.name}":
                     path.read_bytes() for path in files})
        assert build.achieved > 25
        assert 20 <= build.resources["FF"][0] < 40
    assert made[0] == made[1]
    assert sorted(made[0]) == [
        "image/manifest.json", "image/memory.bin", "manifest.json", "nextpnr.log",
        "ulx3s-85f.bit"]
    assert made[0]["ulx3s-85f.bit"].startswith(b"\xff\x00")   # a comment, then the preamble
    assert b"\xff\xff\xbd\xb3" in made[0]["ulx3s-85f.bit"]
    assert json.loads(made[0]["manifest.json"])["capacity"] == 32
    assert read_image(tmp_path / "one-out" / "image").capacity == 32


@pytest.mark.slow
def test_a_bare_board_keeps_50_mhz(tmp_path):
    build = trilobite.build("demo-bitnet", tmp_path / "out", "ulx3s-85f-bare", capacity=32)
    assert build.achieved > 50
    assert build.resources["LUT"][0] < 4000
    assert build.resources["IO"][0] == 45   # SDRAM 39, serial line 2, LED 3, clock


def test_an_unknown_board_and_clock_are_refused(tmp_path):
    with pytest.raises(ToolError, match="There is no board 'icestick'; there is ulx3s-85f, ulx3s"):
        trilobite.build("demo-bitnet", tmp_path / "out", board="icestick")
    with pytest.raises(ToolError, match="clock of ulx3s-85f is one of 25, 30, .* 50 MHz, not 100"):
        make_bitstream(ULX3S, None, 100)
    with pytest.raises(ToolError, match="clock of ulx3s-85f is one of 25, 30, .* 50 MHz, not 51"):
        trilobite.build("demo-bitnet", tmp_path / "out", clock=51)
    with pytest.raises(ToolError, match="clock of kv260 is from 50 to 333 MHz, not 400"):
        trilobite.build("demo-bitnet", tmp_path / "out", "kv260", clock=400)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_fit_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(TrilobiteError, match="the context is 2000, and at most 1024 fit"):
        trilobite.build("demo-bitnet", tmp_path / "out", capacity=2000)
    with pytest.raises(TrilobiteError, match="demo-llama is not quantized"):
        trilobite.build("demo-llama", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def routed(achieved):
    return Bitstream("ulx3s-85f", 50, achieved, {}, {"from": "a", "to": "b", "logic": 9.5,
                                                    "routing": 12.5}, (), None)


def test_a_clock_that_is_not_achieved_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "make_bitstream", lambda *_: routed(43.2))
    with pytest.raises(ToolError, match=r"keeps 43.2 MHz and not 50: from a to b it takes 9.5 ns "
                                        r"of logic and 12.5 ns .* ask for 40 MHz or less"):
        trilobite.build("demo-bitnet", tmp_path / "out", capacity=32)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="out exists"):
        trilobite.build("demo-bitnet", tmp_path / "out", capacity=32)


def test_what_nextpnr_reports_is_read(tmp_path):
    step = {"type": "routing", "delay": 2.5, "from": {"cell": "a"}, "to": {"cell": "b"}}
    report = {
        "fmax": {"sync": {"achieved": 60.0, "constraint": 50.0},
                 "sdram": {"achieved": 110.0, "constraint": 100.0},
                 "free": {"achieved": 1.0}},
        "critical_paths": [{"from": "posedge sdram", "to": "posedge sdram", "path": [
            step, step | {"type": "logic", "to": {"cell": "c"}}]}],
        "utilization": {"TRELLIS_COMB": {"used": 1, "available": 9}},
    }
    made = bitstream._read(ULX3S, 50, report, (), tmp_path)
    assert made.achieved == 55.0   # of the clock that is nearest to its constraint
    assert made.path == {"from": "a", "to": "c", "logic": 2.5, "routing": 2.5}
    assert made.resources == {"LUT": (1, 9)}
    del report["fmax"]["sync"], report["fmax"]["sdram"]
    with pytest.raises(ToolError, match="no clock with a constraint"):
        bitstream._read(ULX3S, 50, report, (), tmp_path)


def test_the_log_has_no_times(tmp_path):
    (tmp_path / bitstream.LOG).write_text(
        "Info: legal = 25; time = 0.23s\nInfo: HeAP Placer Time: 1.28s\n"
        "Info:   of which spreading cells: 0.01s\nInfo: Router1 time 0.05s\n"
        "Info:  71 |        0         59 |    0    59 |         0|       0.13       0.13|\n"
        "Info:    routing  1.10  1.62 Net count[0] (2,32) -> (2,33)\n")
    assert replace(routed(1.0), folder=tmp_path).log == (
        "Info: legal = 25\nInfo: HeAP Placer\nInfo:   of which spreading cells: \n"
        "Info: Router1\nInfo:  71 |        0         59 |    0    59 |         0||\n"
        "Info:    routing  1.10  1.62 Net count[0] (2,32) -> (2,33)\n")


def test_the_list_of_boards_needs_no_amaranth():
    program = ("import sys, trilobite.api.build; "
               "sys.exit('amaranth' in sys.modules)")
    subprocess.run([sys.executable, "-c", program], check=True)
