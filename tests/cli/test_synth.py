import json

import pytest

from support.command import refuses, run
from trilobite.fpga.synth.flow import Synthesis
from trilobite.fpga.synth.targets import TARGETS


def test_what_a_block_takes_is_printed_and_kept_as_json(tmp_path, monkeypatch):
    def synthesize(block, parameters, target):
        resources = dict.fromkeys(target.resources, 0.0) | {"LUT": 4200.0, "BRAM36": 14.4}
        return Synthesis(block.name, block.macs_per_cycle(parameters), resources,
                         {"LUT6": 4200}, 1.5, None)

    monkeypatch.setattr("trilobite.api.synth.synthesize", synthesize)
    path = tmp_path / "blocks.json"
    printed = run("synth", "--block", "tlmm-g3", "--block", "counters", "--json", path).stdout
    assert "tlmm-g3" in printed and "5.00" in printed   # 4,200 LUT over 840 MAC per cycle
    assert "7.2%" in printed and "20.0%" in printed     # 8,400 of 117,120 LUT, 28.8 of 144 BRAM
    result = json.loads(path.read_text())
    assert [block["block"] for block in result["blocks"]] == ["tlmm-g3", "counters"]
    assert result["total"]["LUT"] == 8400 and result["available"]["URAM"] == 64


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--block", "alu"), "no block 'alu'; there are"),
    (("--hardware", "vcu118"), "no description 'vcu118' in accelerators"),
    (("--configuration", "vcu118"), "no description 'vcu118' in accelerators"),
    (("--device", "zcu104"), "zcu104"),
])
def test_what_there_is_not_is_refused(arguments, sentence):
    assert refuses(run("synth", *arguments), sentence)


def test_the_devices_are_those_that_there_is_synthesis_for():
    assert f"<{'|'.join(TARGETS)}>" in run("synth", "--help").stdout
