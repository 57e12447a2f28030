import json
import tomllib

import pytest

from support.command import refuses, run
from trilobite.fpga.synth.flow import Synthesis, Timing
from trilobite.fpga.synth.targets import TARGETS
from trilobite.fpga.timing.analysis import BlockTiming
from trilobite.fpga.timing.paths import Path, Step
from trilobite.sim.descriptions.quantity import Quantity


def test_what_a_block_takes_is_printed_and_kept_as_json(tmp_path, monkeypatch):
    def counted(mapped, parameters):
        resources = dict.fromkeys(TARGETS["kv260"].resources, 0.0)
        return Synthesis(mapped.name, mapped.macs_per_cycle(parameters),
                         resources | {"LUT": 4200.0, "BRAM36": 14.4}, {"LUT6": 4200}, 1.5, None)

    monkeypatch.setattr("trilobite.api.synth.map_block", lambda block, *_: block)
    monkeypatch.setattr("trilobite.api.synth.counted", counted)
    path = tmp_path / "blocks.json"
    printed = run("synth", "--block", "tlmm-g3", "--block", "counters", "--json", path).stdout
    assert "tlmm-g3" in printed and "5.00" in printed   # 4,200 LUT over 840 MAC per cycle
    assert "7.2%" in printed and "20.0%" in printed     # 8,400 of 117,120 LUT, 28.8 of 144 BRAM
    result = json.loads(path.read_text())
    assert [block["block"] for block in result["blocks"]] == ["tlmm-g3", "counters"]
    assert result["total"]["LUT"] == 8400 and result["available"]["URAM"] == 64


def test_the_timing_of_a_block_is_printed_in_80_columns_and_kept_as_json(tmp_path, monkeypatch):
    steps = (Step("sum.schedule.cycle[3]", "FDRE", 0.1, 9, "hw/rows/lane_sum.py:167"),)
    corners = dict.fromkeys(("optimistic", "nominal", "pessimistic"), 0.0)
    path = Path({**corners, "nominal": 8.1}, 11, steps[0].net, "sum.add.distance", "D",
                "hw/floats/add.py:55", steps)

    def analyse(mapped, clock):
        mhz = {"optimistic": 149.6, "nominal": 124.4, "pessimistic": 87.0}
        return BlockTiming(mapped.name, corners, mhz, 11, 12, clock, 65612,
                           {**corners, "nominal": 4479}, ("a_larger",), ("ready",),
                           {"DSP48E2 with no register": 4}, (), (path,))

    monkeypatch.setattr("trilobite.api.synth.map_block", lambda block, *_: block)
    monkeypatch.setattr("trilobite.api.synth.counted", lambda mapped, _: Synthesis(
        mapped.name, None, dict.fromkeys(TARGETS["kv260"].resources, 1.0), {}, 1.0, None))
    monkeypatch.setattr("trilobite.api.synth.analyse", analyse)
    file = tmp_path / "timing.json"
    printed = run("synth", "--timing", "norm", "--block", "gate", "--json", file).stdout
    *table, entry = printed.splitlines()
    assert max(map(len, table)) <= 80
    quantity = tomllib.loads(entry)["frequency"]
    assert Quantity(**quantity) == Quantity(87, 124, 150, "MHz", "analysed", quantity["source"])
    words = " ".join(printed.split())
    assert "124 (150-87) 4,479 sum.schedule.cycle[3]" in words and "slow for 250 MHz" in words
    assert "8 DSP48E2 with no register" in words
    assert "Credited beyond the netlist: nothing" in words
    assert "2 combinational loops are cut where no signal passes them" in words
    assert "norm: paths through 1 combinational loop are not analysed: behind ready." in words
    found = json.loads(file.read_text())
    assert [block["block"] for block in found["blocks"]] == ["norm", "gate"]
    assert [block["mhz"]["nominal"] for block in found["timing"]] == [124.4, 124.4]
    assert found["timing"][0]["paths"][0]["steps"][0]["source"] == "hw/rows/lane_sum.py:167"
    assert found["clock"] == {"optimistic": 149.6, "nominal": 124.4, "pessimistic": 87.0}
    assert "slow for 300 MHz" in run("synth", "--timing", "norm", "--clock", "300").stdout


def test_where_there_is_a_place_and_route_the_analysis_is_compared_with_it(monkeypatch):
    fmax = {"counters": 200.0, "angles": 100.0, "row-sink": None}

    def counted(mapped, parameters):
        timing = fmax[mapped.name] and Timing(fmax[mapped.name], "a", "b", 1.0, 2.0)
        return Synthesis(mapped.name, None, dict.fromkeys(TARGETS["ecp5-85f"].resources, 1.0), {},
                         1.0, timing)

    def analyse(mapped, clock):
        corners = dict.fromkeys(("optimistic", "nominal", "pessimistic"), 120.0)
        return BlockTiming(mapped.name, corners, corners, 1, 1, clock, 5, corners, (), (), {}, (),
                           ())

    monkeypatch.setattr("trilobite.api.synth.map_block", lambda block, *_: block)
    monkeypatch.setattr("trilobite.api.synth.counted", counted)
    monkeypatch.setattr("trilobite.api.synth.analyse", analyse)
    printed = run("synth", "--timing", "--device", "ecp5-85f", *fmax).stdout
    assert "routed" in printed and "slow for 50 MHz" in " ".join(printed.split())
    assert ("nominal clocks of 2 blocks, compared with those after routing: median error -10%, "
            "median absolute error 30%, from -40% to +20%." in " ".join(printed.split()))


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--timing", "--clock", "0"), "must be a frequency above 0 MHz: 0"),
    (("--timing", "--clock", "nan"), "must be a frequency above 0 MHz: nan"),
    (("norm", "--clock", "250"), "A clock is what the analysis of timing compares to"),
    (("--block", "alu"), "no block 'alu'; there are"),
    (("--hardware", "vcu118"), "no description 'vcu118' in accelerators"),
    (("--configuration", "vcu118"), "no description 'vcu118' in accelerators"),
    (("--device", "zcu104"), "zcu104"),
])
def test_what_there_is_not_is_refused(arguments, sentence):
    assert refuses(run("synth", *arguments), sentence)


def test_the_devices_are_those_that_there_is_synthesis_for():
    assert f"<{'|'.join(TARGETS)}>" in run("synth", "--help").stdout
